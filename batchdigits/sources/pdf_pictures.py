"""The pictures on a page of a PDF: where they lie, how fine they are, and whether they are whole."""

from __future__ import annotations

import ctypes
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from batchdigits.errors import PageError
from batchdigits.sources.resolution import Placed

_MANY = 100_000  # objects of a page that are looked at
_DEEP = 12  # forms within forms
_STEP = 1 << 20  # bytes unpacked at a time
_INVISIBLE = 3  # how text is drawn that only a search shall find: what OCR has read

Matrix = tuple[float, float, float, float, float, float]
"""As PDF writes it: x' = a x + c y + e, y' = b x + d y + f."""


class Shown(NamedTuple):
    """A picture on a page."""

    handle: Any
    width: int  #: pixels
    height: int
    corners: tuple[tuple[float, float], tuple[float, float]]  #: of the box around it, in points of the page as stored
    placed: Placed


class Content(NamedTuple):
    """What a page shows."""

    shown: tuple[Shown, ...]
    drawn: bool  #: lines, letters, shades or annotations, too


def find_content(pdfium: Any, page: Any) -> Content:
    """Find the pictures of a page, those within forms as well.

    Parameters
    ----------
    pdfium : module
        The plain bindings.
    page : handle
        Of the loaded page.
    """
    bounds = pdfium.FS_RECTF()
    pdfium.FPDF_GetPageBoundingBox(page, bounds)
    box = bounds.left, bounds.bottom, bounds.right, bounds.top
    sideways = pdfium.FPDFPage_GetRotation(page) % 2 == 1
    shown = []
    drawn = pdfium.FPDFPage_GetAnnotCount(page) > 0
    for object, kind, matrix in _objects(pdfium, page):
        if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            width, height = ctypes.c_uint(), ctypes.c_uint()
            pdfium.FPDFImageObj_GetImagePixelSize(object, width, height)
            if width.value and height.value:
                shown.append(_show(object, width.value, height.value, matrix, box, sideways))
        elif kind == pdfium.FPDF_PAGEOBJ_TEXT:
            drawn = drawn or pdfium.FPDFTextObj_GetTextRenderMode(object) != _INVISIBLE
        elif kind != pdfium.FPDF_PAGEOBJ_FORM:
            drawn = True
    return Content(tuple(shown), drawn)


def _objects(pdfium: Any, page: Any) -> Iterator[tuple[Any, int, Matrix]]:
    """Walk through what a page consists of: handle, kind, and matrix to the page."""
    left = _MANY

    def walk(
        parent: Any, count: Callable[[Any], int], get: Callable[[Any, int], Any], outer: Matrix, depth: int
    ) -> Iterator[tuple[Any, int, Matrix]]:
        nonlocal left
        for index in range(count(parent)):
            left -= 1
            if left < 0:
                return
            object = get(parent, index)
            kind = pdfium.FPDFPageObj_GetType(object)
            found = pdfium.FS_MATRIX()
            pdfium.FPDFPageObj_GetMatrix(object, found)
            matrix = _concatenate((found.a, found.b, found.c, found.d, found.e, found.f), outer)
            yield object, kind, matrix
            if kind == pdfium.FPDF_PAGEOBJ_FORM and depth < _DEEP:
                yield from walk(
                    object, pdfium.FPDFFormObj_CountObjects, pdfium.FPDFFormObj_GetObject, matrix, depth + 1
                )

    yield from walk(page, pdfium.FPDFPage_CountObjects, pdfium.FPDFPage_GetObject, (1, 0, 0, 1, 0, 0), 0)


def _concatenate(inner: Matrix, outer: Matrix) -> Matrix:
    a, b, c, d, e, f = inner
    p, q, r, s, t, u = outer
    return (
        a * p + b * r,
        a * q + b * s,
        c * p + d * r,
        c * q + d * s,
        e * p + f * r + t,
        e * q + f * s + u,
    )


def _show(
    handle: Any, width: int, height: int, matrix: Matrix, page: tuple[float, float, float, float], sideways: bool
) -> Shown:
    """Place a picture, which PDF always draws into the square from (0, 0) to (1, 1), on the page."""
    a, b, c, d, e, f = matrix
    left, right = e + min(0, a) + min(0, c), e + max(0, a) + max(0, c)
    bottom, top = f + min(0, b) + min(0, d), f + max(0, b) + max(0, d)
    seen = max(0.0, min(right, page[2]) - max(left, page[0])) * max(0.0, min(top, page[3]) - max(bottom, page[1]))
    cover = min(seen, abs(a * d - b * c)) / max(1e-9, (page[2] - page[0]) * (page[3] - page[1]))
    along, up = width / max(1e-9, math.hypot(a, b)), height / max(1e-9, math.hypot(c, d))
    if (abs(a) < abs(b)) != sideways:
        along, up = up, along
    return Shown(handle, width, height, ((left, bottom), (right, top)), Placed(along, up, cover))


def check_streams(pdfium: Any, page: Any, shown: Sequence[Shown]) -> None:
    """Raise `PageError` if the data of a picture end too early: pdfium would draw what is there, and black or grey.

    Only those are known here that say how long they are: most of all JPEG.
    """
    for picture in shown:
        filters = _filters(pdfium, picture.handle)
        if filters == [b"DCTDecode"]:
            whole = _is_whole_jpeg(_data(pdfium, picture.handle))
        elif filters == [b"FlateDecode"]:
            found = pdfium.FPDF_IMAGEOBJ_METADATA()
            pdfium.FPDFImageObj_GetImageMetadata(picture.handle, page, found)
            needed = picture.height * -(-picture.width * found.bits_per_pixel // 8)
            whole = _unpacks(_data(pdfium, picture.handle), needed)
        else:
            continue
        if not whole:
            raise PageError("truncated", "The data of a picture on the page are damaged, or end too early.")


def _filters(pdfium: Any, picture: Any) -> list[bytes]:
    names = []
    for index in range(pdfium.FPDFImageObj_GetImageFilterCount(picture)):
        name = ctypes.create_string_buffer(pdfium.FPDFImageObj_GetImageFilter(picture, index, None, 0))
        pdfium.FPDFImageObj_GetImageFilter(picture, index, name, len(name))
        names.append(name.value)
    return names


def _data(pdfium: Any, picture: Any) -> memoryview:
    data = (ctypes.c_ubyte * pdfium.FPDFImageObj_GetImageDataRaw(picture, None, 0))()
    pdfium.FPDFImageObj_GetImageDataRaw(picture, data, len(data))
    return memoryview(data).cast("B")


def _is_whole_jpeg(data: memoryview) -> bool:
    """Tell if there is an end behind the start of its (last) scan."""
    content = bytes(data)
    return content.rfind(b"\xff\xd9") > content.rfind(b"\xff\xda") >= 0


def _unpacks(data: memoryview, needed: int) -> bool:
    """Tell if zlib data are sound, and at least so many bytes."""
    unpacker = zlib.decompressobj()
    count = 0
    try:
        while not unpacker.eof and (data or unpacker.unconsumed_tail) and count <= 2 * needed + _STEP:
            source = unpacker.unconsumed_tail or data
            if not unpacker.unconsumed_tail:
                source, data = data[:_STEP], data[_STEP:]
            count += len(unpacker.decompress(source, _STEP))
    except zlib.error:
        return False
    return unpacker.eof or count >= needed


def is_decodable(pdfium: Any, picture: Shown) -> bool:
    """Tell if pdfium makes anything of a picture; it decodes all of it for that."""
    bitmap = pdfium.FPDFImageObj_GetBitmap(picture.handle)
    if bitmap:
        pdfium.FPDFBitmap_Destroy(bitmap)
    return bool(bitmap)
