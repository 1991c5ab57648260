"""Where the ink is: paper's own brightness removed, polarity found, threshold.

Ink strength here is *contrast*: how much darker a pixel is than the paper under it, as a share of the paper's
brightness (for light strokes on a dark ground the same on the negative). Light and shadow multiply paper and ink
alike, so contrast does not see them; and as it is taken per colour channel, red ink on white counts as black does.

A grey picture may come as (H, W): what its three equal channels would give, for a third of the work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.light import ROUGH_WINDOW, Image, estimate_background, histogram, scale_down, scale_to
from batchdigits.imaging.polarity import excess, is_negative
from batchdigits.imaging.ranks import median
from batchdigits.imaging.settings import ImagingSettings

Map = NDArray[np.float32]

LIGHT_SIZE = 320
"""Long side of the copy of a picture that tells its light; of half that, its medians do."""

_DARK = 12.0  # grey levels: keeps the ratio calm where paper itself is nearly black
_WIDEST_STROKE = 0.35  # of the picture's short side
_DEEPEST_SHADOW = 0.38  # of the paper's brightness: shadow seldom takes more, a marker always does
_DARKEST_AREA = 0.2  # the same for what is wider than any pen
_SOFTENED = 0.8  # pixels: so far a pixel of a page reaches, that it has not too little of its neighbours' noise
_BAND = 128  # rows
_LARGE, _APART = 1 << 16, 16  # values of a picture that takes a while to be looked at; pixels between a few of them
_TELLING = 200  # pixels along the long side: so many tell the noise
_NOISIEST = 12.0  # grey levels: what deviates more may be no paper


_THIRDS = np.full((1, 3), 1 / 3, np.float32)
_SHARES = (1 / (np.arange(256) + _DARK)).astype(np.float32)  # what a grey level is of each paper's brightness


def _mean_of_channels(pixels: Image | Map) -> Map:
    """Return the mean over the three channels; several times faster than numpy's over so short an axis."""
    if pixels.dtype == np.uint8 and pixels.ndim == 2:
        return _equal_means()[pixels]
    values = pixels.astype(np.float32, copy=False)
    channels = cv2.merge([values, values, values]) if values.ndim == 2 else values
    return np.asarray(cv2.transform(channels, _THIRDS), dtype=np.float32)


@lru_cache(maxsize=1)
def _equal_means() -> Map:
    """Return the mean of three equal channels of each grey level, (256,): rounded, and so not always the level."""
    return np.asarray(_mean_of_channels(np.arange(256, dtype=np.float32)[np.newaxis])[0], dtype=np.float32)


def one_channel_if_grey(pixels: Image) -> Image:
    """Return (H, W) of a picture whose three channels are the same, any other as it is."""
    if pixels.ndim == 2:
        return pixels
    some = pixels[::_APART, ::_APART]
    if pixels.size > _LARGE and (some[..., 0] != some[..., 1]).any():  # a few pixels tell most coloured pictures
        return pixels
    blue, green, red = cv2.split(pixels)
    same = cv2.norm(blue, green, cv2.NORM_INF) == cv2.norm(blue, red, cv2.NORM_INF) == 0
    return np.asarray(blue) if same else pixels


def resize_to_work(pixels: Image, settings: ImagingSettings, *, finer: float = 1) -> Image:
    """Scale a picture to the size that ink is looked for at.

    Parameters
    ----------
    pixels : (H, W, 3) ndarray of uint8
        Any size from 1 x 1.
    settings : ImagingSettings
        Gives the largest and the smallest long side.
    finer : float
        How many times the largest may be exceeded, for digits that are a small part of the picture.

    Returns
    -------
    (h, w, 3) ndarray of uint8
        Same aspect, each side at least 1.
    """
    height, width = pixels.shape[:2]
    long_side = max(height, width)
    largest = math.ceil(finer * settings.work_size)
    if settings.min_work_size <= long_side <= largest:
        return pixels
    larger = long_side < settings.min_work_size
    factor = (settings.min_work_size if larger else largest) / long_side
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
    if finer > 1 and factor > 0.5 and not larger:
        # two neighbours of a softened picture tell what the area does, in a third of the time
        pixels = np.asarray(cv2.GaussianBlur(pixels, (3, 3), _SOFTENED), dtype=np.uint8)
        how = cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=how), dtype=np.uint8)


def ink_contrast(pixels: Image, background: Image) -> Map:
    """Return how much darker than its paper each pixel is, as a share of the paper's brightness.

    The channels join as the root mean square of what is darker: coloured ink, dark in one or two of them, stays well
    above pale rulings.

    Returns
    -------
    (H, W) ndarray of float32
        0 paper (or brighter), near 1 black ink.
    """
    contrast = np.empty(pixels.shape[:2], np.float32)
    for top in range(0, len(pixels), _BAND):  # all steps of a band find it in the processor's cache
        band = slice(top, top + _BAND)
        contrast[band] = _ink_contrast(pixels[band], background[band])
    return contrast


def _ink_contrast(pixels: Image, background: Image) -> Map:
    darkness = cv2.subtract(background, pixels)  # uint8 subtraction stops at 0
    share = cv2.multiply(darkness, cv2.LUT(background, _SHARES), dtype=cv2.CV_32F)
    if share.ndim == 2:
        return np.asarray(share, dtype=np.float32)
    mean = _mean_of_channels(np.asarray(cv2.multiply(share, share, dst=share), dtype=np.float32))
    return np.asarray(cv2.sqrt(mean, dst=mean), dtype=np.float32)


def _without_strokes(pixels: Image) -> Image:
    """Return the picture without what is dark and no wider than a pen draws: a morphological closing.

    Unlike a median it follows the edge of a shadow however it bends, and leaves no crescents there; and it takes the
    lightest of the noise for paper, so it only serves as a bound.
    """
    small = scale_down(pixels, LIGHT_SIZE)
    side = _pen_window(small)
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    return scale_to(np.asarray(closed, dtype=np.uint8), (pixels.shape[1], pixels.shape[0]))


def _pen_window(pixels: Image) -> int:
    """Return the side of a window that no pen's stroke fills."""
    return max(3, round(int(min(pixels.shape[:2])) * _WIDEST_STROKE)) | 1  # even, it would shift the picture


def noise_level(pixels: Image, background: Image) -> float:
    """Return the paper's noise in grey levels: a robust standard deviation, unmoved by the ink.

    Paper too bright for the camera shows no noise; where it is not all of the paper, the rest tells. A digit cut out
    tightly may cover half the picture, so that half of all deviations are its own: then the quarter that deviates least
    is paper even so. It tells less exactly, and only sets a limit.
    """
    # a ninth of the pixels tells the noise as well, and of a large picture even fewer
    step = max(3, max(pixels.shape) // _TELLING)
    paper = _mean_of_channels(background[::step, ::step])
    difference = paper - _mean_of_channels(pixels[::step, ::step])
    exposed = (paper > 1) & (paper < 254)
    partly = not exposed.all() and exposed.mean() > 0.25
    seen = difference[exposed] if partly else difference
    noise = float(1.4826 * median(np.abs(seen - median(seen))))
    if noise < _NOISIEST:
        return noise
    size = np.abs(difference).ravel()
    quarter = float(np.partition(size, size.size // 4)[size.size // 4])
    return min(noise, 2 * 3.1383 * quarter)


def least_contrast(background: Image, noise: float, settings: ImagingSettings) -> Map:
    """Return the contrast below which a mark is not told from the paper's noise, which weighs more in dark corners."""
    paper = _mean_of_channels(background) + np.float32(_DARK)
    least = np.maximum(settings.noise_factor * noise / paper, settings.min_contrast)
    return np.asarray(least, dtype=np.float32)


def _not_ink(background: Image, share: float) -> Image:
    """Lift what is darker than a share of the paper: the inside of strokes so wide that they filled the window."""
    darkest, brightest, _, _ = cv2.minMaxLoc(background.reshape(len(background), -1))
    if darkest >= round(share * brightest):
        return background
    paper = np.percentile(background[::4, ::4], 90, axis=(0, 1))
    least = np.tile(np.rint(share * paper).astype(np.uint8), background.shape[1])
    return np.maximum(background.reshape(len(background), -1), least).reshape(background.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """What `measure_contrast` finds."""

    ink: Map  #: (H, W), 0 paper, up to 1 ink
    least: Map  #: (H, W), the contrast that noise alone does not reach
    light_on_dark: bool  #: the picture was a negative
    noise: float  #: of the paper, in grey levels


def measure_contrast(pixels: Image, settings: ImagingSettings, *, light_size: int = LIGHT_SIZE) -> Contrast:
    """Turn a picture into its ink contrast.

    The paper is estimated twice: roughly, with a window that hardly a digit can fill, then closely, with what looked
    like ink replaced by the first estimate (the two-pass idea of Gatos, Pratikakis and Perantonis, 2006, with medians).
    Neither is lighter than the picture without its strokes, which keeps to the edges of deep shadows.

    Parameters
    ----------
    pixels : (H, W, 3) ndarray of uint8
        BGR, at working size.
    settings : ImagingSettings
        Give what counts as noise.
    light_size : int
        Long side of the copy that tells the light. The smaller, the further from a hard shadow's edge its crescents
        reach, and the sooner it is done.

    Returns
    -------
    Contrast
        Of the same height and width.
    """
    pixels = one_channel_if_grey(pixels)
    if plain := _measure_on_plain_paper(pixels, settings):
        return plain
    # light changes slowly: what is to be known of it, a smaller copy tells
    small = scale_down(pixels, max(light_size, max(pixels.shape[:2]) // 4))
    light_on_dark = is_negative(pixels, small, light_size // 2)
    if light_on_dark:
        pixels, small = 255 - pixels, 255 - small
    paper = _estimate_paper(small, settings, light_size // 2)
    close = scale_to(paper, (pixels.shape[1], pixels.shape[0]))
    noise = noise_level(pixels, close)
    least = cv2.resize(least_contrast(paper, noise, settings), pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return Contrast(ink_contrast(pixels, close), np.asarray(least, dtype=np.float32), light_on_dark, noise)


def _measure_on_plain_paper(pixels: Image, settings: ImagingSettings) -> Contrast | None:
    """Do the same where all of the paper has one grey level, as no camera shows it: there is nothing to estimate.

    It has if each estimate would find it everywhere: most pixels of every window have the level, and all have it once
    strokes no wider than a pen's are taken away. What is too faint to be ink counts as paper.
    """
    if pixels.ndim == 3:
        return None
    counts = histogram(pixels)
    level = int(counts.argmax())
    if 2 * counts[level] <= pixels.size:
        return None
    light_on_dark = excess(counts[level::-1], counts[level:], level) > 1
    paper = 255 - level if light_on_dark else level
    plain_levels, inks = _plain_tables(level, paper, settings.min_contrast, light_on_dark)
    plain = cv2.LUT(pixels, plain_levels)
    if not _covers(np.asarray(plain, dtype=np.uint8)):
        return None
    contrast = np.asarray(cv2.LUT(pixels, inks), dtype=np.float32)
    return Contrast(contrast, np.full_like(contrast, settings.min_contrast), light_on_dark, noise=0.0)


@lru_cache(maxsize=32)
def _plain_tables(level: int, paper: int, least: float, light_on_dark: bool) -> tuple[Image, Map]:
    """Return of each grey level whether it is paper (1) of that level, and its ink contrast; (256,) both."""
    shares = (level - np.arange(256)) / (paper + _DARK)
    # darker and lighter strokes alike are none of the paper, so that one test serves pictures and negatives
    plain = (np.abs(shares) <= least).astype(np.uint8)
    return plain, np.maximum(-shares if light_on_dark else shares, 0).astype(np.float32)


def _covers(plain: Image) -> bool:
    """Tell whether most pixels of every window are plain paper (1), and all of them once pen strokes (0) are gone."""
    side = round(max(plain.shape) * ROUGH_WINDOW) | 1
    ink = 1 - plain
    height, width = plain.shape
    left, top, across, down = cv2.boundingRect(ink)
    inner = left > 0 and top > 0 and left + across < width and top + down < height
    if inner and max(plain.shape) <= LIGHT_SIZE:
        # no ink is counted again beyond the picture's rim: windows around the ink tell what all of them do
        sums = np.asarray(cv2.integral(ink[top : top + down, left : left + across]), dtype=np.int32)
        pen = _pen_window(plain)
        return 2 * _fullest(sums, side) < side * side and _fullest(sums, pen) < pen * pen
    most = cv2.boxFilter(plain, cv2.CV_32F, (side, side), borderType=cv2.BORDER_REPLICATE)
    return bool(cv2.minMaxLoc(most)[0] > 0.5 and _without_strokes(plain).all())


def _fullest(sums: NDArray[np.int32], side: int) -> int:
    """Return the most that a window of `side` x `side` holds, given the (H + 1, W + 1) sums of all up to a corner."""
    down, across = min(side, sums.shape[0] - 1), min(side, sums.shape[1] - 1)
    strips = sums[down:] - sums[:-down]
    return int((strips[:, across:] - strips[:, :-across]).max())


def _estimate_paper(pixels: Image, settings: ImagingSettings, at_most: int) -> Image:
    """Estimate the paper under a picture, its strokes dark: see `measure_contrast`."""
    shaded = _not_ink(_without_strokes(pixels), _DARKEST_AREA)
    wide = estimate_background(pixels, window=ROUGH_WINDOW, at_most=at_most)
    rough = np.minimum(_not_ink(wide, _DEEPEST_SHADOW), shaded)
    limit = least_contrast(rough, noise_level(pixels, rough), settings)
    marks = (ink_contrast(pixels, rough) > limit).astype(np.uint8)
    reach = max(3, max(marks.shape) // 80) | 1
    covered = cv2.dilate(marks, np.ones((reach, reach), np.uint8))
    paper_only = np.asarray(cv2.copyTo(rough, covered, pixels.copy()), dtype=np.uint8)
    close = estimate_background(paper_only, window=0.12, at_most=at_most)
    return np.minimum(_not_ink(close, _DEEPEST_SHADOW), shaded)


def binarise(contrast: Contrast) -> NDArray[np.uint8]:
    """Mark all that may be ink: hysteresis over the paper's noise.

    Returns
    -------
    (H, W) ndarray of uint8
        0 paper, 255 marks. A mark keeps its faint rim, but must somewhere be clearly darker than noise.
    """
    faint = np.asarray(cv2.compare(contrast.ink, contrast.least, cv2.CMP_GT), dtype=np.uint8)
    count, labels = cv2.connectedComponents(faint, connectivity=8)
    if count == 2:  # a lone mark stays or goes as a whole
        return faint if (contrast.ink > 1.5 * contrast.least).any() else np.zeros_like(faint)
    inside = np.flatnonzero(faint > 0)  # paper is most of a page: only the marks are worth a look
    owner = labels.ravel()[inside]
    sure = np.zeros(count, np.uint8)
    sure[owner[contrast.ink.ravel()[inside] > 1.5 * contrast.least.ravel()[inside]]] = 255
    marks = np.zeros_like(faint)
    marks.ravel()[inside] = sure[owner]
    return marks


def sharpen_marks(contrast: Map, marks: NDArray[np.uint8], settings: ImagingSettings) -> NDArray[np.uint8]:
    """Cut every mark at a share of its own darkness, so that a faint stroke and a bold one keep their true widths.

    Parameters
    ----------
    contrast : (H, W) ndarray of float32
        Ink contrast.
    marks : (H, W) ndarray of uint8
        0 paper, 255 marks, as returned by `binarise`, rulings removed.
    settings : ImagingSettings
        Gives the share.

    Returns
    -------
    (H, W) ndarray of uint8
        0 paper, 255 ink; a subset of `marks`.
    """
    count, labels = cv2.connectedComponents(marks, connectivity=8)
    if count < 2:
        return marks
    if count == 2:
        value = contrast[marks > 0]
        place = value.size - 1 - value.size // 10
        edge = settings.stroke_level * np.partition(value, place)[place]
        return np.asarray(cv2.copyTo(marks, (contrast > edge).view(np.uint8)), dtype=np.uint8)
    inside = np.flatnonzero(marks > 0)
    owner, value = np.asarray(labels.ravel()[inside], dtype=np.int32), contrast.ravel()[inside]
    ends = np.cumsum(np.bincount(owner, minlength=count))
    sizes = np.diff(ends, prepend=0)
    # the 90th percentile of each mark: one sort serves all marks
    level = _sorted_within(owner, value)[np.maximum(ends - 1 - sizes // 10, 0)]
    ink = np.zeros_like(marks)
    ink.ravel()[inside[value > settings.stroke_level * level[owner]]] = 255
    return ink


def _sorted_within(owner: NDArray[np.integer], value: Map) -> Map:
    """Sort values by owner, then by size: as one number each, much faster than by two keys.

    The bits of floating-point numbers from 0 up stand in the order of the numbers.
    """
    keys = owner.astype(np.uint64) << np.uint64(32) | value.view(np.uint32)
    keys.sort()
    return keys.astype(np.uint32).view(np.float32)
