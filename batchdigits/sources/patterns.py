"""Shell-style patterns to what they are for: which files and folders a walk leaves out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable
from fnmatch import translate


class Patterns:
    """Shell-style patterns of files and folders, as `find_sources` describes them."""

    def __init__(self, patterns: Collection[str]) -> None:
        self._any = bool(patterns)
        tidy = [pattern.replace(os.sep, "/") for pattern in patterns]
        self._of_files = _split_matchers(tidy)  # those with `/` at their end are for none: no path has one there
        self._of_folders = _split_matchers(pattern.rstrip("/") for pattern in tidy)

    def cover(self, relative: str, is_folder: bool) -> bool:
        """Tell whether a pattern is for this path; those above it are known to have none."""
        if not self._any:
            return False
        of_name, of_path = self._of_folders if is_folder else self._of_files
        return bool(of_name(relative.rpartition("/")[2]) or of_path(relative.lstrip("/")))

    def cover_part_of(self, relative: str, is_folder: bool) -> bool:
        """Tell whether a pattern is for this path or a folder above it."""
        if not self._any:
            return False
        parts = relative.strip("/").split("/")
        whole = len(parts)
        return any(
            self.cover("/".join(parts[:stop]), is_folder or stop < whole)
            for stop in range(1, whole + 1)
            if parts[stop - 1] not in ("", "..")  # no names: `*` and `.*` are not meant for them
        )


def _split_matchers(patterns: Iterable[str]) -> tuple[Callable[[str], object], Callable[[str], object]]:
    """Return what tells a name that one of the patterns is for, and what tells a whole path."""
    of_names: list[str] = []
    of_paths: list[str] = []
    for pattern in patterns:
        anchored = pattern.removeprefix(".") if pattern.startswith("./") else pattern
        (of_paths if "/" in anchored else of_names).append(anchored.lstrip("/"))
    return _any_of(of_names), _any_of(of_paths)


def _any_of(patterns: list[str]) -> Callable[[str], object]:
    return re.compile("|".join(map(translate, patterns)) or "(?!)").match  # (?!) is never there
