"""How much one file may ask for: what is larger is refused before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from batchdigits.errors import PageError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may claim. A few kilobytes can unpack to more than a machine has memory for."""

    max_pixels: int = 250_000_000  #: of one page
    max_pages: int = 10_000  #: of one document

    def check_pixels(self, count: int, what: str = "The picture has") -> None:
        """Raise `PageError` if a page of that many pixels is too large."""
        if count > self.max_pixels:
            raise PageError(
                "too_large",
                f"{what} {count:,} pixels, and no more than {self.max_pixels:,} are read. "
                "If you trust the file, allow more with --max-pixels.",
            )

    def check_pages(self, count: int) -> None:
        """Raise `PageError` if a document of at least that many pages is too long."""
        if count > self.max_pages:
            raise PageError(
                "too_many_pages",
                f"The document has more than {self.max_pages:,} pages. Split it, or allow more with --max-pages.",
            )


USUAL = Limits()
"""What applies if nothing else is said."""
