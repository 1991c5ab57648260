"""Image files to upright pages: every mode and orientation ends as 8-bit BGR on white.

Pillow decodes: it knows the size before it decodes (so a decompression bomb is refused unopened), honours EXIF in
every format, walks the frames of a TIFF and lets a JPEG come out at a fraction of its size.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from batchdigits.errors import PageError
from batchdigits.sources.regions import Region
from batchdigits.types import Page, PageId

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "AVIF")
"""What is tried on a file. Pillow knows others, some of which start programs (EPS) or are rarely fuzzed."""

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def read_pages(path: Path, name: str, *, reduce_to: int | None = None) -> Iterator[Page | tuple[PageId, PageError]]:
    """Read the pages of one image file.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        What its rows call it.
    reduce_to : int, optional
        A JPEG may be decoded at 1/2, 1/4 or 1/8 while its long side stays at least this many pixels.

    Yields
    ------
    Page or (PageId, PageError)
        One per TIFF frame, one for any other file; the error where that page cannot be read.
    """
    first = PageId(name)
    try:
        with _open(path) as image:
            for number in itertools.count(1):
                page_id = PageId(name, number)
                try:
                    if number > 1 and not _next_frame(image, number):
                        break
                    page: Page | tuple[PageId, PageError] = _decode(image, page_id, reduce_to)
                except _ChainError as error:
                    yield page_id, error
                    break
                except PageError as error:
                    page = page_id, error
                yield page
    except PageError as error:
        yield first, error


def read_page(path: Path, page: PageId, reduce_to: int | None = None) -> Page:
    """Read one page of an image file; see `read_pages`.

    Raises
    ------
    PageError
        If it cannot be read, or there is no such page.
    """
    for found in read_pages(path, page.file, reduce_to=reduce_to):
        if isinstance(found, Page):
            if found.id.number == page.number:
                return found
        elif found[0].number == page.number:
            raise found[1]
    raise PageError("unreadable", f"There is no page {page.number}.")


class _ChainError(PageError):
    """A frame whose directory is damaged: nothing leads to those behind it."""


@contextlib.contextmanager
def _told() -> Iterator[list[str]]:
    """Keep Pillow's warnings from standard error; collect them."""
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield messages
        finally:
            messages += [str(warning.message) for warning in caught]


def _next_frame(image: Image.Image, number: int) -> bool:
    """Go to a frame of a TIFF; return False behind the last one, and in any other format."""
    if image.format != "TIFF":
        return False
    try:
        with _told() as messages:
            image.seek(number - 1)
    except EOFError:
        return False
    except Exception as error:  # a decoder's complaints about a broken file have no common class
        raise _ChainError("truncated", f"The frame's directory is damaged: {error}") from error
    if any("Corrupt EXIF data" in message for message in messages):
        # Pillow goes on, and libtiff, which cannot, would decode the frame before it once more
        raise _ChainError("truncated", "The file ends inside the frame's directory.")
    return True


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    """Open a file without decoding it; every way it can fail becomes a `PageError`."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
            if not head:
                raise PageError("empty_file", "The file is empty (0 bytes).")
            file.seek(0)
            with _told():  # a large picture is welcome; Pillow's own limit (179 megapixels) still stops a bomb
                image = Image.open(file, formats=FORMATS)
            yield image
    except PageError:
        raise
    except FileNotFoundError as error:
        raise PageError("unreadable", "The file is gone, or a link leads nowhere.") from error
    except PermissionError as error:
        raise PageError("unreadable", "No permission to read the file.") from error
    except Image.DecompressionBombError as error:
        raise PageError("too_large", f"The picture is too large: {error}") from error
    except UnidentifiedImageError as error:
        detail = ""
        if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
            detail = "HEIC cannot be read yet. Export as JPEG (iPhone: Settings, Camera, Formats, Most Compatible)."
        elif head.startswith(b"%PDF"):
            detail = "It is a PDF, which cannot be read yet. Export its pages as TIFF or PNG."
        if detail:
            raise PageError("unsupported_format", detail) from error
        raise PageError(
            "unreadable", "The file has an image's name or first bytes, but is no readable image."
        ) from error
    except Exception as error:  # a decoder's complaints about a broken file have no common class
        raise PageError("unreadable", f"The file cannot be read: {error}") from error


def _decode(image: Image.Image, page_id: PageId, reduce_to: int | None) -> Page:
    """Decode one frame, upright."""
    try:
        with _told():
            full_size = image.size
            if reduce_to is not None and image.format in ("JPEG", "MPO"):  # MPO: several JPEGs, as some phones write
                factor = reduce_to / max(full_size)
                image.draft(None, (max(1, int(full_size[0] * factor)), max(1, int(full_size[1] * factor))))
            decoded_size = image.size
            image.load()
            orientation = _orientation(image)  # 1 for a TIFF, which Pillow turns as it loads
            pixels = to_bgr(image.transpose(_TURNS[orientation]) if orientation in _TURNS else image)
    except (OSError, SyntaxError, EOFError) as error:  # Pillow says SyntaxError for a broken PNG
        raise PageError(
            "truncated" if "truncated" in str(error) else "unreadable", f"Damaged image: {error}"
        ) from error
    except Image.DecompressionBombError as error:
        raise PageError("too_large", f"The picture is too large: {error}") from error
    except Exception as error:  # a decoder's complaints about a broken file have no common class
        raise PageError("unreadable", f"Damaged image: {error}") from error
    scale = full_size[0] / decoded_size[0], full_size[1] / decoded_size[1]
    turned = orientation >= 5  # EXIF: 5 to 8 swap width and height
    return Page(page_id, pixels, scale=scale[::-1] if turned else scale)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 (upright) where EXIF is missing, damaged or senseless."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # broken EXIF has no common class either, and must not cost the picture
        return 1
    return found if isinstance(found, int) and found in _TURNS else 1


def to_bgr(image: Image.Image) -> NDArray[np.uint8]:
    """Turn a picture of any mode into (H, W, 3) BGR uint8.

    Transparent is paper: white, or black under ink so light that it was drawn for a dark ground.
    """
    if image.mode.startswith("I") or image.mode == "F":
        grey = _to_8_bit(np.asarray(image))
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        return _flatten(np.asarray(image.convert("RGBA")))
    if image.mode == "LAB":
        image = image.getchannel(0)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def _to_8_bit(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Scale 16-bit, 32-bit or float grey levels to 0-255.

    The top of the range is the next usual bit depth (scanners write 12 bits into 16), or 1.0 for fractions.
    """
    levels = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    levels -= min(0.0, float(levels.min()))
    brightest = float(levels.max())
    top = (
        1.0
        if brightest <= (1.5 if values.dtype.kind == "f" else 1.0)  # a resize overshoots white a little
        else next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if brightest < 2**bits), brightest)
    )
    return np.asarray(np.rint(np.minimum(levels / top, 1.0) * 255), dtype=np.uint8)


def _flatten(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a picture with transparency on paper."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    colours = rgba[..., :3].astype(np.float32)
    cover = float(alpha.mean())
    light_ink = 0 < cover < 0.5 and float((colours * alpha).mean()) / cover > 160
    paper = 0.0 if light_ink else 255.0
    flat = colours * alpha + paper * (1 - alpha)
    return np.ascontiguousarray(np.rint(flat).astype(np.uint8)[..., ::-1])


def picture_from_array(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn an array of any usual kind into (H, W, 3) uint8.

    Raises
    ------
    ValueError
        If its shape or dtype is no picture's.
    """
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in pixels.shape or pixels.dtype.kind not in "buif":
        raise ValueError(
            f"an array {pixels.dtype} {pixels.shape} is no picture: expected (H, W), (H, W, 3) or (H, W, 4)"
        )
    picture = pixels.reshape(*pixels.shape[:2], channels)
    if picture.dtype != np.uint8:
        picture = _to_8_bit(picture)
    if channels == 4:
        return _flatten(picture)
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))


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
