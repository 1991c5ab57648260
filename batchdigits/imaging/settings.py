"""The numbers that imaging works by. They travel in the model card: training and use must share them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

IMAGING_VERSION = 2
"""Raised whenever the code makes other tiles from the same settings: an old model then no longer matches."""


@dataclass(frozen=True, slots=True)
class ImagingSettings:
    """How a page becomes tiles. Fractions are of the picture's long side unless another measure is named."""

    version: int = IMAGING_VERSION
    work_size: int = 640  #: long side, in pixels, at which ink is looked for
    min_work_size: int = 112  #: smaller pictures are enlarged to it: 28 px then give 4 px to each of MNIST's
    min_contrast: float = 0.06  #: fainter than this share of the paper's brightness is never ink
    noise_factor: float = 4.5  #: ink stands out of the paper's noise by so many standard deviations
    stroke_level: float = 0.42  #: a stroke's edge, as a share of its own darkness
    min_stroke: float = 2.0  #: thinner strokes are thickened to it; pixels of the 20 x 20 box
    max_slant: float = 0.7  #: deskewing shears by at most this, pixels across per pixel down
    join_gap: float = 0.22  #: parts nearer than this share of the digit's size belong to it

    @property
    def decode_size(self) -> int:
        """Long side that a picture of one digit keeps at least, where its file can be decoded smaller.

        A JPEG is at its best decoded at an eighth, which is the mean of 8 x 8 pixels: nothing of a digit that fills a
        tenth of the picture is lost if the eighth is somewhat less than the working size.
        """
        return self.work_size * 3 // 4

    def to_dict(self) -> dict[str, float]:
        """Return plain values for the card."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with any setting."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
