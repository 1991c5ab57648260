"""Tables of text."""

from __future__ import annotations

from collections.abc import Sequence


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first line is its heading."""
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines]
    rows.insert(1, "|" + " --- |" * len(lines[0]))
    return "\n".join(rows) + "\n"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return lines whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in lines]
    return "\n".join(row.rstrip() for row in rows) + "\n"
