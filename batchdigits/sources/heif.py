"""HEIC and HEIF, as phones write them, to upright pages.

libheif decodes, through pi-heif, which leaves the encoders out: those are GPL.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np

from batchdigits.errors import PageError
from batchdigits.sources.limits import Limits
from batchdigits.sources.pixels import bgr_from_array
from batchdigits.sources.walk import ANY_CODEC_BRANDS, AVIF_BRANDS, HEIC_BRANDS
from batchdigits.types import Page, PageId


def is_heif(head: bytes) -> bool:
    """Tell by the first bytes of a file whether it is HEIF, and not one of those that Pillow reads (AVIF)."""
    if head[4:8] != b"ftyp":
        return False
    size = int.from_bytes(head[:4], "big")
    compatible = {head[at : at + 4] for at in range(16, min(size, len(head)), 4)}
    return head[8:12] in HEIC_BRANDS or (head[8:12] in ANY_CODEC_BRANDS and not compatible & AVIF_BRANDS)


class HeifPicture:
    """A file's main picture; bursts, thumbnails and depth maps are no pages."""

    pages = 1

    def __init__(self, image: Any) -> None:
        self._image = image

    def read(self, page: PageId, reduce_to: int | None = None) -> Page:
        """Decode it; see `Document`."""
        try:
            # libheif turns and mirrors it: what EXIF says of that is for programs that cannot
            return Page(page, bgr_from_array(np.asarray(self._image)))
        except Exception as error:
            raise _told(error) from error


def open_heif(file: BinaryIO, limits: Limits) -> HeifPicture:
    """Open a HEIC or HEIF file without decoding it.

    Raises
    ------
    PageError
        If pi-heif is missing or knows better, or the picture is too large.
    """
    try:
        import pi_heif

        container = pi_heif.open_heif(file)
    except ImportError as error:
        raise PageError(
            "reader_missing", "HEIC needs one more package: pip install 'batchdigits[heif]'. Or export as JPEG."
        ) from error
    except Exception as error:
        raise _told(error) from error
    image = container[container.primary_index]
    limits.check_pixels(image.size[0] * image.size[1])
    return HeifPicture(image)


def _told(error: Exception) -> PageError:
    """Say what libheif means; pi-heif tells its errors apart by little more than their words."""
    words = str(error).strip()
    if isinstance(error, MemoryError) or "Memory allocation" in words:
        return PageError("too_large", f"No memory for the picture. {words}")
    if isinstance(error, EOFError) or "end of file" in words:
        return PageError("truncated", f"Damaged HEIC: {words}")
    if isinstance(error, SyntaxError) or "compression format" in words:
        return PageError("unsupported_format", f"A kind of HEIF that cannot be read: {words}. Export it as JPEG.")
    return PageError("unreadable", f"Damaged HEIC: {words}")
