"""A tiny writer of PDF files: tests say what lies in them, to the byte where that matters."""

import io
import zlib

import numpy as np
from PIL import Image

POINTS = 72  # to the inch


def stream(data, entries=""):
    return f"<</Length {len(data)} {entries}>>\nstream\n".encode() + data + b"\nendstream"


def assemble(objects, trailer="", header=b"%PDF-1.7\n"):
    """Join the bodies of objects 1, 2, ...; the first is the catalogue."""
    out = bytearray(header)
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + (body if isinstance(body, bytes) else body.encode()) + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += f"trailer\n<</Size {len(places) + 1}/Root 1 0 R{trailer}>>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


class Pdf:
    """Pages and what they refer to."""

    def __init__(self):
        self.objects = ["", ""]  # the catalogue and the tree of pages come last
        self.pages = []
        self.catalogue = ""  # more of its entries

    def add(self, body):
        self.objects.append(body)
        return len(self.objects)

    def image(self, pixels, *, coding="flate", entries=""):
        """Add a picture, grey or RGB; bool is one bit."""
        height, width = pixels.shape[:2]
        bits = 1 if pixels.dtype == bool else 8
        colours = "/DeviceGray" if pixels.ndim == 2 else "/DeviceRGB"
        if coding == "flate":
            raw = np.packbits(pixels, axis=1) if bits == 1 else pixels
            data, name = zlib.compress(np.ascontiguousarray(raw).tobytes()), "/FlateDecode"
        else:
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG", quality=95, subsampling=0)
            data, name = file.getvalue(), "/DCTDecode"
        return self.picture(data, width, height, f"/BitsPerComponent {bits}/ColorSpace{colours}/Filter{name}{entries}")

    def picture(self, data, width, height, entries):
        return self.add(stream(data, f"/Type/XObject/Subtype/Image/Width {width}/Height {height}{entries}"))

    def page(self, size, content="", named=None, entries=""):
        """Add a page of a size in points; `named` is what its content calls by name."""
        text = self.add(stream(content.encode()))
        names = "".join(f"/{name} {number} 0 R" for name, number in (named or {}).items())
        self.pages.append(
            self.add(
                f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {size[0]} {size[1]}]/Contents {text} 0 R"
                f"/Resources<</XObject<<{names}>>>>{entries}>>"
            )
        )
        return self.pages[-1]

    def scan(self, pixels, dpi, *, digits=4, entries="", **coding):
        """Add a page that a picture fills, as scanners make them."""
        height, width = (round(side * POINTS / dpi, digits) for side in pixels.shape[:2])
        image = self.image(pixels, **coding)
        self.page((width, height), f"q {width} 0 0 {height} 0 0 cm /Im Do Q", {"Im": image}, entries)
        return image

    def content(self, *, count=None, trailer="", **options):
        """Return the file; `count` is how many pages it claims to have."""
        kids = " ".join(f"{page} 0 R" for page in self.pages)
        claimed = len(self.pages) if count is None else count
        self.objects[0] = f"<</Type/Catalog/Pages 2 0 R{self.catalogue}>>"
        self.objects[1] = f"<</Type/Pages/Kids[{kids}]/Count {claimed}>>"
        return assemble(self.objects, trailer, **options)
