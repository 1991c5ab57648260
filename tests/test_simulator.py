"""The photo simulator: legible by eye is for the contact sheet, the rest is held here."""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from batchdigits.training.pens import Pen, PenKind, draw_ink, random_pen
from batchdigits.training.scenes import BoxKind, PrintedBox, Ruling, RulingKind, Scene, random_scene
from batchdigits.training.simulator import photograph, simulate_photo
from batchdigits.training.skeletons import STYLES, draw_skeleton

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
ALL_STYLES = [(digit, style) for digit, styles in STYLES.items() for style in styles]
PLAIN = Scene(size=(120, 100), jpeg_quality=None, texture=0.0, paper=(250, 250, 250))
NO_INK = np.zeros((20, 20), np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def grey(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(picture.mean(axis=2), dtype=np.float64)


# Skeletons


def test_every_digit_has_styles() -> None:
    assert sorted(STYLES) == list(range(10))
    assert min(map(len, STYLES.values())) >= 4


@pytest.mark.parametrize(("digit", "style"), ALL_STYLES)
def test_every_style_draws(digit: int, style: str) -> None:
    ink = draw_ink(draw_skeleton(digit, rng(), style), height=60, pen=Pen(), rng=rng())
    assert 0.01 < ink.mean() < 0.6


@settings(max_examples=60, deadline=None)
@given(digit=st.integers(0, 9), seed=st.integers(0, 2**32 - 1), wobble=st.floats(0, 2))
def test_strokes_stay_in_their_box(digit: int, seed: int, wobble: float) -> None:
    strokes = draw_skeleton(digit, rng(seed), wobble=wobble)
    assert strokes
    for stroke in strokes:
        assert stroke.dtype == np.float64
        assert stroke.ndim == 2
        assert stroke.shape[0] >= 2
        assert stroke.shape[1] == 2
        assert np.isfinite(stroke).all()
        assert np.hypot(*np.diff(stroke, axis=0).T).max() < 0.06
    points = np.concatenate(strokes)
    assert points.min(axis=0) == pytest.approx([0, 0], abs=1e-9)
    assert points[:, 1].max() == pytest.approx(1)
    assert points[:, 0].max() < 1.8


def test_without_wobble_only_slant_and_proportions_vary() -> None:
    def straightness(stroke: NDArray[np.float64]) -> float:
        chord = stroke[-1] - stroke[0]
        away = stroke - stroke[0]
        return float(np.abs(away[:, 0] * chord[1] - away[:, 1] * chord[0]).max())

    steady = [straightness(draw_skeleton(1, rng(seed), "leaning", wobble=0)[0]) for seed in range(5)]
    shaky = [straightness(draw_skeleton(1, rng(seed), "leaning", wobble=2)[0]) for seed in range(5)]
    assert max(steady) < min(shaky)


def test_an_unknown_digit_or_style_is_refused() -> None:
    with pytest.raises(KeyError, match="10"):
        draw_skeleton(10, rng())
    with pytest.raises(KeyError, match="gothic"):
        draw_skeleton(3, rng(), "gothic")


# Pens


@pytest.mark.parametrize("kind", ["ballpoint", "pencil", "felt", "marker"])
def test_ink_is_one_on_the_stroke_and_zero_around_it(kind: PenKind) -> None:
    ring = draw_skeleton(0, rng(), "round", wobble=0)
    ink = draw_ink(ring, height=100, pen=Pen(kind=kind, width=0.06, pressure=0.0), rng=rng())
    assert ink.dtype == np.float32
    assert ink.shape[0] == 100
    assert ink.min() == 0
    assert 0.95 < ink.max() <= 1
    assert ink[50, ink.shape[1] // 2] == 0  # the ring's inside
    assert max(ink[0].max(), ink[-1].max(), ink[:, 0].max(), ink[:, -1].max()) < 0.5  # the margin


def test_a_bar_is_as_wide_as_its_pen() -> None:
    bar = (np.array([[0.0, 0.0], [0.0, 0.5], [0.0, 1.0]]),)
    for width in (0.03, 0.08, 0.15):
        ink = draw_ink(bar, height=200, pen=Pen(width=width, pressure=0.0), rng=rng())
        assert ink[100].sum() == pytest.approx(198 * width / (1 + width), abs=0.6)


def test_grain_lets_paper_through() -> None:
    strokes = draw_skeleton(8, rng())
    smooth = draw_ink(strokes, height=80, pen=Pen(width=0.08, pressure=0.0), rng=rng())
    rough = draw_ink(strokes, height=80, pen=Pen(width=0.08, pressure=0.0, grain=0.8), rng=rng())
    assert rough.sum() < 0.9 * smooth.sum()


def test_a_pen_without_width_is_refused() -> None:
    with pytest.raises(ValueError, match="width is a fraction"):
        Pen(width=0)


# Scenes and photographs


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_a_seed_fixes_the_pixels(difficulty: float) -> None:
    first, second, other = (simulate_photo(5, rng(seed), difficulty=difficulty) for seed in (3, 3, 4))
    assert np.array_equal(first, second)
    assert first.shape != other.shape or not np.array_equal(first, other)


@settings(max_examples=40, deadline=None)
@given(digit=st.integers(0, 9), seed=st.integers(0, 2**32 - 1), difficulty=st.floats(0, 1))
def test_a_photo_is_a_picture_of_the_scenes_size(digit: int, seed: int, difficulty: float) -> None:
    scene = random_scene(rng(seed), difficulty=difficulty)
    photo = simulate_photo(digit, rng(seed), scene=scene, pen=random_pen(rng(seed)))
    assert photo.dtype == np.uint8
    assert photo.shape == (*scene.size, 3)
    assert photo.std() > 1  # something is written


def test_ink_darkens_paper_and_chalk_lightens_a_board() -> None:
    block = np.ones((20, 20), np.float32)
    dark_on_light = grey(photograph(block, PLAIN, rng()))
    board = replace(PLAIN, white_on_black=True, paper=(40, 40, 40), ink=(250, 250, 250))
    light_on_dark = grey(photograph(block, board, rng()))
    assert dark_on_light[60, 50] < 60
    assert dark_on_light[5, 5] > 240
    assert light_on_dark[60, 50] > 240
    assert light_on_dark[5, 5] < 60


def test_a_blackboard_is_mostly_dark() -> None:
    board = Scene(white_on_black=True, paper=(45, 45, 45), ink=(250, 250, 250))
    assert (grey(simulate_photo(2, rng(), scene=board)) < 128).mean() > 0.8


def test_ink_takes_its_colour_from_the_pen_and_the_paper() -> None:
    red = photograph(np.ones((9, 9), np.float32), replace(PLAIN, ink=(40, 40, 200)), rng())
    blue, green, reddish = red[60, 50].tolist()
    assert reddish > 3 * blue
    assert reddish > 3 * green


def test_the_digit_goes_where_the_scene_says() -> None:
    block = np.ones((20, 20), np.float32)
    scene = replace(PLAIN, digit_height=0.25, offset=(0.2, -0.1))
    ys, xs = np.nonzero(grey(photograph(block, scene, rng())) < 128)
    assert ys.mean() == pytest.approx(60 - 10, abs=1.5)
    assert xs.mean() == pytest.approx(50 + 20, abs=1.5)
    assert np.ptp(ys) + 1 == pytest.approx(30, abs=1)


@pytest.mark.parametrize("kind", ["full", "partial"])
def test_a_box_darkens_the_sides_it_has(kind: BoxKind) -> None:
    box = PrintedBox(kind, margins=(0.1, 0.1, 0.1, 0.1), sides=("left", "bottom"), thickness=0.04)
    picture = grey(photograph(NO_INK, replace(PLAIN, box=box), rng()))
    left, top, right, bottom = picture[60, 11], picture[11, 50], picture[60, -12], picture[-12, 50]
    assert max(left, bottom) < 100
    assert (max(top, right) < 100) == (kind == "full")
    assert picture[60, 50] > 240
    assert picture[3, 3] > 240


@pytest.mark.parametrize(("kind", "rows", "columns"), [("ruled", 5, 0), ("squared", 5, 4), ("dotted", 0, 0)])
def test_ruling_prints_lines_or_dots(kind: RulingKind, rows: int, columns: int) -> None:
    ruling = Ruling(kind, pitch=0.25, thickness=0.02, colour=(120, 120, 120), phase=(0.5, 0.5))
    dark = grey(photograph(NO_INK, replace(PLAIN, ruling=ruling), rng())) < 200

    def runs(line: NDArray[np.bool_]) -> int:
        return int(np.count_nonzero(np.diff(np.concatenate([[False], line]).astype(int)) == 1))

    assert runs(dark.mean(axis=1) > 0.9) == rows
    assert runs(dark.mean(axis=0) > 0.9) == columns
    assert dark.any()


def test_light_shadow_and_table_only_take_light_away() -> None:
    plain = grey(photograph(NO_INK, PLAIN, rng()))
    for scene in (replace(PLAIN, falloff=0.5), replace(PLAIN, shadow=0.5), replace(PLAIN, edge=0.1)):
        picture = grey(photograph(NO_INK, scene, rng()))
        assert picture.min() < 0.75 * plain.min()
        assert picture.max() <= plain.max()


def test_blur_softens_and_noise_roughens() -> None:
    block = np.ones((20, 20), np.float32)
    sharp, soft, noisy = (
        grey(photograph(block, scene, rng()))
        for scene in (PLAIN, replace(PLAIN, blur=0.03), replace(PLAIN, noise=0.05, paper=(180, 180, 180)))
    )
    assert np.abs(np.diff(soft[60])).max() < 0.5 * np.abs(np.diff(sharp[60])).max()
    assert sharp[:15, :15].std() == 0
    assert noisy[:15, :15].std() > 5


def test_a_turned_and_tilted_sheet_still_fills_the_picture() -> None:
    for seed in range(8):
        picture = photograph(NO_INK, replace(PLAIN, rotation=20.0, perspective=0.08), rng(seed))
        assert picture.min() > 240


def test_any_ink_map_can_be_photographed() -> None:
    for shape in ((28, 28), (1, 1), (300, 20), (3, 200)):
        assert photograph(np.ones(shape, np.float32), PLAIN, rng()).shape == (120, 100, 3)


def test_what_no_picture_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        Scene(size=(4, 100))
    with pytest.raises(ValueError, match="at most 0.08"):
        Scene(perspective=0.5)


# The samples made with it


def test_the_sample_script_still_makes_the_samples(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_samples", SAMPLES / "make_samples.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules["make_samples"] = script  # dataclasses look their module up
    try:
        spec.loader.exec_module(script)
        script.make_samples(tmp_path)
    finally:
        del sys.modules["make_samples"]

    def files(folder: Path) -> list[str]:
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    assert files(SAMPLES / "images") == files(tmp_path / "images")
    for text in ("labels.csv", "README.md"):
        assert (SAMPLES / text).read_text(encoding="utf-8") == (tmp_path / text).read_text(encoding="utf-8")


def test_samples_show_every_digit_twice() -> None:
    with (SAMPLES / "labels.csv").open(encoding="utf-8", newline="") as file:
        labels = Counter(row["label"] for row in csv.DictReader(file))
    assert all(labels[str(digit)] >= 2 for digit in range(10))
    assert set(labels) <= {"", *map(str, range(10))}
