"""PDF to upright pages, each at the resolution of what was scanned into it.

pdfium draws them: no JavaScript, no XFA, nothing fetched. It is a C library, called through the plain bindings of
pypdfium2, so that each thing it allocates is given back where it was asked for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchdigits.errors import PageError
from batchdigits.sources.limits import Limits
from batchdigits.sources.pdf_pictures import Shown, check_streams, find_content, is_decodable
from batchdigits.sources.resolution import page_size, reduced
from batchdigits.sources.walk import looks_like_page
from batchdigits.types import Page, PageId

_TAIL = 2048  # bytes: so far from its end the last words of a PDF may stand
_INSET = 0.01  # pixels, see `_draw`
_CUT_OFF = "The PDF is cut off: its end is missing. Copy it again from where it came."

_turn = threading.RLock()  # pdfium is for one thread at a time


def is_pdf(head: bytes) -> bool:
    """Tell by the first bytes of a file; some programs write a few lines of their own before the header."""
    return head.startswith(b"%PDF-") or (b"%PDF-" in head and not looks_like_page(head))


@contextlib.contextmanager
def open_pdf(path: Path, limits: Limits) -> Iterator[PdfDocument]:
    """Open a PDF without drawing any page.

    Raises
    ------
    PageError
        If pypdfium2 is missing, or the file is encrypted, damaged or too long.
    """
    try:
        import pypdfium2.raw as pdfium
    except ImportError as error:
        raise PageError("reader_missing", "PDF needs one more package: pip install pypdfium2") from error
    with contextlib.ExitStack() as stack:
        settings = pdfium.FPDF_FORMFILLINFO(version=2)  # pdfium keeps a pointer to it
        with _turn:
            handle = pdfium.FPDF_LoadDocument(os.fsencode(path.absolute()) + b"\0", None)
            if not handle:
                raise _explain(pdfium, pdfium.FPDF_GetLastError(), path)
            stack.callback(_in_turn, pdfium.FPDF_CloseDocument, handle)
            if _is_cut_off(path):
                raise PageError("truncated", _CUT_OFF)
            form = None
            if pdfium.FPDF_GetFormType(handle) != pdfium.FORMTYPE_NONE:
                form = pdfium.FPDFDOC_InitFormFillEnvironment(handle, settings)
            if form:
                stack.callback(_in_turn, pdfium.FPDFDOC_ExitFormFillEnvironment, form)
            document = PdfDocument(pdfium, handle, form, limits)
        yield document


def _in_turn(close: Any, handle: Any) -> None:
    with _turn:
        close(handle)


def _explain(pdfium: Any, code: int, path: Path) -> PageError:
    """Say why a file could not be opened."""
    if code == pdfium.FPDF_ERR_PASSWORD:
        return PageError("encrypted", "The PDF asks for a password. Remove the password with a PDF program.")
    if code == pdfium.FPDF_ERR_SECURITY:
        return PageError("encrypted", "The PDF is encrypted in a way that is unknown here. Export it unencrypted.")
    if _is_cut_off(path):
        return PageError("truncated", _CUT_OFF)
    return PageError("unreadable", "The PDF is damaged. A PDF program may be able to repair it.")


def _is_cut_off(path: Path) -> bool:
    """Tell if a PDF does not end as all do.

    pdfium opens some of these. What it cannot find on a page it leaves white, which would pass for a blank page.
    """
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        tail = file.read()
    return b"startxref" not in tail and b"%%EOF" not in tail


def _last_page(pdfium: Any, handle: Any, claimed: int) -> int:
    """Return how many pages there are to ask for: those that exist, and one that stands for all missing behind them."""
    size = pdfium.FS_SIZEF()
    number = claimed
    while number > 0 and not pdfium.FPDF_GetPageSizeByIndexF(handle, number - 1, size):
        number -= 1
    return min(number + 1, claimed)


class PdfDocument:
    """An open PDF."""

    def __init__(self, pdfium: Any, handle: Any, form: Any, limits: Limits) -> None:
        self._pdfium = pdfium
        self._handle = handle
        self._form = form
        self._limits = limits
        self._claimed = pdfium.FPDF_GetPageCount(handle)
        if self._claimed < 1:
            raise PageError("unreadable", "The PDF has no pages.")
        limits.check_pages(self._claimed)
        self.pages = _last_page(pdfium, handle, self._claimed)

    def read(self, page: PageId, reduce_to: int | None = None) -> Page:
        """Draw one page; see `Document`."""
        try:
            with _turn, self._loaded(page.number) as handle:
                return self._read(handle, page, reduce_to)
        except PageError:
            raise
        except MemoryError as error:
            raise PageError("too_large", "No memory for the page.") from error
        except Exception as error:
            raise PageError("unreadable", f"Damaged page: {error}") from error

    @contextlib.contextmanager
    def _loaded(self, number: int) -> Iterator[Any]:
        handle = self._pdfium.FPDF_LoadPage(self._handle, number - 1)
        if not handle:
            missing = number == self.pages < self._claimed
            rest = f"The PDF claims {self._claimed:,} pages; those from {number:,} on are missing."
            raise PageError("unreadable", rest if missing else "The page is damaged, or missing in the PDF.")
        try:
            if self._form:
                self._pdfium.FORM_OnAfterLoadPage(handle, self._form)
            yield handle
        finally:
            if self._form:
                self._pdfium.FORM_OnBeforeClosePage(handle, self._form)
            self._pdfium.FPDF_ClosePage(handle)

    def _read(self, handle: Any, page: PageId, reduce_to: int | None) -> Page:
        pdfium = self._pdfium
        content = find_content(pdfium, handle)
        pixels = sum(shown.width * shown.height for shown in content.shown)
        self._limits.check_pixels(pixels, "The pictures on the page have")
        check_streams(pdfium, handle, content.shown)
        points = pdfium.FPDF_GetPageWidthF(handle), pdfium.FPDF_GetPageHeightF(handle)
        placed = [shown.placed for shown in content.shown]
        full = page_size(*points, placed, drawn=content.drawn, max_pixels=self._limits.max_pixels)
        size = reduced(full, reduce_to)
        drawn = self._draw(handle, points, size)
        self._check_drawn(handle, content.shown, drawn)
        return Page(page, drawn, scale=(full[0] / size[0], full[1] / size[1]))

    def _draw(self, handle: Any, points: tuple[float, float], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Draw a page on white, with its annotations and the fields of its form."""
        pdfium = self._pdfium
        width, height = size
        pixels = np.full((height, width, 3), 255, np.uint8)
        bitmap = pdfium.FPDFBitmap_CreateEx(
            width, height, pdfium.FPDFBitmap_BGR, pixels.ctypes.data_as(ctypes.c_void_p), pixels.strides[0]
        )
        if not bitmap:
            raise PageError("too_large", f"The page cannot be drawn at {width:,} x {height:,} pixels.")
        try:
            # a picture that by rounding is a millionth wider than its pixels would be stretched to one more of them
            across, down = (width - 2 * _INSET) / points[0], (height - 2 * _INSET) / points[1]
            matrix, clip = pdfium.FS_MATRIX(across, 0, 0, down, _INSET, _INSET), pdfium.FS_RECTF(0, 0, width, height)
            pdfium.FPDF_RenderPageBitmapWithMatrix(bitmap, handle, matrix, clip, pdfium.FPDF_ANNOT)
            if self._form:
                pdfium.FPDF_FFLDraw(self._form, bitmap, handle, 0, 0, width, height, 0, pdfium.FPDF_ANNOT)
        finally:
            pdfium.FPDFBitmap_Destroy(bitmap)
        return pixels

    def _check_drawn(self, handle: Any, shown: Sequence[Shown], pixels: NDArray[np.uint8]) -> None:
        """Raise `PageError` if a picture has left nothing but white and cannot be decoded: pdfium tells nobody."""
        height, width = pixels.shape[:2]
        x, y = ctypes.c_int(), ctypes.c_int()
        for picture in shown:
            across, down = [], []
            for corner in picture.corners:
                self._pdfium.FPDF_PageToDevice(handle, 0, 0, width, height, 0, *corner, x, y)
                across.append(min(max(0, x.value), width - 1))
                down.append(min(max(0, y.value), height - 1))
            part = pixels[min(down) : max(down) + 1, min(across) : max(across) + 1]
            if part.min() == 255 and not is_decodable(self._pdfium, picture):
                raise PageError("unreadable", "A picture on the page is damaged.")
