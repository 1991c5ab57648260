"""Small files that unpack to more than a machine has, and what is no file at all; show that each is refused at once.

    python benchmarks/bombs.py

Each is read alone. What it takes beyond the run on one good small file must be under a second, and no process may take
300 MB. Then all are read together: a row each, and exit code 4 for the one good picture among them.

Two more cannot be told before they go off, in a process that may take so much memory and no more: they cost that
process, some time, and one row.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from fuzz import make_pdf, pdf_stream, read_rows
from memory import Watched, run_watched

ROOT = Path(__file__).parents[1]
GOOD = ROOT / "samples" / "images" / "formats" / "mnist-28x28.png"
SECONDS, MEMORY = 1.0, 300.0  # beyond those of the good file; MB in all
WORKER = 4300.0  # MB: 1 GiB, and 12 bytes for each pixel that a page may have
LIMIT, PATIENCE = 120.0, 600.0  # seconds: then it hangs
COUNT = 100_000  # pages, frames
SIDE = 60_000  # pixels


def zeros(count: int) -> bytes:
    """Return so many MiB of zeros as zlib packs them: made of one packed MiB that is repeated."""
    packer = zlib.compressobj(9, wbits=-15)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # after which nothing refers to before
    checksum = (count * (1 << 20)) % 65521 << 16 | 1  # Adler-32: of zeros it needs no pass over them
    return b"\x78\xda" + first * count + b"\x03\0" + struct.pack(">I", checksum)


def packed_rows(rows: int, width: int) -> bytes:
    """Return rows of zeros, packed."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(width) * 100) for _ in range(rows // 100)]
    return b"".join(parts) + packer.compress(bytes(width) * (rows % 100)) + packer.flush()


def png(width: int, height: int, data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of one bit a pixel."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


def tiff(frames: int, *, width: int = 8, height: int = 8, circle: bool = False) -> bytes:
    """Return a TIFF whose frames share their pixels."""
    pixels = b"\xff" * 64
    start = 8 + len(pixels)
    entries = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 64))
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    size = len(body) + 4
    links = [start + size * number for number in range(1, frames)] + [start if circle else 0]
    return struct.pack("<2sHI", b"II", 42, start) + pixels + b"".join(body + struct.pack("<I", link) for link in links)


def gif(side: int) -> bytes:
    """Return a GIF of one pixel on a large canvas."""
    return (
        struct.pack("<6sHHBBB", b"GIF89a", side, side, 0x80, 0, 0)
        + b"\0\0\0\xff\xff\xff"
        + struct.pack("<BHHHHB", 0x2C, 0, 0, 1, 1, 0)
        + b"\x02\x02\x44\x01\0;"
    )


def webp(side: int) -> bytes:
    """Return a WebP of one pixel on a large canvas."""
    pixel = bytes.fromhex("2f00000000076011b1ff01")  # VP8L, 1 x 1
    chunk = b"VP8L" + struct.pack("<I", len(pixel)) + pixel + b"\0"
    canvas = b"VP8X" + struct.pack("<IB3x", 10, 0) + 2 * (side - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 4 + len(canvas) + len(chunk)) + b"WEBP" + canvas + chunk


def heic(side: int) -> bytes:
    """Return a HEIC that claims a large picture."""
    content = (ROOT / "tests" / "data" / "rotated.heic").read_bytes()
    at = content.index(b"ispe") + 8
    return content.replace(content[at : at + 8], struct.pack(">II", side, side))


CATALOGUE = b"<< /Type /Catalog /Pages 2 0 R >>"
PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 90 120] "


def pdf_of_pages(count: int) -> bytes:
    """Return a PDF of empty pages, each its own object."""
    kids = b" ".join(b"%d 0 R" % number for number in range(3, count + 3))
    return make_pdf([CATALOGUE, b"<< /Type /Pages /Kids [%b] /Count %d >>" % (kids, count), *[PAGE + b">>"] * count])


def pdf_of_shared_pages(levels: int) -> bytes:
    """Return a PDF of 2 ** levels pages, of which there is one."""
    nodes = [
        b"<< /Type /Pages /Kids [%d 0 R %d 0 R] /Count %d >>" % (number + 1, number + 1, 2 ** (levels + 2 - number))
        for number in range(2, levels + 2)
    ]
    return make_pdf([CATALOGUE, *nodes, PAGE + b">>"])


def pdf_of_levels(levels: int) -> bytes:
    """Return a PDF of one page, which lies deep in the tree."""
    nodes = [b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % (number + 1) for number in range(2, levels + 2)]
    return make_pdf([CATALOGUE, *nodes, PAGE + b">>"])


def pdf_in_a_circle() -> bytes:
    """Return a PDF whose tree of pages leads back to its root."""
    return make_pdf(
        [
            CATALOGUE,
            b"<< /Type /Pages /Kids [3 0 R] /Count 9 >>",
            b"<< /Type /Pages /Parent 2 0 R /Kids [2 0 R 3 0 R] /Count 9 >>",
        ]
    )


def pdf_of_forms(levels: int, uses: int) -> bytes:
    """Return a PDF whose page draws something that draws something else several times, and so on."""
    forms = [
        pdf_stream(
            b"/F Do " * uses if number < levels else b"0 0 9 9 re f",
            b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F %d 0 R >> >>" % (number + 6),
        )
        for number in range(levels + 1)
    ]
    page = PAGE + b"/Contents 4 0 R /Resources << /XObject << /F 5 0 R >> >> >>"
    return make_pdf([CATALOGUE, b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, pdf_stream(b"/F Do", b""), *forms])


def pdf_of_picture(side: int) -> bytes:
    """Return a PDF that shows one large picture."""
    entries = b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 1"
    picture = pdf_stream(packed_rows(side, -(-side // 8)), entries % (side, side) + b" /Filter /FlateDecode")
    page = PAGE + b"/Contents 4 0 R /Resources << /XObject << /P 5 0 R >> >> >>"
    drawing = pdf_stream(b"90 0 0 120 0 0 cm /P Do", b"")
    return make_pdf([CATALOGUE, b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, drawing, picture])


def pdf_of_much_to_draw(count: int) -> bytes:
    """Return a PDF of one page whose content unpacks to so many MiB."""
    page = PAGE + b"/Contents 4 0 R >>"
    content = pdf_stream(zeros(count), b"/Filter /FlateDecode")
    return make_pdf([CATALOGUE, b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, content])


def pdf_of_a_large_page() -> bytes:
    """Return a PDF of one page of five by five metres."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 14400 14400] /Contents 4 0 R >>"
    drawing = pdf_stream(b"9 9 999 999 re f", b"")
    return make_pdf([CATALOGUE, b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, drawing])


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        before = Path.cwd()
        os.chdir(path.parent)  # the address of a socket must be short
        try:
            one.bind(path.name)
        finally:
            os.chdir(before)


def _chain(path: Path) -> None:
    links = path.parent / ".links"
    links.mkdir()
    shutil.copy(GOOD, links / "0")
    for number in range(60):
        (links / str(number + 1)).symlink_to(str(number))
    path.symlink_to(".links/60")


def _circle(path: Path) -> None:
    (path.parent / ".back").symlink_to(path.name)
    path.symlink_to(".back")


PIXEL = zlib.compress(bytes(2))
ANY = frozenset()
Bomb = tuple[Callable[[], bytes] | Callable[[Path], None], frozenset[str] | set[str]]
BOMBS: dict[str, Bomb] = {
    # name of the file: how it is made, and the reasons that its row may have
    "60,000 x 60,000 pixels.png": (lambda: png(SIDE, SIDE, packed_rows(SIDE, 1 + -(-SIDE // 8))), {"too_large"}),
    "4 GB of colour profile.png": (lambda: png(1, 1, PIXEL, (b"iCCP", b"x\0\0" + zeros(4096))), ANY),
    "4 GB of text.png": (lambda: png(1, 1, PIXEL, (b"zTXt", b"x\0\0" + zeros(4096))), ANY),
    "4 GB of other text.png": (lambda: png(1, 1, PIXEL, (b"iTXt", b"x\0\1\0\0\0" + zeros(4096))), ANY),
    "4 GB for one pixel.png": (lambda: png(1, 1, zeros(4096)), ANY),
    "100,000 frames.tif": (lambda: tiff(COUNT), {"too_many_pages"}),
    "frames in a circle.tif": (lambda: tiff(3, circle=True), ANY),
    "large.tif": (lambda: tiff(1, width=0x7FFFFFFF, height=0x7FFFFFFF), {"too_large"}),
    "65,535 x 65,535 pixels.gif": (lambda: gif(0xFFFF), {"too_large"}),
    "16 million x 16 million pixels.webp": (lambda: webp(1 << 24), {"too_large"}),
    "60,000 x 60,000 pixels.heic": (lambda: heic(SIDE), {"too_large", "reader_missing"}),
    "100,000 pages.pdf": (lambda: pdf_of_pages(COUNT), {"too_many_pages"}),
    "131,072 shared pages.pdf": (lambda: pdf_of_shared_pages(17), {"too_many_pages"}),
    "100,000 levels.pdf": (lambda: pdf_of_levels(COUNT), ANY),
    "pages in a circle.pdf": (pdf_in_a_circle, {"unreadable"}),
    "a picture of 60,000 x 60,000 pixels.pdf": (lambda: pdf_of_picture(SIDE), {"too_large"}),
    "25 square metres.pdf": (pdf_of_a_large_page, ANY),
    "pipe.jpg": (os.mkfifo, {"not_a_file"}),
    "socket.jpg": (_socket, {"not_a_file"}),
    "endless.png": (lambda path: path.symlink_to("/dev/zero"), {"not_a_file"}),
    "long chain of links.jpg": (_chain, {"unreadable"}),
    "circle of links.jpg": (_circle, {"unreadable"}),
}
UNTOLD: dict[str, Bomb] = {
    "4 GB to draw.pdf": (lambda: pdf_of_much_to_draw(4096), {"worker_died"}),
    "drawn 10,000,000,000 times.pdf": (lambda: pdf_of_forms(10, 10), {"worker_died"}),
}
SPECIAL = frozenset(("pipe.jpg", "socket.jpg", "endless.png", "long chain of links.jpg", "circle of links.jpg"))


def make_bomb(folder: Path, name: str) -> Path:
    """Make one of them, in a folder of its own; return that folder."""
    path, make = folder / name.replace(".", " ") / name, (BOMBS | UNTOLD)[name][0]
    path.parent.mkdir(parents=True)
    if name in SPECIAL:
        make(path)
    else:
        path.write_bytes(make())
    return path.parent


def run(given: Path, output: Path, *options: str, limit: float = LIMIT) -> Watched:
    """Run the program over one file or folder."""
    output.unlink(missing_ok=True)
    return run_watched(["classify", given, "-m", "knn", "-o", output, "-q", *options], limit=limit)


def complaints(name: str, found: Watched, output: Path) -> list[str]:
    """Return what must not be, time apart."""
    if found.late:
        return [f"it hangs: not done after {found.seconds:.0f} s"]
    rows = read_rows(output)
    wrong = [] if found.code in (0, 5) else [f"exit code {found.code}: {found.errors[-500:]}"]
    wrong += ["a traceback"] if "Traceback" in found.errors else []
    wrong += [] if rows else ["no row"]
    allowed = (BOMBS | UNTOLD)[name][1]
    wrong += [f"reason {row['reason']!r}" for row in rows[:1] if allowed and row["reason"] not in allowed]
    most = {found.main: MEMORY, found.worker: MEMORY if name in BOMBS else WORKER}
    return wrong + [f"{used:.0f} MB" for used, allowed in most.items() if used > allowed]


def main() -> None:
    """Measure each, then all together."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="those whose name holds this")
    parser.add_argument("--repeat", type=int, default=5, help="times to try until the time is right: machines are busy")
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as name:
        output, document = Path(name, "rows.csv"), Path(name, "good.pdf")
        document.write_bytes(pdf_of_pages(1))
        start: dict[bool, float] = {}
        for good in (GOOD, document):
            runs = [run(good, output) for _ in range(max(2, options.repeat))]
            start[good is document] = min(found.seconds for found in runs)
            print(f"one good small {good.suffix}: {start[good is document]:.2f} s, {runs[0].peak:.0f} MB")
        folder = Path(name, "bombs")
        folder.mkdir()
        shutil.copy(GOOD, folder / "good.png")
        made = [bomb for bomb in BOMBS if options.only in bomb]
        for bomb in made:
            place = make_bomb(folder, bomb)
            extra, wrong = LIMIT, []
            for _ in range(options.repeat):
                found = run(place, output)
                extra = min(found.seconds - start[bomb.endswith(".pdf")], extra)
                wrong = complaints(bomb, found, output)
                if wrong or extra < SECONDS:
                    break
            wrong += [f"more than {SECONDS:.0f} s"] if extra >= SECONDS else []
            reason = next((row["reason"] for row in read_rows(output)), "")
            size = f"{(place / bomb).lstat().st_size / 1000:,.1f} kB"
            print(f"{bomb}: {size}, {reason or '-'}, {extra:+.2f} s, {found.peak:.0f} MB", *wrong, sep="  WRONG: ")
            failed |= bool(wrong)
        found = run(folder, output, "--jobs", "2")
        rows = read_rows(output)
        files = {row["file"].rpartition("/")[2] for row in rows}
        wrong = [] if files == {"good.png", *made} else ["not a row for each"]
        wrong += [] if found.code == 4 else [f"exit code {found.code}"]
        title = f"together: {len(made) + 1} files, {len(rows)} rows, exit code {found.code}"
        print(f"{title}, {found.seconds:.1f} s, {found.peak:.0f} MB", *wrong, sep="  WRONG: ")
        failed |= bool(wrong)
        for bomb in [bomb for bomb in UNTOLD if options.only in bomb]:
            found = run(make_bomb(folder, bomb), output, limit=PATIENCE)
            wrong = complaints(bomb, found, output)
            title = f"{bomb}: exit code {found.code} after {found.seconds:.1f} s"
            print(f"{title}, {found.main:.0f} MB, worker {found.worker:.0f} MB", *wrong, sep="  WRONG: ")
            failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
