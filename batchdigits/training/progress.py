"""How long work tells how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Passes things on, one by one, and may count them aloud."""

    def __call__(self, steps: Iterable[T], *, total: int, title: str) -> Iterable[T]:
        """Return the same things in the same order."""


def silent(steps: Iterable[T], *, total: int, title: str) -> Iterable[T]:
    """Count nothing."""
    return steps
