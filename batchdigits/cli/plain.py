"""Plain values of flags, read without a schema: a fifth of the time to the first row.

Typer builds a pydantic validator for every flag of a command, given or not, as soon as the command is called. What can
be told at a glance is read here; all else, and all complaints, stay Typer's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

from typer.core import TyperCommand, TyperGroup

_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_FRACTION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


class PlainCommand(TyperCommand):
    """A command whose flags are read in the plain way where that will do."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the flags, that for help among them."""
        return _make_plain(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """A group of commands whose own flags are read in the plain way."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the flags, that for help among them."""
        return _make_plain(super().get_params(ctx))


def _make_plain(params: list[Any]) -> list[Any]:
    for param in params:
        # where Typer does it in another way, as it did before it came to pydantic, there is nothing to save
        if hasattr(param, "get_runtime_param") and hasattr(param, "type_descriptor"):
            vars(param).setdefault("get_runtime_param", _Plain(param, param.get_runtime_param))
    return params


class _Plain:
    """What a flag asks for its value: it stands where Typer makes the validator, and is that itself.

    Parameters
    ----------
    param : Parameter
        The flag.
    whole : callable
        How Typer makes the validator.
    """

    def __init__(self, param: Any, whole: Callable[[], Any]) -> None:
        self._annotation = param.type_descriptor.annotation
        self._info = param.type_descriptor.parameter_info
        self._whole = whole

    def __call__(self) -> _Plain:
        return self

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value that was typed, or set in the environment."""
        try:
            if value is None:
                return () if param.multiple or param.nargs == -1 else None
            return read_plain(value, self._annotation, self._info)
        except ValueError:
            return self._whole().coerce(value, param=param, ctx=ctx)


def read_plain(value: Any, kind: Any, info: Any) -> Any:
    """Return what Typer would make of a value of a flag.

    Parameters
    ----------
    value : object
        As typed, or the default.
    kind : type
        What the command wants.
    info : ParameterInfo
        All else that Typer knows of the flag.

    Raises
    ------
    ValueError
        If that cannot be told at a glance.
    """
    if info.parser is not None:
        raise ValueError
    if get_origin(kind) is list and isinstance(value, list | tuple):
        return [read_plain(item, get_args(kind)[0], info) for item in value]
    if kind is str and type(value) is str:
        return value
    if kind in (int, float) and not info.clamp:
        return _read_number(value, kind, info.min, info.max)
    if kind is Path and isinstance(value, str | Path):
        return _read_path(value, info)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return value if isinstance(value, kind) else kind(value)
    raise ValueError


def _read_number(value: Any, kind: type[int] | type[float], least: float | None, most: float | None) -> int | float:
    if type(value) is str and (_WHOLE if kind is int else _FRACTION).fullmatch(value):
        value = kind(value)
    if type(value) is not kind:
        raise ValueError
    number: int | float = value
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError
    return number


def _read_path(value: str | Path, info: Any) -> Path:
    asked = (
        info.exists or info.writable or info.resolve_path or not (info.file_okay and info.dir_okay and info.readable)
    )
    if asked or (os.path.exists(value) and not os.access(value, os.R_OK)):  # noqa: PTH110
        raise ValueError
    return Path(value)
