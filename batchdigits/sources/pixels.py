"""Pixels of any kind to 8-bit BGR on white.

Large pictures are converted band by band: what a conversion needs on the way, it never needs for the whole picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Convert = Callable[[NDArray[Any]], NDArray[np.uint8]]

_BAND = 1 << 17  # pixels: what a step takes and leaves stays in the processor's cache


def to_bgr(image: Image.Image, orientation: int = 1) -> NDArray[np.uint8]:
    """Turn a decoded picture of any mode into upright (H, W, 3) BGR uint8.

    Transparent is paper: white, or black under ink so light that it was drawn for a dark ground.

    Parameters
    ----------
    image : Image
        How the pixels lie in the file.
    orientation : int
        How that is, as EXIF counts it: 1 for upright.
    """
    convert: Convert = _same
    if image.mode.startswith("I") or image.mode == "F":
        convert, mode = _grey_converter(_bands(image, image.mode)), image.mode
    elif image.has_transparency_data:
        convert, mode = _paper_converter(_bands(image, "RGBA")), "RGBA"
    elif image.mode == "LAB":
        image, mode = image.getchannel(0), "L"
    else:
        mode = "L" if image.mode in ("1", "L") else "BGR"
    width, height = image.size
    if height <= _rows(width):
        (whole,) = _bands(image, mode)
        return _turn(_three_channels(convert(whole)), orientation)
    upright = np.empty((width, height, 3) if orientation >= 5 else (height, width, 3), np.uint8)
    top = 0
    for band in _bands(image, mode):
        _place_of(upright, top, len(band), orientation)[...] = _turn(_three_channels(convert(band)), orientation)
        top += len(band)
    return upright


def _rows(width: int) -> int:
    """Return how many rows of a picture make a band."""
    return max(1, _BAND // width)


def _bands(image: Image.Image, mode: str) -> Iterator[NDArray[Any]]:
    """Cut a picture into bands of full width, top to bottom, in another mode."""
    width, height = image.size
    rows = _rows(width)
    for top in range(0, height, rows):
        band = image if rows >= height else image.crop((0, top, width, min(height, top + rows)))
        if mode == "BGR":  # no mode of Pillow's
            rgb = band if band.mode == "RGB" else band.convert("RGB")
            # as they lie in Pillow's memory, with a fourth byte: to write fewer takes longer than to copy all
            four = np.frombuffer(rgb.tobytes("raw", "RGBX"), np.uint8).reshape(band.height, width, 4)
            yield _array(cv2.cvtColor(four, cv2.COLOR_RGBA2BGR))
        else:
            yield np.asarray(band if band.mode == mode else band.convert(mode))


def _turn(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return a picture upright whose pixels lie as in a file of that EXIF orientation."""
    match orientation:
        case 2:
            return _array(cv2.flip(pixels, 1))
        case 3:
            return _array(cv2.rotate(pixels, cv2.ROTATE_180))
        case 4:
            return _array(cv2.flip(pixels, 0))
        case 5:
            return _array(cv2.transpose(pixels))
        case 6:
            return _array(cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE))
        case 7:
            return _array(cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180))
        case 8:
            return _array(cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE))
        case _:
            return pixels


def _place_of(upright: NDArray[np.uint8], top: int, count: int, orientation: int) -> NDArray[np.uint8]:
    """Return the part of an upright picture that so many rows of the file fill, the first of them being `top`."""
    if orientation >= 5:  # rows of the file are columns here
        upright = upright.swapaxes(0, 1)
    first = len(upright) - top - count if orientation in (3, 4, 6, 7) else top
    part = upright[first : first + count]
    return part.swapaxes(0, 1) if orientation >= 5 else part


def _same(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels


def _three_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey to BGR; BGR stays as it is."""
    return _array(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)) if pixels.ndim == 2 else pixels


def _array(pixels: Any) -> NDArray[np.uint8]:
    """Say of what OpenCV returns that it is of the kind that it got."""
    return cast("NDArray[np.uint8]", pixels)


def _grey_converter(bands: Iterable[NDArray[Any]]) -> Convert:
    """Find how 16-bit, 32-bit or float grey levels become 0-255.

    The top of the range is the next usual bit depth (scanners write 12 bits into 16), or 1.0 for fractions.
    """
    low, high, fractions = 0.0, -np.inf, False
    for band in bands:
        levels = _levels(band)
        low, high, fractions = min(low, float(levels.min())), max(high, float(levels.max())), band.dtype.kind == "f"
    brightest = high - low
    top = (
        1.0
        if brightest <= (1.5 if fractions else 1.0)  # a resize overshoots white a little
        else next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if brightest < 2**bits), brightest)
    )
    return lambda band: np.asarray(np.rint(np.minimum((_levels(band) - low) / top, 1.0) * 255), dtype=np.uint8)


def _levels(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)


def _paper_converter(bands: Iterable[NDArray[np.uint8]]) -> Convert:
    """Find on which paper to lay an RGBA picture; return what does so, and turns RGB to BGR."""
    values, alphas, inks = 0, 0.0, 0.0
    for band in bands:
        alpha, colours = _split(band)
        values += alpha.size
        alphas += float(alpha.sum(dtype=np.float64))
        inks += float((colours * alpha).sum(dtype=np.float64)) / 3
    light_ink = 0 < alphas < 0.5 * values and inks / alphas > 160
    paper = 0.0 if light_ink else 255.0

    def flatten(band: NDArray[np.uint8]) -> NDArray[np.uint8]:
        alpha, colours = _split(band)
        flat = colours * alpha + paper * (1 - alpha)
        return _array(cv2.cvtColor(np.rint(flat).astype(np.uint8), cv2.COLOR_RGB2BGR))

    return flatten


def _split(rgba: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return opacity, 0-1, and colours."""
    return rgba[..., 3:].astype(np.float32) / np.float32(255), rgba[..., :3].astype(np.float32)


def bgr_from_array(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn grey levels, RGB or RGBA into BGR; otherwise as `picture_from_array`."""
    picture = picture_from_array(pixels)
    return np.ascontiguousarray(picture[..., ::-1]) if pixels.ndim == 3 and pixels.shape[2] == 3 else picture


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
        picture = _by_bands(picture, _grey_converter)
    if channels == 4:
        return _by_bands(picture, _paper_converter)
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))


def _by_bands(pixels: NDArray[Any], find: Callable[[Iterable[NDArray[Any]]], Convert]) -> NDArray[np.uint8]:
    rows = max(1, _BAND // pixels.shape[1])
    bands = [pixels[top : top + rows] for top in range(0, len(pixels), rows)]
    convert = find(bands)
    return np.concatenate([convert(band) for band in bands])
