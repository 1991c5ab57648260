"""Where the ink is: paper's own brightness removed, polarity found, threshold.

Ink strength here is *contrast*: how much darker a pixel is than the paper under it, as a share of the paper's
brightness (for light strokes on a dark ground the same on the negative). Light and shadow multiply paper and ink
alike, so contrast does not see them; and as it is taken per colour channel, red ink on white counts as black does.

A grey picture may come as (H, W): what its three equal channels would give, for a third of the work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.settings import ImagingSettings

Image = NDArray[np.uint8]
Map = NDArray[np.float32]

_DARK = 12.0  # grey levels: keeps the ratio calm where paper itself is nearly black
_WIDEST_STROKE = 0.35  # of the picture's short side
_DEEPEST_SHADOW = 0.38  # of the paper's brightness: shadow seldom takes more, a marker always does
_DARKEST_AREA = 0.2  # the same for what is wider than any pen
_ROUGH_WINDOW = 0.55  # of the long side: a window that hardly a digit can fill
_LIGHT_SIZE = 320  # long side of the copy that tells the light,
_MEDIAN_SIZE = 160  # and of that whose medians do
_NOISIEST = 12.0  # grey levels: what deviates more may be no paper


_THIRDS = np.full((1, 3), 1 / 3, np.float32)
_SHARES = (1 / (np.arange(256) + _DARK)).astype(np.float32)  # what a grey level is of each paper's brightness


def _mean_of_channels(pixels: Image | Map) -> Map:
    """Return the mean over the three channels; several times faster than numpy's over so short an axis."""
    values = pixels.astype(np.float32, copy=False)
    channels = cv2.merge([values, values, values]) if values.ndim == 2 else values
    return np.asarray(cv2.transform(channels, _THIRDS), dtype=np.float32)


def _one_channel_if_grey(pixels: Image) -> Image:
    """Return (H, W) of a picture whose three channels are the same, any other as it is."""
    blue, green, red = cv2.split(pixels)
    return np.asarray(blue) if np.array_equal(blue, green) and np.array_equal(blue, red) else pixels


def _wide_median(picture: Image, side: int) -> Image:
    """Return the median of a window of `side` x `side`, the picture's rim repeated beyond it.

    On a clean grey sheet one level has more than half of almost every window, and so is its median: to count that is
    many times faster than a median, which then serves the rest.
    """
    if picture.ndim == 2:
        histogram = _histogram(picture)
        level = int(histogram.argmax())
        if 2 * histogram[level] >= picture.size:
            return _median_beside(level, picture, side)
    return np.asarray(cv2.medianBlur(picture, side), dtype=np.uint8)


def _median_beside(level: int, picture: Image, side: int) -> Image:
    """Return the same median for a picture of which one grey level has most."""
    same = (picture == level).astype(np.uint8)
    count = cv2.boxFilter(same, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_REPLICATE)
    left, top, width, height = cv2.boundingRect((2 * count < side * side).astype(np.uint8))
    median = np.full_like(picture, level)
    if width:
        reach = side // 2
        y, x = max(0, top - reach), max(0, left - reach)
        around = picture[y : top + height + reach, x : left + width + reach]
        inside = slice(top - y, top - y + height), slice(left - x, left - x + width)
        median[top : top + height, left : left + width] = cv2.medianBlur(around, side)[inside]
    return median


def resize_to_work(pixels: Image, settings: ImagingSettings, *, finer: int = 1) -> Image:
    """Scale a picture to the size that ink is looked for at.

    Parameters
    ----------
    pixels : (H, W, 3) ndarray of uint8
        Any size from 1 x 1.
    settings : ImagingSettings
        Gives the largest and the smallest long side.
    finer : int
        How many times the largest may be exceeded, for digits that are a small part of the picture.

    Returns
    -------
    (h, w, 3) ndarray of uint8
        Same aspect, each side at least 1.
    """
    height, width = pixels.shape[:2]
    long_side = max(height, width)
    largest = finer * settings.work_size
    if settings.min_work_size <= long_side <= largest:
        return pixels
    larger = long_side < settings.min_work_size
    factor = (settings.min_work_size if larger else largest) / long_side
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA)
    return np.asarray(resized, dtype=np.uint8)


def _scale_down(pixels: Image, at_most: int) -> Image:
    """Return a picture with at most this long side: light changes slowly."""
    height, width = pixels.shape[:2]
    factor = at_most / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    # down to a half, two neighbours tell as much as the area does, which takes ten times as long
    how = cv2.INTER_AREA if factor <= 0.5 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=how), dtype=np.uint8)


def _scale_to(pixels: Image, size: tuple[int, int]) -> Image:
    """Return what is known of the light at another width and height."""
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def estimate_background(
    pixels: Image, window: float, at_most: int, *, mirror: bool = False, size: tuple[int, int] | None = None
) -> Image:
    """Estimate the paper without the ink: the median of a window wider than any stroke.

    Parameters
    ----------
    pixels : (H, W, 3) or (H, W) ndarray of uint8
        The picture.
    window : float
        Side of the window as a share of the long side. Strokes thinner than half of it vanish, and so do shadows.
    at_most : int
        The median is taken of a copy with at most this long side; light changes slowly.
    mirror : bool
        Continue the picture beyond its rim mirrored, so that a thin dark frame stays thin, instead of repeating its
        last pixels, which follows a falling light better.
    size : (int, int), optional
        Width and height of what is returned, if not those of the picture.

    Returns
    -------
    (H, W, 3) or (H, W) ndarray of uint8
        The paper's colour at every pixel.

    Notes
    -----
    A median keeps the straight edge of a hard shadow, which a mean or a polynomial would smear into a false stroke.
    """
    small = _scale_down(pixels, at_most)
    side = min(max(3, round(max(small.shape[:2]) * window)) | 1, 255)
    pad = side // 2 if mirror else 0
    padded = np.asarray(cv2.copyMakeBorder(small, pad, pad, pad, pad, cv2.BORDER_REFLECT), dtype=np.uint8)
    median = _wide_median(padded, side)[pad : pad + small.shape[0], pad : pad + small.shape[1]]
    return _scale_to(median, size or (pixels.shape[1], pixels.shape[0]))


def ink_contrast(pixels: Image, background: Image) -> Map:
    """Return how much darker than its paper each pixel is, as a share of the paper's brightness.

    The channels join as the root mean square of what is darker: coloured ink, dark in one or two of them, stays well
    above pale rulings.

    Returns
    -------
    (H, W) ndarray of float32
        0 paper (or brighter), near 1 black ink.
    """
    darkness = cv2.subtract(background, pixels)  # uint8 subtraction stops at 0
    share = cv2.multiply(darkness, cv2.LUT(background, _SHARES), dtype=cv2.CV_32F)
    if share.ndim == 2:
        return np.asarray(share, dtype=np.float32)
    mean = _mean_of_channels(np.asarray(cv2.multiply(share, share, dst=share), dtype=np.float32))
    return np.asarray(cv2.sqrt(mean, dst=mean), dtype=np.float32)


def is_light_on_dark(pixels: Image, background: Image) -> bool:
    """Tell chalk on a board from ink on paper.

    Whichever side of the paper's brightness the strong deviations lie on is ink; a bright ground must be outweighed
    clearly before it is taken for a board, since glare and sharpening halos are bright too.
    """
    return _light_excess(pixels, background) > 1


def _light_excess(pixels: Image, background: Image) -> float:
    """Return how many times the light deviations outweigh what the dark ones and the ground ask of them."""
    grey, ground = _brightness(pixels), _brightness(background)
    # uint8 subtraction stops at 0
    dark, light = _histogram(cv2.subtract(ground, grey)), _histogram(cv2.subtract(grey, ground))
    return _excess(dark, light, float(np.median(background[::4, ::4])))


def _brightness(pixels: Image) -> Image:
    """Return (H, W), the mean of the channels."""
    return pixels if pixels.ndim == 2 else np.asarray(cv2.transform(pixels, _THIRDS), dtype=np.uint8)


def _histogram(picture: NDArray[Any]) -> NDArray[np.float64]:
    """Return how often each grey level occurs, (256,)."""
    return np.asarray(cv2.calcHist([picture], [0], None, [256], [0, 256]).ravel(), dtype=np.float64)


def _excess(dark: NDArray[np.float64], light: NDArray[np.float64], ground: float) -> float:
    """Return the same, given how many pixels are darker and lighter than the ground by 0, 1, 2 ... grey levels."""
    darkness, lightness = (float(counts[20:] @ np.arange(20.0, len(counts)) ** 2) for counts in (dark, light))
    asked = darkness * (4.0 if ground > 110 else 0.5)  # less than 20 is noise, no stroke
    return lightness / asked if asked else (math.inf if lightness else 0.0)


def _is_negative(pixels: Image, small: Image) -> bool:
    """Tell chalk from ink by a coarse estimate of the paper where that leaves no doubt, else by a close one.

    Few pictures come within the eightfold of either side, and even if the two estimates disagree on the brightness of
    the ground, that alone is worth no more than the eightfold.

    Of these, what is light must be so to a narrow window too: along the edge of a hard shadow a wide one takes light
    paper for chalk, but it misses no stroke, however thick.

    Parameters
    ----------
    pixels : (H, W, 3) or (H, W) ndarray of uint8
        The picture.
    small : (h, w, 3) or (h, w) ndarray of uint8
        The same, smaller, to estimate the paper from.
    """
    size = pixels.shape[1], pixels.shape[0]
    pixels, small = _brightness(pixels), _brightness(small)
    coarse = _light_excess(pixels, estimate_background(small, _ROUGH_WINDOW, at_most=80, mirror=True, size=size))
    if not 1 / 8 < coarse < 8:
        return coarse > 1
    return all(
        is_light_on_dark(
            pixels, estimate_background(small, window=window, at_most=_MEDIAN_SIZE, mirror=True, size=size)
        )
        for window in (_ROUGH_WINDOW, 0.2)
    )


def _without_strokes(pixels: Image) -> Image:
    """Return the picture without what is dark and no wider than a pen draws: a morphological closing.

    Unlike a median it follows the edge of a shadow however it bends, and leaves no crescents there; and it takes the
    lightest of the noise for paper, so it only serves as a bound.
    """
    small = _scale_down(pixels, _LIGHT_SIZE)
    side = max(3, round(min(small.shape[:2]) * _WIDEST_STROKE)) | 1  # even, it would shift the picture
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    return _scale_to(np.asarray(closed, dtype=np.uint8), (pixels.shape[1], pixels.shape[0]))


def noise_level(pixels: Image, background: Image) -> float:
    """Return the paper's noise in grey levels: a robust standard deviation, unmoved by the ink.

    Paper too bright for the camera shows no noise; where it is not all of the paper, the rest tells. A digit cut out
    tightly may cover half the picture, so that half of all deviations are its own: then the quarter that deviates least
    is paper even so. It tells less exactly, and only sets a limit.
    """
    # a ninth of the pixels tells the noise as well
    paper = _mean_of_channels(background[::3, ::3])
    difference = paper - _mean_of_channels(pixels[::3, ::3])
    exposed = (paper > 1) & (paper < 254)
    partly = not exposed.all() and exposed.mean() > 0.25
    seen = difference[exposed] if partly else difference
    noise = float(1.4826 * _median(np.abs(seen - _median(seen))))
    if noise < _NOISIEST:
        return noise
    size = np.abs(difference).ravel()
    quarter = float(np.partition(size, size.size // 4)[size.size // 4])
    return min(noise, 2 * 3.1383 * quarter)


def _median(values: Map) -> np.float32:
    """Return what np.median does, which on a small map takes longer to prepare than to find it."""
    half, odd = divmod(values.size, 2)
    if odd:
        return np.float32(np.partition(values, half, axis=None)[half])
    low, high = np.partition(values, (half - 1, half), axis=None)[half - 1 : half + 1]
    return np.float32((low + high) / 2)


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


def measure_contrast(pixels: Image, settings: ImagingSettings) -> Contrast:
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

    Returns
    -------
    Contrast
        Of the same height and width.
    """
    pixels = _one_channel_if_grey(pixels)
    if plain := _measure_on_plain_paper(pixels, settings):
        return plain
    # light changes slowly: what is to be known of it, a smaller copy tells
    small = _scale_down(pixels, max(_LIGHT_SIZE, max(pixels.shape[:2]) // 4))
    light_on_dark = _is_negative(pixels, small)
    if light_on_dark:
        pixels, small = 255 - pixels, 255 - small
    paper = _estimate_paper(small, settings)
    close = _scale_to(paper, (pixels.shape[1], pixels.shape[0]))
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
    histogram = _histogram(pixels)
    level = int(histogram.argmax())
    if 2 * histogram[level] <= pixels.size:
        return None
    light_on_dark = _excess(histogram[level::-1], histogram[level:], level) > 1
    paper = 255 - level if light_on_dark else level
    shares = (level - np.arange(256)) / (paper + _DARK)
    # darker and lighter strokes alike are none of the paper, so that one test serves pictures and negatives
    plain = cv2.LUT(pixels, (np.abs(shares) <= settings.min_contrast).astype(np.uint8))
    side = round(max(pixels.shape) * _ROUGH_WINDOW) | 1
    most = cv2.boxFilter(plain, cv2.CV_32F, (side, side), borderType=cv2.BORDER_REPLICATE)
    if cv2.minMaxLoc(most)[0] <= 0.5 or not _without_strokes(np.asarray(plain, dtype=np.uint8)).all():
        return None
    inks = np.maximum(-shares if light_on_dark else shares, 0).astype(np.float32)
    contrast = np.asarray(cv2.LUT(pixels, inks), dtype=np.float32)
    return Contrast(contrast, np.full_like(contrast, settings.min_contrast), light_on_dark, noise=0.0)


def _estimate_paper(pixels: Image, settings: ImagingSettings) -> Image:
    """Estimate the paper under a picture, its strokes dark: see `measure_contrast`."""
    shaded = _not_ink(_without_strokes(pixels), _DARKEST_AREA)
    wide = estimate_background(pixels, window=_ROUGH_WINDOW, at_most=_MEDIAN_SIZE)
    rough = np.minimum(_not_ink(wide, _DEEPEST_SHADOW), shaded)
    limit = least_contrast(rough, noise_level(pixels, rough), settings)
    marks = (ink_contrast(pixels, rough) > limit).astype(np.uint8)
    reach = max(3, max(marks.shape) // 80) | 1
    covered = cv2.dilate(marks, np.ones((reach, reach), np.uint8))
    paper_only = np.asarray(cv2.copyTo(rough, covered, pixels.copy()), dtype=np.uint8)
    close = estimate_background(paper_only, window=0.12, at_most=_MEDIAN_SIZE)
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
    inside = np.flatnonzero(faint)  # paper is most of a page: only the marks are worth a look
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
    inside = np.flatnonzero(marks)
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
