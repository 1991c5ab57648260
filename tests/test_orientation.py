"""Which way up a page lies: told by a sample of its marks where there are many, left open where it is in doubt."""

from __future__ import annotations

import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchdigits import classify_array, load_model
from batchdigits.batch import classify_parts, rows_of
from batchdigits.classifiers.runner import Classifier, Scores, model_for_ways_up
from batchdigits.classifiers.store import shipped_models
from batchdigits.errors import ModelError
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.imaging.text import EVERY_WAY_UP, TileMaker, arrange
from batchdigits.imaging.writing import find_writing
from batchdigits.looking import look
from batchdigits.orientation import likely_ways_up
from batchdigits.sources.walk import find_sources
from batchdigits.training.texts import simulate_text
from batchdigits.types import Layout, Page, PageId
from batchdigits.worker import Part, Reading, image_page, read_part

SETTINGS = ImagingSettings()
LONG = "2347523 7345274 4273354 5523747 3742357 7735244 2543273"
AMBIGUOUS = "0080808 8000800 8080080 0088000 8008008 0008800 0800808"
SHORT = "2347 52374"
SEED = 3  # any whose digits stand apart


def picture(text, turns=0, seed=SEED):
    return simulate_text(text, np.random.default_rng(seed), difficulty=0.1, turns=turns)


@pytest.fixture(scope="module")
def writing():
    return find_writing(picture(LONG), SETTINGS)


def ways_up(pixels, classify):
    tiles = look(Page(PageId("x"), pixels), SETTINGS, Layout.PAGE, classify=classify).tiles
    return tuple(held.turns for held in tiles.arrangements)


@pytest.mark.parametrize("turns", EVERY_WAY_UP)
def test_a_long_page_is_read_the_way_it_lies(cnn, turns):
    pixels = picture(LONG, turns)
    assert ways_up(pixels, cnn) == (turns,)
    assert classify_array(pixels, model=cnn, layout="page").prediction == LONG


@pytest.mark.parametrize("turns", EVERY_WAY_UP)
def test_what_is_told_by_a_sample_is_what_all_four_ways_tell(cnn, turns):
    """Without a classifier all four ways are offered, as they are for a short text."""
    page = Page(PageId("x"), picture(LONG, turns, seed=8))
    found = [[image_page(page, SETTINGS, Layout.PAGE, classify=classify)] for classify in (cnn, None)]
    (sampled,), (offered,) = rows_of(found, cnn)
    assert sampled.prediction == offered.prediction == LONG
    assert sampled.confidence == pytest.approx(offered.confidence, abs=0.02)  # half of the tiles may be others turned
    assert [digit.box for digit in sampled.digits] == [digit.box for digit in offered.digits]
    assert (sampled.status, sampled.reason) == (offered.status, offered.reason)


@pytest.mark.parametrize("turns", [0, 1])
def test_digits_that_look_alike_upside_down_leave_both_ways_open(cnn, turns):
    assert ways_up(picture(AMBIGUOUS, turns), cnn) == (turns, turns + 2)


@pytest.mark.parametrize("turns", EVERY_WAY_UP)
def test_a_short_text_is_looked_at_all_four_ways(cnn, turns):
    assert ways_up(picture(SHORT, turns), cnn) == EVERY_WAY_UP


def test_a_number_is_held_as_it_lies(cnn):
    found = look(Page(PageId("x"), picture("2" * 40)), SETTINGS, Layout.NUMBER, classify=cnn)
    assert [held.turns for held in found.tiles.arrangements] == [0]


def test_no_more_marks_are_looked_at_than_the_answer_takes(cnn, writing):
    seen = []

    def counting(tiles):
        seen.append(len(tiles))
        return cnn(tiles)

    assert likely_ways_up(writing, TileMaker(SETTINGS), counting) == (0,)
    assert len(seen) <= 3
    assert max(seen) <= 64


def test_a_tile_of_the_sample_is_the_one_that_is_read(cnn, writing):
    make_tiles = TileMaker(SETTINGS)
    likely_ways_up(writing, make_tiles, cnn)
    candidates = arrange(writing, (0,)).candidates
    assert np.array_equal(make_tiles(candidates), TileMaker(SETTINGS)(candidates))


def scores_of_first_round(levels):
    """Return a classifier that at first says of each way how sure it is, and then the same of all that are left."""
    calls = []

    def classify(tiles):
        calls.append(len(tiles))
        known = np.full(len(tiles), 0.5) if len(calls) > 1 else np.resize(levels, len(tiles))
        return Scores(np.eye(10)[np.zeros(len(tiles), int)], known)

    return classify


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_only_ways_far_behind_are_left_out(writing, levels):
    """A way stays if, over all marks that were looked at, it is not ten in log likelihood behind the best."""
    ways = likely_ways_up(writing, TileMaker(SETTINGS), scores_of_first_round(np.repeat(levels, 32)))
    evidence = 32 * np.log(np.maximum(levels, 0.03))
    assert ways == tuple(2 * held for held in (0, 1) if evidence[held] > evidence.max() - 10)


def test_one_mark_alone_decides_nothing(writing):
    """However sure the classifier is that it is no digit, it may be none."""
    levels = np.full((2, 32), 0.9)
    levels[0, :2] = 0.0
    assert likely_ways_up(writing, TileMaker(SETTINGS), scores_of_first_round(levels)) == (0, 2)


@pytest.mark.parametrize(("wider", "ways"), [(1.0, (0, 2)), (1.6, EVERY_WAY_UP), (2.4, (1, 3))])
def test_shapes_rule_out_two_ways_up_unless_they_are_as_wide_as_high(wider, ways):
    pixels = cv2.resize(picture(LONG), None, fx=wider, fy=1.0)
    writing = find_writing(pixels, SETTINGS)
    assert likely_ways_up(writing, TileMaker(SETTINGS), scores_of_first_round(np.full(64, 0.5))) == ways


# ---- the model that tells it ----


def test_a_quick_model_tells_it_whichever_reads(cnn):
    assert model_for_ways_up(cnn).card.name == "ann"
    assert model_for_ways_up(cnn) is model_for_ways_up(load_model(shipped_models() / "knn"))


def test_a_model_that_takes_other_tiles_tells_it_itself(cnn):
    other = Classifier(replace(cnn.card, imaging=replace(cnn.card.imaging, min_stroke=1.0)), cnn)
    assert model_for_ways_up(other) is other


# ---- the model in other processes ----


def test_a_model_travels_as_its_place_and_says_the_same_there(cnn):
    sent = pickle.dumps(cnn)
    assert len(sent) < 100_000  # it goes along with every call: not its weights
    tiles = np.random.default_rng(0).random((70, 28, 28), np.float32)
    here, there = cnn(tiles), pickle.loads(sent)(tiles)
    assert np.array_equal(here.probabilities, there.probabilities)
    assert np.array_equal(here.known, there.known)


def test_an_ensemble_and_a_threshold_travel_too():
    ensemble = load_model(shipped_models() / "ensemble").with_threshold(0.77)
    there = pickle.loads(pickle.dumps(ensemble))
    assert there.card == ensemble.card
    tiles = np.random.default_rng(0).random((3, 28, 28), np.float32)
    assert np.array_equal(ensemble(tiles).probabilities, there(tiles).probabilities)


def test_a_model_that_was_replaced_meanwhile_is_refused(tmp_path):
    folder = tmp_path / "logreg"
    folder.mkdir()
    for file in (shipped_models() / "logreg").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    sent = pickle.dumps(load_model(folder))
    (folder / "model.onnx").write_bytes((shipped_models() / "knn" / "model.onnx").read_bytes())
    with pytest.raises(ModelError, match="damaged"):
        pickle.loads(sent)


def test_pages_are_read_alike_in_other_processes(tmp_path, cnn):
    for number, text in enumerate((LONG, AMBIGUOUS, SHORT)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(text, turns=number, seed=number))
    (tmp_path / "1b.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    parts = [Part(source.absolute()) for source in find_sources([tmp_path]).sources]
    reading = Reading(SETTINGS, layout=Layout.PAGE)
    here, there = (
        [row for done in classify_parts(parts, cnn, reading, jobs=2, guarded=guarded) for row in done.rows]
        for guarded in (False, True)
    )
    assert here == there
    assert [row.status == "error" for row in here] == [False, False, True, False]


def test_a_model_that_gives_no_numbers_is_not_laid_to_the_page(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture(LONG))
    (source,) = find_sources([tmp_path]).sources

    def broken(tiles):
        raise ModelError("The model's graph gives no finite numbers.")

    with pytest.raises(ModelError):
        read_part(Part(source.absolute()), Reading(SETTINGS, layout=Layout.PAGE), broken)
