"""Feed the program thousands of damaged files in one run; show that each costs its own row and nothing else.

    python benchmarks/fuzz.py --files 10000 --seed 0

Small valid files of every format, made from the samples, are damaged in all the ways that disks, networks and people
with a hex editor have: flipped bits, runs of bytes lost, doubled or overwritten, ends cut off, parts of the format
(chunks, segments, boxes, objects) removed or in another order, lengths and sizes set to extremes, two files in one.
The run must end by itself with exit code 4 (or 0, or 5), with a row for every file, no traceback, no worker killed, and
with no more memory in its last third than in its first. What kills a worker, or is slow, is copied to `--keep`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import re
import shutil
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from memory import Watched, run_watched
from PIL import Image, PngImagePlugin, features

from batchdigits.sources.walk import PAGE_EXTENSIONS, looks_like_page
from batchdigits.writers import read_csv

ROOT = Path(__file__).parents[1]
PER_FOLDER = 1000
GROWTH = 1.2  # times the memory of the first third
ENOUGH = 3000  # files: with fewer, the first third is spent on starting
SLOW = 10.0  # seconds for one file: worth a look
LARGE = 1 << 20  # bytes: no more is added to a file

Rng = random.Random
Make = Callable[[Rng, bytes], bytes]

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
EXTREMES += (0x100000000, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


# Valid files


def valid_files() -> dict[str, bytes]:
    """Return small pictures and documents of every kind that is read, by names with their extensions."""
    small = [
        Image.open(ROOT / "samples" / "images" / name).convert("RGB").resize((72, 96))
        for name in ("blue-ink.jpg", "board/green.jpg", "marker.jpg")
    ]
    one, grey, few = small[0], small[1].convert("L"), small[2].quantize(8)
    deep = Image.frombytes("I;16", grey.size, b"".join(bytes((value, 255 - value)) for value in grey.tobytes()))
    clear = small[2].copy()
    clear.putalpha(small[2].convert("L").point(lambda value: 255 - value))
    found = {
        **_jpegs(one, grey, small),
        **_pngs(one, grey, few, deep, clear),
        **_tiffs(one, grey, few, deep, small),
        **_pdfs(one, grey, small),
        "lossy.webp": _save(one, "WEBP", quality=60),
        "lossless.webp": _save(clear, "WEBP", lossless=True),
        "moving.webp": _save(one, "WEBP", save_all=True, append_images=small[1:]),
        "colour.bmp": _save(one, "BMP"),
        "palette.bmp": _save(few, "BMP"),
        "bits.bmp": _save(grey.convert("1"), "BMP"),
        "clear.bmp": _save(clear, "BMP"),
        "palette.gif": _save(few, "GIF"),
        "moving.gif": _save(one, "GIF", save_all=True, append_images=small[1:]),
    }
    if features.check("avif"):
        found["colour.avif"] = _save(one, "AVIF", quality=50, max_threads=1)
        found["clear.avif"] = _save(clear, "AVIF", quality=50, max_threads=1)
    for path in sorted((ROOT / "tests" / "data").glob("*.hei[cf]")):
        found[path.name] = path.read_bytes()
    return found


def _save(image: Image.Image, form: str, **options: Any) -> bytes:
    if "append_images" in options:
        options["append_images"] = [other.copy() for other in options["append_images"]]
    file = io.BytesIO()
    image.copy().save(file, form, **options)  # Pillow leaves settings of one format in the picture, and trips over them
    return file.getvalue()


def _jpegs(one: Image.Image, grey: Image.Image, small: Sequence[Image.Image]) -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    exif[0x010E] = "a 7"
    exif.get_ifd(0x8825)[1] = "N"
    return {
        "colour.jpg": _save(one, "JPEG"),
        "grey.jpeg": _save(grey, "JPEG", quality=50),
        "progressive.jpg": _save(one, "JPEG", progressive=True),
        "restarts.jpg": _save(one, "JPEG", restart_marker_rows=1, subsampling=0),
        "cmyk.jpg": _save(one.convert("CMYK"), "JPEG"),
        "exif.jpg": _save(one, "JPEG", exif=exif, comment=b"made here", icc_profile=bytes(200)),
        "several.jpg": _save(one, "MPO", save_all=True, append_images=small[1:]),
    }


def _pngs(
    one: Image.Image, grey: Image.Image, few: Image.Image, deep: Image.Image, clear: Image.Image
) -> dict[str, bytes]:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "a 7", zip=True)
    texts.add_itxt("Description", "a 7", "en", "Description")
    exif = Image.Exif()
    exif[0x0112] = 8
    return {
        "colour.png": _save(one, "PNG"),
        "grey.png": _save(grey, "PNG"),
        "bits.png": _save(grey.convert("1"), "PNG"),
        "16-bit.png": _save(deep, "PNG"),
        "palette.png": _save(few, "PNG", transparency=bytes(range(0, 256, 32))),
        "clear.png": _save(clear, "PNG"),
        "texts.png": _save(one, "PNG", pnginfo=texts, icc_profile=bytes(200), exif=exif, dpi=(300, 300)),
        "moving.apng": _save(grey, "PNG", save_all=True, append_images=[grey.rotate(90), grey.rotate(180)]),
    }


def _tiffs(
    one: Image.Image, grey: Image.Image, few: Image.Image, deep: Image.Image, small: Sequence[Image.Image]
) -> dict[str, bytes]:
    return {
        "plain.tif": _save(one, "TIFF"),
        "lzw.tif": _save(one, "TIFF", compression="tiff_lzw"),
        "deflate.tiff": _save(grey, "TIFF", compression="tiff_adobe_deflate"),
        "packbits.tif": _save(few, "TIFF", compression="packbits"),
        "jpeg.tif": _save(one, "TIFF", compression="jpeg"),
        "fax.tif": _save(grey.convert("1"), "TIFF", compression="group4"),
        "16-bit.tif": _save(deep, "TIFF"),
        "real.tif": _save(grey.convert("F"), "TIFF"),
        "cmyk.tif": _save(one.convert("CMYK"), "TIFF", compression="tiff_lzw"),
        "big.tif": _save(grey, "TIFF", big_tiff=True),
        "frames.tif": _save(one, "TIFF", compression="tiff_lzw", save_all=True, append_images=small[1:]),
        "big-frames.tif": _save(grey, "TIFF", big_tiff=True, save_all=True, append_images=[deep, few]),
    }


def _pdfs(one: Image.Image, grey: Image.Image, small: Sequence[Image.Image]) -> dict[str, bytes]:
    at = {"creationDate": time.gmtime(0), "modDate": time.gmtime(0)}  # else the same seed gives other files
    return {
        "jpeg.pdf": _save(one, "PDF", **at),
        "fax.pdf": _save(grey.convert("1"), "PDF", **at),
        "pages.pdf": _save(one, "PDF", save_all=True, append_images=small[1:], **at),
        "drawn.pdf": make_pdf(
            [
                b"<< /Type /Catalog /Pages 2 0 R >>",
                b"<< /Type /Pages /Kids [3 0 R 5 0 R] /Count 2 >>",
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 90 120] /Contents 4 0 R /Resources << /XObject <<"
                b" /P 6 0 R /F 7 0 R >> >> >>",
                pdf_stream(b"q 80 0 0 100 5 5 cm /P Do Q 2 w 10 10 m 70 90 l S /F Do", b"", packed=True),
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 90 120] /Rotate 90 /Contents 4 0 R /Resources <<"
                b" /XObject << /P 6 0 R /F 7 0 R >> >> /Annots [<< /Type /Annot /Subtype /Square /Rect [5 5 40 40] >>]"
                b" >>",
                pdf_stream(
                    grey.tobytes(),
                    b"/Type /XObject /Subtype /Image /Width 72 /Height 96 /ColorSpace /DeviceGray /BitsPerComponent 8",
                    packed=True,
                ),
                pdf_stream(
                    b"BI /W 8 /H 8 /CS /G /BPC 1 ID \x81\x42\x24\x18\x18\x24\x42\x81 EI",
                    b"/Type /XObject /Subtype /Form /BBox [0 0 90 120]",
                ),
            ]
        ),
    }


def make_pdf(objects: Sequence[bytes], version: bytes = b"1.7") -> bytes:
    """Return a PDF of objects, numbered from 1; the first is the catalogue."""
    content = bytearray(b"%PDF-" + version + b"\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = len(content)
    content += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    content += b"".join(b"%010d 00000 n \n" % place for place in places)
    content += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(content)


def pdf_stream(data: bytes, entries: bytes, *, packed: bool = False) -> bytes:
    """Return a stream of a PDF."""
    data = zlib.compress(data) if packed else data
    how = b" /Filter /FlateDecode" if packed else b""
    return b"<< /Length %d%b %b >>\nstream\n%b\nendstream" % (len(data), how, entries, data)


# Damage to any bytes


def _place(rng: Rng, content: bytes) -> int:
    """Choose a place: as often near the start, where sizes and counts stand, as anywhere."""
    most = len(content) if rng.random() < 0.5 else min(len(content), 4 ** rng.randint(2, 6))
    return rng.randrange(max(1, most))


def _run(rng: Rng, content: bytes) -> slice:
    start = _place(rng, content)
    return slice(start, start + int(2 ** rng.uniform(0, 11)))


def flip_bits(rng: Rng, content: bytes) -> bytes:
    """As bad memory does."""
    changed = bytearray(content)
    for _ in range(int(2 ** rng.uniform(0, 5))):
        changed[_place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def replace_run(rng: Rng, content: bytes) -> bytes:
    """Overwrite bytes with noise, zeros, ones, or with others of the file, without moving the rest."""
    run = _run(rng, content)
    length = len(content[run])
    start = rng.randrange(len(content))
    other = rng.choice([rng.randbytes(length), bytes(length), b"\xff" * length, content[start : start + length]])
    return content[: run.start] + other + content[run.start + len(other) :]


def remove_run(rng: Rng, content: bytes) -> bytes:
    """Lose bytes."""
    run = _run(rng, content)
    return content[: run.start] + content[run.stop :]


def double_run(rng: Rng, content: bytes) -> bytes:
    """Repeat bytes, once or often."""
    run = _run(rng, content)
    return content[: run.start] + content[run] * rng.choice((2, 2, 3, 50)) + content[run.stop :]


def cut_end(rng: Rng, content: bytes) -> bytes:
    """Stop early, as a copy over a bad line does; sometimes the length is right and the rest is zeros."""
    end = rng.randrange(len(content))
    return content[:end] + (bytes(len(content) - end) if rng.random() < 0.3 else b"")


def set_extreme(rng: Rng, content: bytes) -> bytes:
    """Set what may be a length, a size, an offset or a count to an extreme."""
    width, order = rng.choice((1, 2, 2, 4, 4, 4, 8)), rng.choice(("little", "big"))
    value = rng.choice(EXTREMES) % (1 << 8 * width)
    start = _place(rng, content)
    if rng.random() < 0.5:  # most numbers in headers stand at even places
        start -= start % min(width, 4)
    return content[:start] + value.to_bytes(width, order) + content[start + width :]


ANYWHERE: tuple[Make, ...] = (flip_bits, replace_run, remove_run, double_run, cut_end, set_extreme)


# Damage to the parts of a format


def split_png(content: bytes) -> list[bytes]:
    """Return the signature and the chunks."""
    parts, at = [content[:8]], 8
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        parts.append(content[at:end])
        at = end
    return parts


def split_jpeg(content: bytes) -> list[bytes]:
    """Return the segments; the coded pixels are a part of the last before them."""
    parts, at = [content[:2]], 2
    while content[at : at + 1] == b"\xff":
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if content[at + 1] == 0xDA:
            next_marker = re.compile(rb"\xff[\xc0-\xcf\xd8-\xff]").search(content, end)
            end = next_marker.start() if next_marker else len(content)
        parts.append(content[at:end])
        at = end
    return [*parts, content[at:]]


def split_riff(content: bytes) -> list[bytes]:
    """Return the header and the chunks."""
    parts, at = [content[:12]], 12
    while at < len(content):
        end = at + 8 + -(-int.from_bytes(content[at + 4 : at + 8], "little") // 2) * 2
        parts.append(content[at:end])
        at = end
    return parts


def split_boxes(content: bytes) -> list[bytes]:
    """Return the boxes, those within `meta`, which say what is where, one by one."""
    parts, at = [], 0
    while at < len(content):
        inside = content[at + 4 : at + 8] in (b"meta", b"iprp", b"ipco")
        size = int.from_bytes(content[at : at + 4], "big")
        end = at + (12 if content[at + 4 : at + 8] == b"meta" else 8) if inside else at + max(8, size)
        parts.append(content[at:end])
        at = end
    return parts


def split_pdf(content: bytes) -> list[bytes]:
    """Return the objects."""
    return re.split(rb"(?<=endobj)", content)


SPLITS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], list[bytes]]], ...] = (
    (lambda content: content.startswith(b"\x89PNG"), split_png),
    (lambda content: content.startswith(b"\xff\xd8"), split_jpeg),
    (lambda content: content.startswith(b"RIFF"), split_riff),
    (lambda content: content[4:8] == b"ftyp", split_boxes),
    (lambda content: content.startswith(b"%PDF"), split_pdf),
)


def shuffle_parts(rng: Rng, content: bytes) -> bytes:
    """Remove, double, swap or damage parts, and mend what proves a part to be whole: else decoders look no further."""
    split = next((split for applies, split in SPLITS if applies(content)), None)
    if split is None:
        return _change_entry(rng, content) if content[:2] in (b"II", b"MM") else set_extreme(rng, content)
    parts = split(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        which = rng.randrange(len(parts))
        what = rng.choice(("remove", "double", "often", "swap", "damage", "damage", "damage"))
        if what == "remove" and len(parts) > 1:
            del parts[which]
        elif what in ("double", "often"):
            parts[which:which] = [parts[which]] * (1 if what == "double" else 100)
        elif what == "swap":
            other = rng.randrange(len(parts))
            parts[which], parts[other] = parts[other], parts[which]
        elif what == "damage" and parts[which]:
            parts[which] = rng.choice(ANYWHERE)(rng, parts[which])
    if split is split_png and rng.random() < 0.9:
        parts = [parts[0], *map(_mend_chunk, parts[1:])]
    return b"".join(parts)


def _mend_chunk(chunk: bytes) -> bytes:
    """Give a chunk of a PNG its right length and checksum."""
    body = chunk[4:-4]
    if len(body) < 4:
        return chunk
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _change_entry(rng: Rng, content: bytes) -> bytes:
    """Set a field of a TIFF's directory to an extreme, or to that of another entry."""
    order, big = ("<" if content[:2] == b"II" else ">"), content[2:4] in (b"+\0", b"\0+")
    at = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), content, at)[0]
    width, start = (20, at + 8) if big else (12, at + 2)
    entry, other = (start + rng.randrange(count) * width for _ in range(2))
    fields = ((0, "H"), (2, "H"), (4, "Q"), (12, "Q")) if big else ((0, "H"), (2, "H"), (4, "I"), (8, "I"))
    offset, kind = rng.choice(fields)
    size = struct.calcsize(kind)
    changed = bytearray(content)
    if rng.random() < 0.3:
        changed[entry + offset : entry + offset + size] = content[other + offset : other + offset + size]
    else:
        near = struct.unpack_from(order + kind, content, entry + offset)[0] + rng.choice((-1, 1, 7, 1000))
        value = rng.choice((*EXTREMES, near, near)) % (1 << 8 * size)
        struct.pack_into(order + kind, changed, entry + offset, value)
    return bytes(changed)


def change_number(rng: Rng, content: bytes) -> bytes:
    """Replace a number written in digits, as a PDF is full of: sizes, places, and which object is meant."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content))
    if not found:
        return set_extreme(rng, content)
    one = rng.choice(found)
    others = [b"%d" % rng.choice(EXTREMES), b"%d" % rng.randrange(9), b"-1", b"0.00001", b"9" * 40]
    return content[: one.start()] + rng.choice([*others, rng.choice(found)[0]]) + content[one.end() :]


def make_content(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Damage a file in one way or several; now and then not at all, or by another file."""
    chance = rng.random()
    if chance < 0.03:
        return content
    if chance < 0.06:
        return content + other
    if chance < 0.09:
        return content[: rng.randrange(len(content))] + other[rng.randrange(len(other)) :]
    ways: tuple[Make, ...] = (*ANYWHERE, shuffle_parts, shuffle_parts, shuffle_parts, set_extreme)
    if content.startswith(b"%PDF"):
        ways += (change_number,) * 6
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        try:
            content = rng.choice(ways)(rng, content) or b"\0"
        except (struct.error, ValueError, IndexError, OverflowError):  # what was done before has left no parts to find
            content = flip_bits(rng, content)
        if len(content) > LARGE:
            break
    return content


def make_file(seed: int, number: int, valid: dict[str, bytes]) -> tuple[str, bytes]:
    """Return name and content of one file; they depend on these numbers alone."""
    rng = random.Random(f"{seed} {number}")
    names = sorted(valid)
    name = rng.choice(names)
    content = make_content(rng, valid[name], valid[rng.choice(names)])
    extension = rng.choice((Path(name).suffix,) * 8 + (rng.choice(sorted(PAGE_EXTENSIONS)), ""))
    return f"{number // PER_FOLDER:03}/{number:06}-{Path(name).stem}{extension}", content


def make_folder(folder: Path, count: int, seed: int) -> list[str]:
    """Write files; return the names of those that must have rows, sorted."""
    valid = valid_files()
    expected = []
    for number in range(count):
        name, content = make_file(seed, number, valid)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if path.suffix or looks_like_page(content[:16]):
            expected.append(name)
    return sorted(expected)


# The run and what is wrong with it


def run(folder: Path, output: Path, *options: str, limit: float) -> Watched:
    """Run the program over the files."""
    arguments = ["classify", folder, "-m", "knn", "-o", output, "--log-file", output.with_suffix(".log"), "-q"]
    return run_watched([*arguments, *options], limit=limit, every=0.1)


def complaints(found: Watched, output: Path, expected: Sequence[str]) -> list[str]:
    """Return what must not be, growth of memory apart."""
    if found.late:
        return [f"it hangs: not done after {found.seconds:.0f} seconds"]
    wrong = [] if found.code in (0, 4, 5) else [f"exit code {found.code}:\n{found.errors[-2000:]}"]
    wrong += ["a traceback:\n" + found.errors[-2000:]] if "Traceback" in found.errors else []
    rows = read_rows(output)
    without = sorted(set(expected) - {row["file"] for row in rows})
    wrong += [f"{len(without)} files have no row: {', '.join(without[:5])}"] if without else []
    pages: dict[str, list[int]] = {}
    for row in rows:
        pages.setdefault(row["file"], []).append(int(row["page"]))
    odd = [name for name, numbers in pages.items() if numbers != list(range(1, len(numbers) + 1))]
    wrong += [f"{len(odd)} files have pages without a row, or with two: {', '.join(odd[:5])}"] if odd else []
    killers = [row["file"] for row in rows if row["reason"] == "worker_died"]
    wrong += [f"{len(killers)} pages killed a worker: {', '.join(killers[:5])}"] if killers else []
    return wrong


def read_rows(output: Path) -> list[dict[str, str]]:
    """Return the rows of a run, none if it wrote none."""
    if not output.exists():
        return []
    before = csv.field_size_limit(1 << 24)
    try:
        with output.open(encoding="utf-8", newline="") as file:
            return list(read_csv(file))
    finally:
        csv.field_size_limit(before)


def slowest(log: Path) -> list[tuple[float, str]]:
    """Return the seconds that each file took, longest first."""
    seconds: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        cells = json.loads(line)
        if cells.get("stage") == "read":
            seconds[cells["file"]] += cells["milliseconds"] / 1000
    return [(taken, name) for name, taken in seconds.most_common()]


def main() -> None:
    """Make the files, run, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--limit", type=float, help="seconds for all; by default 60 and 0.5 for each file")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy files here that kill a worker or are slow")
    options, more = parser.parse_known_args()  # what is left goes to the program
    limit = options.limit or 60 + 0.5 * options.files
    with tempfile.TemporaryDirectory() as name:
        folder, output = Path(name, "damaged"), Path(name, "rows.csv")
        expected = make_folder(folder, options.files, options.seed)
        found = run(folder, output, "--jobs", options.jobs, *more, limit=limit)
        wrong = complaints(found, output, expected)
        rows = read_rows(output)
        first, last = found.peak_between(0, 1 / 3), found.peak_between(2 / 3, 1)
        times = slowest(output.with_suffix(".log"))
        bad = {row["file"] for row in rows if row["reason"] == "worker_died"} | {f for s, f in times if s > SLOW}
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            for file in bad:
                shutil.copy(folder / file, options.keep)
        print(f"{options.files} files (seed {options.seed}), {len(expected)} of them pages, {len(rows)} rows")
        print(f"exit code {found.code} after {found.seconds:.0f} s; slowest: " + ", ".join(map(_timed, times[:3])))
        print("rows: " + ", ".join(f"{n} {s}" for s, n in Counter(row["status"] for row in rows).most_common()))
        print("reasons: " + ", ".join(f"{n} {r or '-'}" for r, n in Counter(r["reason"] for r in rows).most_common()))
        print(f"pages that killed a worker: {sum(row['reason'] == 'worker_died' for row in rows)}")
        print(f"memory of all processes: {first:.0f} MB at most in the first third, {last:.0f} MB in the last")
        print(f"processes: {len(found.others) + 1}, the largest {found.peak:.0f} MB")
        print(f"lines on stderr, of libraries in C: {len(found.errors.splitlines())}")
        if options.files >= ENOUGH and last > GROWTH * first:
            wrong.append(f"memory grows to {last / first:.2f} of that of the first third")
    for complaint in wrong:
        print(f"WRONG: {complaint}")
    sys.exit(bool(wrong))


def _timed(found: tuple[float, str]) -> str:
    return f"{found[1]} {found[0]:.2f} s"


if __name__ == "__main__":
    main()
