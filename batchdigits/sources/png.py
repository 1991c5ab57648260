"""Small plain PNGs, of which folders of single digits are full: proved sound here, then decoded by OpenCV.

Pillow takes several times as long for one of them. Whatever is not sound to its last byte, or says more of itself than
its pixels, is left to Pillow: a sound picture is the same to everybody, and of a damaged one there is one judge.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.sources.images import Picture
from batchdigits.sources.limits import Limits
from batchdigits.types import Page, PageId

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST = 1 << 16  # pixels: of a larger picture, the decoding alone takes longer than all before it
_CHANNELS = {0: 1, 2: 3}  # by the colour types that have neither palette nor opacity
_SILENT = (b"pHYs", b"tIME")  # chunks that say nothing of how the picture looks
_FILTERS = 4  # the highest number of a filter

_CHUNK, _NUMBER, _HEADER = struct.Struct(">I4s"), struct.Struct(">I"), struct.Struct(">IIBBBBB")


class PlainPng:
    """A small grey or RGB picture of 8 bits, with nothing to be taken into account."""

    pages = 1

    def __init__(self, content: bytes, limits: Limits) -> None:
        self._content = content
        self._limits = limits

    def read(self, page: PageId, reduce_to: int | None = None) -> Page:
        """Decode it; see `Document`."""
        pixels = cv2.imdecode(np.frombuffer(self._content, np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:  # OpenCV can be told to refuse what it knows
            return Picture(io.BytesIO(self._content), self._limits).read(page, reduce_to)
        return Page(page, cast("NDArray[np.uint8]", pixels))


def open_plain_png(content: bytes, limits: Limits) -> PlainPng | None:
    """Open a picture without decoding it; None if the file is anything else, or more than these limits allow.

    Parameters
    ----------
    content : bytes
        All of the file.
    limits : Limits
        What they refuse, they refuse elsewhere.
    """
    if not content.startswith(_SIGNATURE):
        return None
    header, compressed = _parts(content)
    if not header:
        return None
    width, height, depth, colours, *others = _HEADER.unpack(header)  # others: interlaced, and what may only be 0
    channels = _CHANNELS.get(colours)
    if channels is None or depth != 8 or any(others) or not 0 < width * height <= min(_MOST, limits.max_pixels):
        return None
    return PlainPng(content, limits) if _is_sound(compressed, 1 + width * channels, height) else None


def _parts(content: bytes) -> tuple[bytes, bytes]:
    """Return the header and the compressed pixels of a PNG; nothing if it holds anything else, or an error."""
    header, compressed = b"", b""
    at, before = len(_SIGNATURE), b""
    while at + 12 <= len(content):
        size, kind = _CHUNK.unpack_from(content, at)
        start, end = at + 8, at + 8 + size
        at = end + 4
        if at > len(content) or (zlib.crc32(content[start - 4 : end]),) != _NUMBER.unpack_from(content, end):
            break
        if kind == b"IHDR" and size == _HEADER.size and not before:
            header = content[start:end]
        elif not header:
            break
        elif kind == b"IDAT" and (before == kind or not compressed):
            compressed += content[start:end]
        elif kind == b"IEND" and not size and at == len(content):
            return header, compressed
        elif kind not in _SILENT:
            break
        before = kind
    return b"", b""


def _is_sound(compressed: bytes, stride: int, height: int) -> bool:
    """Tell whether compressed rows, each with the number of its filter before it, unpack to just what they should."""
    unpacking = zlib.decompressobj(wbits=0)  # 0: no reaching further back than the data themselves say
    try:
        rows = unpacking.decompress(compressed, stride * height + 1)
    except zlib.error:
        return False
    whole = unpacking.eof and not unpacking.unused_data and len(rows) == stride * height
    return whole and max(rows[::stride]) <= _FILTERS
