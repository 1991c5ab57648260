"""Numbers and pages: lines, cuts, and what is read of them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from typer.testing import CliRunner

from batchdigits import Status, classify, classify_array
from batchdigits.classifiers.card import Thresholds
from batchdigits.classifiers.runner import Scores
from batchdigits.cli import app
from batchdigits.imaging.cuts import find_cuts
from batchdigits.imaging.rows import find_rows
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.imaging.text import find_text
from batchdigits.reading import read_text
from batchdigits.report.drawing import COLOURS, start_canvas
from batchdigits.training.texts import random_text, simulate_text
from batchdigits.types import Arrangement, Box, Layout, Page, PageId, Row, Span, Stain, TextLine, Tiles
from batchdigits.writers import read_csv

SETTINGS = ImagingSettings()
TRUSTING = Thresholds(review_below=0.5, not_a_digit_below=0.5)


def picture(text, seed=0, difficulty=0.1, **options):
    return simulate_text(text, np.random.default_rng(seed), difficulty=difficulty, **options)


def boxes_in_line(count, *, left=0, top=0, step=30, fall=0.0, size=20):
    return [
        Box(left + i * step, round(top + i * fall), left + i * step + size, round(top + i * fall) + size)
        for i in range(count)
    ]


# ---- lines of writing ----


def test_two_lines_are_told_apart_and_read_from_the_top():
    lower, upper = boxes_in_line(4, top=50), boxes_in_line(3, left=15)
    assert find_rows(lower + upper, 20) == [[4, 5, 6], [0, 1, 2, 3]]


@pytest.mark.parametrize("fall", [-7, -3, 3, 7])
def test_lines_that_fall_or_climb_stay_together(fall):
    upper, lower = boxes_in_line(9, top=100, fall=fall), boxes_in_line(9, top=145, fall=fall)
    assert find_rows(upper + lower, 20) == [list(range(9)), list(range(9, 18))]


def test_a_wide_gap_does_not_end_a_line():
    assert find_rows(boxes_in_line(3) + boxes_in_line(3, left=400), 20) == [[0, 1, 2, 3, 4, 5]]


def test_the_bar_of_a_five_joins_its_line_and_makes_none():
    five, bar, three = Box(0, 10, 40, 100), Box(5, 4, 45, 9), Box(70, 0, 110, 95)
    assert find_rows([three, five, bar], 90) == [[1, 2, 0]]


def test_a_dash_belongs_to_the_line_that_it_ends():
    line = [Box(left, 0, left + 60, 100) for left in (0, 90, 180)]
    assert find_rows([*line, Box(310, 45, 345, 52)], 100) == [[0, 1, 2, 3]]
    assert find_rows([*line, Box(310, 245, 345, 252)], 100) == [[0, 1, 2]]


def test_a_dot_far_from_every_line_is_left_out():
    assert find_rows([*boxes_in_line(3), Box(300, 300, 303, 303)], 20) == [[0, 1, 2]]
    assert find_rows([], 20) == []


# ---- cuts ----


def test_touching_digits_are_offered_a_cut_between_them():
    mask = np.zeros((60, 100), np.uint8)
    for x in (25, 74):
        cv2.ellipse(mask, (x, 30), (22, 27), 0, 0, 360, 255, 5)
    cv2.line(mask, (45, 30), (55, 30), 255, 4)
    assert any(45 <= cut <= 55 for cut in find_cuts(mask, 60))


@pytest.mark.parametrize("turned", [False, True])
def test_a_digit_that_a_pencil_left_in_many_parts_is_one_piece(turned):
    sheet = np.full((200, 500), 245, np.uint8)
    for left in (60, 200, 340):
        for start in range(0, 360, 24):  # dashes of a ring, the gaps narrower than the stroke
            cv2.ellipse(sheet, (left + 40, 100), (40, 60), 0, start, start + 17, 40, 8)
    pixels = cv2.cvtColor(cv2.transpose(sheet) if turned else sheet, cv2.COLOR_GRAY2BGR)
    layout = Layout.PAGE if turned else Layout.NUMBER
    tiles = find_text(Page(PageId("x"), pixels), SETTINGS, layout)
    (line,) = tiles.arrangements[1 if turned else 0].lines
    assert line.pieces == 3
    assert max(box.height for box in tiles.boxes) < 145


def test_digits_stand_alone_on_squared_paper_that_their_threshold_breaks_up():
    pixels = np.full((200, 700, 3), 245, np.uint8)
    pixels[20::45], pixels[:, 10::45] = 150, 150
    for left in (80, 230, 380, 530):
        cv2.ellipse(pixels, (left + 40, 100), (38, 62), 0, 0, 360, (50, 40, 30), 9)
    noise = np.random.default_rng(0).normal(0, 8, (200, 700, 1))
    pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    (held,) = find_text(Page(PageId("x"), pixels), SETTINGS, Layout.NUMBER).arrangements
    assert [line.pieces for line in held.lines] == [4]


def test_a_narrow_mark_is_not_cut():
    mask = np.zeros((60, 40), np.uint8)
    cv2.ellipse(mask, (20, 30), (17, 27), 0, 0, 360, 255, 5)
    assert find_cuts(mask, 60) == []


def test_a_mark_hardly_wide_enough_for_two_is_cut_where_one_stroke_joins_them():
    ring, pair = np.zeros((60, 51), np.uint8), np.zeros((60, 51), np.uint8)
    cv2.ellipse(ring, (25, 30), (23, 27), 0, 0, 360, 255, 5)
    for x in (4, 46):
        cv2.line(pair, (x, 2), (x, 57), 255, 5)
    cv2.line(pair, (4, 30), (46, 30), 255, 3)
    assert find_cuts(ring, 60) == []
    assert find_cuts(pair, 60)


def test_two_rings_that_touch_twice_are_cut_between_them():
    mask = np.zeros((60, 110), np.uint8)
    for x in (25, 84):
        cv2.ellipse(mask, (x, 30), (22, 27), 0, 0, 360, 255, 5)
    for y in (18, 42):
        cv2.line(mask, (40, y), (69, y), 255, 4)
    assert any(50 <= cut <= 60 for cut in find_cuts(mask, 60))


def test_a_line_that_begins_before_its_first_stroke_is_drawn():
    rng = np.random.default_rng((99, 83))
    text = random_text(rng, int(rng.integers(7, 11)))
    assert simulate_text(text, rng, difficulty=rng.uniform(0, 0.6)).size


# ---- from candidates to text, by made-up scores ----


def line_of(spans, pieces, first=0):
    stains = tuple(Stain(i, i + 1, 0.1) for i in range(pieces))
    return TextLine(pieces, tuple(Span(a, b, first + i, 1.0) for i, (a, b) in enumerate(spans)), stains)


def tiles_of(spans, pieces, *, layout=Layout.NUMBER, notes=(), lines=None):
    """Candidates without pixels: (start, stop) of each, all of one line unless `lines` gives them."""
    rows = lines or [line_of(spans, pieces)]
    count = 1 + max(span.tile for row in rows for span in row.spans)
    boxes = tuple(Box(10 * i, 0, 10 * i + 8, 12) for i in range(count))
    pixels = np.zeros((count, 28, 28), np.float32)
    return Tiles(PageId("x"), boxes, pixels, notes, layout, (Arrangement(0, tuple(rows)),))


def scores_of(*readings):
    """One (digit, probability, known) per candidate."""
    probabilities = np.full((len(readings), 10), 0.0)
    for row, (digit, probability, _) in zip(probabilities, readings, strict=True):
        row[:] = (1 - probability) / 9
        row[digit] = probability
    return Scores(probabilities, np.array([known for *_, known in readings]))


def read(tiles, scores):
    return read_text(tiles, scores, TRUSTING, "m")


def test_pieces_that_are_surer_together_are_one_digit():
    tiles = tiles_of([(0, 1), (1, 2), (0, 2)], 2)
    together = read(tiles, scores_of((1, 0.9, 0.3), (1, 0.9, 0.3), (4, 0.99, 0.99)))
    apart = read(tiles, scores_of((1, 0.99, 0.99), (7, 0.99, 0.99), (4, 0.9, 0.1)))
    assert together.prediction == "4"
    assert apart.prediction == "17"
    assert [digit.box.left for digit in apart.digits] == [0, 10]


def test_confidence_falls_with_every_doubt():
    tiles = tiles_of([(0, 1), (1, 2), (0, 2)], 2)
    sure = read(tiles, scores_of((1, 0.99, 1), (7, 0.99, 1), (4, 0.9, 0.01)))
    unsure_digit = read(tiles, scores_of((1, 0.99, 1), (7, 0.7, 1), (4, 0.9, 0.01)))
    unsure_cut = read(tiles, scores_of((1, 0.99, 1), (7, 0.99, 1), (4, 0.9, 0.8)))
    assert sure.confidence > 0.95
    assert unsure_digit.confidence < 0.75
    assert unsure_cut.confidence < 0.75
    assert sure.status is Status.OK
    assert sure.second[0] == "1" or sure.second[1] == "7"
    assert sure.second_confidence < sure.confidence


def test_a_stain_is_left_out_of_the_text():
    row = read(tiles_of([(0, 1), (1, 2)], 2), scores_of((5, 0.99, 0.99), (1, 0.9, 0.01)))
    assert row.prediction == "5"


def test_ways_to_cut_that_read_the_same_are_no_doubt():
    spans = (Span(0, 1, 0, 1.0), Span(1, 2, 1, 1.0), Span(0, 2, 2, 0.4))
    tiles = tiles_of([], 0, lines=[TextLine(2, spans, (Stain(0, 1, 0.05), Stain(1, 2, 0.8)))])
    same, other = (read(tiles, scores_of((5, 0.99, 0.99), (1, 0.9, 0.1), (joined, 0.99, 0.9))) for joined in (5, 6))
    assert same.prediction == other.prediction == "5"
    assert same.confidence > 0.9
    assert other.confidence < 0.85


@pytest.mark.parametrize(("alike", "digit", "text"), [(0.0, 1, "51"), (1.0, 1, "5"), (1.0, 2, "52")])
def test_what_may_be_a_comma_is_one_if_it_looks_like_a_stroke(alike, digit, text):
    spans = (Span(0, 1, 0, 1.0), Span(1, 2, 1, 0.01))
    line = TextLine(2, spans, (Stain(0, 1, 0.05), Stain(1, 2, 0.8, alike)))
    row = read(tiles_of([], 0, lines=[line]), scores_of((5, 0.999, 0.999), (digit, 0.999, 0.999)))
    assert row.prediction == text


def test_only_stains_are_no_text():
    row = read(tiles_of([(0, 1)], 1), scores_of((1, 0.5, 0.001)))
    assert (row.prediction, row.confidence, row.status, row.reason) == ("", 0.0, Status.REVIEW, "not_a_digit")


def test_a_number_has_one_line_and_says_if_there_are_more():
    lines = [line_of([(0, 1), (1, 2)], 2), line_of([(0, 1)], 1, first=2)]
    scores = scores_of((1, 0.99, 1), (2, 0.99, 1), (3, 0.99, 1))
    number = read(tiles_of([], 0, lines=lines), scores)
    page = read(tiles_of([], 0, lines=lines, layout=Layout.PAGE), scores)
    assert (number.prediction, number.reason) == ("12", "several_lines")
    assert (page.prediction, page.reason) == ("12 3", "")


def test_what_imaging_doubts_is_for_a_person():
    row = read(tiles_of([(0, 1)], 1, notes=("cut_off",)), scores_of((1, 0.99, 1)))
    assert (row.status, row.reason) == (Status.REVIEW, "cut_off")


# ---- pictures ----


@pytest.mark.parametrize("seed", range(8))
def test_a_number_is_read(cnn, seed):
    text = ("0012", "98765", "31415926", "7", "40", "100200", "5555", "2718281")[seed]
    row = classify_array(picture(text, seed), model=cnn, layout="number")
    assert row.prediction == text
    assert len(row.digits) == len(text)
    lefts = [digit.box.left for digit in row.digits]
    assert lefts == sorted(lefts)
    assert row.box.left == min(lefts)


@pytest.mark.parametrize("turns", range(4))
def test_a_page_is_read_whichever_way_up(cnn, turns):
    pixels = picture("23745 86 4521", 3, turns=turns)
    row = classify_array(pixels, model=cnn, layout=Layout.PAGE)
    assert row.prediction == "23745 86 4521"
    for digit in row.digits:
        assert 0 <= digit.box.left < digit.box.right <= pixels.shape[1]
        assert 0 <= digit.box.top < digit.box.bottom <= pixels.shape[0]


def test_most_numbers_are_right_and_those_marked_ok_all(cnn):
    rng = np.random.default_rng(5)
    texts = ["".join(map(str, rng.integers(0, 10, rng.integers(3, 9)))) for _ in range(40)]
    rows = [classify_array(picture(t, i, 0.5), model=cnn, layout="number") for i, t in enumerate(texts)]
    right = [row.prediction == text for row, text in zip(rows, texts, strict=True)]
    assert sum(right) >= 34
    assert all(good for row, good in zip(rows, right, strict=True) if row.status is Status.OK)
    assert sum(row.status is Status.OK for row in rows) >= 28


@pytest.mark.parametrize("amount", ["12,345", "1,234.50", "98.06", "987=", "450-"])
def test_the_signs_of_an_amount_are_no_digits(cnn, amount):
    wanted = "".join(character for character in amount if character.isdigit())
    rows = [classify_array(picture(amount, seed), model=cnn, layout="number") for seed in range(6)]
    assert sum(row.prediction == wanted for row in rows) >= 5
    assert all(row.prediction == wanted for row in rows if row.status is Status.OK)


def test_a_slash_before_the_dash_that_ends_an_amount_is_no_sure_one(cnn):
    rows = [classify_array(picture("6304/-", seed), model=cnn, layout="number") for seed in range(6)]
    assert sum(row.prediction == "6304" for row in rows) >= 4
    assert not any(row.prediction == "63041" and row.status is Status.OK for row in rows)


def test_a_number_in_a_row_of_boxes(cnn):
    pixels = np.full((120, 640, 3), 250, np.uint8)
    for left in range(20, 620, 100):
        cv2.rectangle(pixels, (left, 15), (left + 100, 105), (30, 30, 30), 2)
    for place, digit in enumerate("604283"):
        one = cv2.resize(picture(digit, place, 0), (60, 70), interpolation=cv2.INTER_AREA)
        at = np.s_[25:95, 40 + 100 * place : 100 + 100 * place]
        pixels[at] = np.minimum(pixels[at], one)
    assert classify_array(pixels, model=cnn, layout="number").prediction == "604283"


def test_blank_paper_is_blank(cnn):
    for layout in ("number", "page"):
        row = classify_array(np.full((200, 300), 255, np.uint8), model=cnn, layout=layout)
        assert (row.status, row.reason, row.prediction) == (Status.BLANK, "no_ink", "")


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 60), st.integers(1, 60), st.just(3)),
        elements=st.integers(0, 255),
        fill=st.sampled_from([0, 128, 255]),
    ),
    st.sampled_from([Layout.NUMBER, Layout.PAGE]),
)
@settings(max_examples=50)
def test_no_picture_breaks_it(pixels, layout):
    tiles = find_text(Page(PageId("x"), pixels), SETTINGS, layout)
    assert np.isfinite(tiles.pixels).all()
    for box in tiles.boxes:
        assert 0 <= box.left < box.right <= pixels.shape[1]
        assert 0 <= box.top < box.bottom <= pixels.shape[0]
    for held in tiles.arrangements:
        for line in held.lines:
            assert {piece for span in line.spans for piece in range(span.start, span.stop)} == set(range(line.pieces))
            assert [piece for stain in line.stains for piece in range(stain.start, stain.stop)] == [*range(line.pieces)]
            assert all(0 < part.prior <= 1 for part in (*line.spans, *line.stains))


def test_a_page_full_of_specks_is_read_in_bounds_and_says_so(cnn):
    specks = np.full((700, 900, 3), 255, np.uint8)
    for x in range(10, 890, 16):
        for y in range(10, 690, 16):
            cv2.circle(specks, (x, y), 4, (0, 0, 0), 1)
    tiles = find_text(Page(PageId("x"), specks), SETTINGS, Layout.PAGE)
    assert len(tiles.boxes) < 4 * 6 * 500
    assert classify_array(specks, model=cnn, layout="page").reason == "too_many_marks"


@pytest.mark.parametrize("shape", [(1, 1), (1, 20000), (20000, 1), (2, 3)])
def test_degenerate_pictures_are_blank(shape):
    assert find_text(Page(PageId("x"), np.full((*shape, 3), 9, np.uint8)), SETTINGS, Layout.PAGE).boxes == ()


# ---- the command ----


def read_rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(read_csv(file))


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_digits_are_a_table_of_their_own(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture("4711", 1))
    cv2.imwrite(str(tmp_path / "b.png"), np.full((90, 90, 3), 255, np.uint8))
    out, digits = tmp_path / "out.csv", tmp_path / "digits.csv"
    result = run("classify", tmp_path, "--layout", "number", "-o", out, "--digits", digits, "--probabilities")
    assert result.exit_code == 0
    rows = read_rows(out)
    assert [(row["file"], row["prediction"], row["status"]) for row in rows] == [
        ("a.png", "4711", "ok"),
        ("b.png", "", "blank"),
    ]
    assert "p0" not in rows[0]
    each = read_rows(digits)
    assert [(row["file"], row["position"], row["prediction"]) for row in each] == [
        ("a.png", str(place), digit) for place, digit in enumerate("4711", start=1)
    ]
    assert all(abs(sum(float(row[f"p{d}"]) for d in range(10)) - 1) < 1e-4 for row in each)
    assert min(int(row["x"]) for row in each) == int(rows[0]["x"])


def test_digits_as_json_lines(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture("38", 2))
    target = tmp_path / "digits.jsonl"
    run("classify", tmp_path, "--layout", "number", "-o", tmp_path / "out.csv", "--digits", target)
    records = [json.loads(line) for line in target.read_text().splitlines()]
    assert [record["prediction"] for record in records] == ["3", "8"]
    assert [record["position"] for record in records] == [1, 2]


@pytest.mark.parametrize(
    "options",
    [
        ("--layout", "number", "--probabilities"),
        ("--layout", "column"),
        ("--digits", "-"),
        ("--digits", "same.csv", "-o", "same.csv"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, options, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite(str(tmp_path / "a.png"), picture("3", 2))
    result = run("classify", tmp_path, *options)
    assert result.exit_code == 2
    assert not list(tmp_path.glob("*.csv"))


def test_jobs_do_not_change_the_rows(tmp_path, cnn):
    for number in range(26):
        cv2.imwrite(str(tmp_path / f"{number:02d}.png"), picture(str(100 + 7 * number), number))
    one, two = ([*classify(tmp_path, model=cnn, layout="number", jobs=jobs)] for jobs in (1, 2))
    assert one == two


@pytest.mark.parametrize("layout", ["number", "page"])
def test_inspect_draws_every_digit(tmp_path, layout):
    source, target = tmp_path / "a number with quite a long name, as scanners give them.png", tmp_path / "out.png"
    cv2.imwrite(str(source), picture("5029", 1))
    result = run("inspect", source, "--layout", layout, "-o", target)
    assert result.exit_code == 0
    assert "5029" in result.output
    drawing = cv2.imread(str(target))
    assert drawing.shape[1] > 900
    assert drawing.std() > 5


def test_the_text_of_a_page_leaves_room_for_the_name_of_its_file():
    row = Row(PageId("a.png"), " ".join(["0123456789"] * 10), 0.9, Status.REVIEW, "low_confidence")
    canvas, _ = start_canvas(60, row, "a.png")
    name = np.asarray(canvas)[:, : canvas.width // 4].reshape(-1, 3)
    assert not (name == COLOURS[Status.REVIEW]).all(axis=1).any()
    assert (np.asarray(canvas) == COLOURS[Status.REVIEW]).all(axis=2).any()


def test_inspect_draws_a_page_without_ink(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((200, 300, 3), 255, np.uint8))
    result = run("inspect", tmp_path / "a.png", "--layout", "page", "-o", tmp_path / "out.png")
    assert result.exit_code == 0
    assert "no digit" in result.output


def test_the_next_step_keeps_the_layout(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture("77", 1))
    result = run("classify", tmp_path, "--layout", "number", "-o", tmp_path / "out.csv")
    assert "--layout number" in result.output


def test_upside_down_a_digit_has_its_own_tile_turned():
    pixels = picture("2374", 3)
    upright, turned = (
        find_text(Page(PageId("x"), np.ascontiguousarray(np.rot90(pixels, turns))), SETTINGS, Layout.PAGE)
        for turns in (0, 2)
    )

    def tiles(found, turns):
        (arrangement,) = (held for held in found.arrangements if held.turns == turns)
        (line,) = arrangement.lines
        return {(span.start, span.stop): found.pixels[span.tile] for span in line.spans}

    made, taken = tiles(turned, 0), tiles(upright, 2)  # the same sight: made in the one, turned in the other
    assert made.keys() == taken.keys()
    for key in made:
        assert np.abs(made[key] - taken[key]).mean() < 0.02
