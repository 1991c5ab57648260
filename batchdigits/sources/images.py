"""Image files to upright pages: every mode and orientation ends as 8-bit BGR on white.

Pillow decodes: it knows the size before it decodes (so a decompression bomb is refused unopened), honours EXIF in
every format and lets a JPEG come out at a fraction of its size.
"""

from __future__ import annotations

import contextlib
import re
import threading
import warnings
from collections.abc import Iterator
from typing import BinaryIO, cast

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from batchdigits.errors import PageError
from batchdigits.sources.limits import Limits
from batchdigits.sources.pixels import to_bgr
from batchdigits.sources.regions import Region
from batchdigits.sources.tiff import Frames, FromFrame, find_frames
from batchdigits.types import Page, PageId

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "AVIF")
"""What is tried on a file. Pillow knows others, some of which start programs (EPS) or are rarely fuzzed."""

_BLOCK = 1 << 22  # bytes of a JPEG that its decoder gets at a time: with a few, it does the ends of blocks twice


class Picture:
    """A file that holds one page."""

    pages = 1

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._opened: Image.Image | None = _open(file, limits)

    def read(self, page: PageId, reduce_to: int | None = None) -> Page:
        """Decode it; see `Document`."""
        image = self._opened or _open(self._file, self._limits)
        self._opened = None  # a JPEG decoded at reduced size has no more pixels to give
        return _decode(image, page, reduce_to, self._limits)


class Tiff:
    """A page per frame; of every frame before it only the place is known."""

    def __init__(self, file: BinaryIO, frames: Frames, limits: Limits) -> None:
        limits.check_pages(len(frames.starts))
        self.pages = len(frames.starts)
        self._file = file
        self._frames = frames
        self._limits = limits

    def read(self, page: PageId, reduce_to: int | None = None) -> Page:
        """Decode a frame; see `Document`."""
        if self._frames.damaged and page.number == self.pages:
            raise PageError("truncated", "The file ends inside the frame's directory.")
        frame = cast(BinaryIO, FromFrame(self._file, self._frames.starts[page.number - 1]))
        return _decode(_open(frame, self._limits), page, reduce_to, self._limits)


def open_image(file: BinaryIO, limits: Limits) -> Picture | Tiff:
    """Open a file that Pillow may know, without decoding it.

    Raises
    ------
    PageError
        If it does not, or the file asks for too much.
    """
    frames = find_frames(file, limits.max_pages)
    if frames:
        return Tiff(file, frames, limits)
    return Picture(file, limits)


def _open(file: BinaryIO, limits: Limits) -> Image.Image:
    """Read what a picture says of itself."""
    file.seek(0)
    try:
        with _pillow(limits):
            image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise PageError(
            "unreadable", "The file has an image's name or first bytes, but is no readable image."
        ) from error
    limits.check_pixels(image.width * image.height)
    return image


_turn = threading.RLock()


@contextlib.contextmanager
def _pillow(limits: Limits) -> Iterator[None]:
    """Make Pillow silent, and let it refuse by our limits, not by its own.

    Both are settings of the whole process. Threads take turns, so that each finds again what it has set aside.
    """
    with _turn, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limits.max_pixels
        try:
            yield
        except Image.DecompressionBombError as error:  # from twice the limit on
            count = re.search(r"\d+", str(error))
            limits.check_pixels(int(count[0]) if count else 2 * limits.max_pixels)
            raise PageError("too_large", str(error)) from error
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _decode(image: Image.Image, page: PageId, reduce_to: int | None, limits: Limits) -> Page:
    """Decode one frame, upright."""
    full_size = image.size
    try:
        with _pillow(limits):
            if reduce_to is not None and image.format in ("JPEG", "MPO"):  # MPO: several JPEGs, as some phones write
                factor = reduce_to / max(full_size)
                image.draft(None, (max(1, int(full_size[0] * factor)), max(1, int(full_size[1] * factor))))
                cast(ImageFile.ImageFile, image).decodermaxblock = _BLOCK
            decoded_size = image.size
            image.load()
            orientation = _orientation(image)  # 1 for a TIFF, which Pillow turns as it loads
            pixels = to_bgr(image, orientation)
    except PageError:
        raise
    except MemoryError as error:
        raise PageError("too_large", f"No memory for {full_size[0]:,} x {full_size[1]:,} pixels.") from error
    except (OSError, SyntaxError, EOFError) as error:  # Pillow says SyntaxError for a broken PNG
        raise PageError(
            "truncated" if "truncated" in str(error) else "unreadable", f"Damaged image: {error}"
        ) from error
    except Exception as error:  # a decoder's complaints about a broken file have no common class
        raise PageError("unreadable", f"Damaged image: {error}") from error
    scale = full_size[0] / decoded_size[0], full_size[1] / decoded_size[1]
    turned = orientation >= 5  # EXIF: 5 to 8 swap width and height
    return Page(page, pixels, scale=scale[::-1] if turned else scale)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 (upright) where EXIF is missing, damaged or senseless."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # broken EXIF has no common class either, and must not cost the picture
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def cut_region(page: Page, region: Region) -> Page:
    """Return a region of a page.

    Raises
    ------
    PageError
        If it lies outside.
    """
    height, width = page.pixels.shape[:2]
    box = region.on_page(width, height)
    if box.width <= 0 or box.height <= 0:
        raise PageError("region_outside", f"The region lies outside the page ({width} x {height} pixels).")
    return crop_page(page, *box, region.name)


def crop_page(page: Page, left: int, top: int, right: int, bottom: int, region: str) -> Page:
    """Return a part of a page, which keeps its place in the original."""
    return Page(
        page.id._replace(region=region),
        page.pixels[top:bottom, left:right],
        page.scale,
        (page.origin[0] + left * page.scale[0], page.origin[1] + top * page.scale[1]),
    )
