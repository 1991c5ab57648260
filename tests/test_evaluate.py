"""Scores against scikit-learn and by hand, and the command `evaluate`."""

from __future__ import annotations

import csv
import json
import shutil
import time

import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm
from typer.testing import CliRunner

from batchdigits import load_model
from batchdigits.assessment import Assessment, JudgedPage
from batchdigits.cli import app
from batchdigits.evaluation import Judged, choose_threshold, compare, evaluate_rows
from batchdigits.report.evaluation_report import write_report
from batchdigits.sources.labels import Matched
from batchdigits.training.simulator import Pen, draw_ink, draw_skeleton
from batchdigits.training.texts import simulate_text
from batchdigits.types import Layout, PageId, Status
from tests.conftest import SAMPLES

OK, REVIEW, BLANK, ERROR = Status.OK, Status.REVIEW, Status.BLANK, Status.ERROR


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# ---- figures ----


def made_up(count=400):
    """Rows of a model that is right on nine in ten, as rows and as arrays."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 10, count)
    probabilities = rng.dirichlet(np.full(10, 0.05), count)
    hit = rng.random(count) < 0.9
    best = probabilities.argmax(axis=1)
    for row in np.flatnonzero(hit):
        probabilities[row, [best[row], truth[row]]] = probabilities[row, [truth[row], best[row]]]
    order = probabilities.argsort(axis=1)
    rows = [
        Judged(str(t), str(o[-1]), float(p[o[-1]]), OK if p[o[-1]] > 0.7 else REVIEW, str(o[-2]), tuple(map(float, p)))
        for t, o, p in zip(truth, order, probabilities, strict=True)
    ]
    return rows, truth, probabilities


def test_figures_are_those_of_scikit_learn():
    from sklearn.metrics import (
        accuracy_score,
        classification_report,
        confusion_matrix,
        log_loss,
        top_k_accuracy_score,
    )

    rows, truth, probabilities = made_up()
    guess = probabilities.argmax(axis=1)
    scores = evaluate_rows(rows)
    digit = scores["digit"]
    wanted = classification_report(truth, guess, labels=range(10), output_dict=True, zero_division=0)
    assert scores["accuracy"] == pytest.approx(accuracy_score(truth, guess), abs=1e-12)
    assert digit["top2_accuracy"] == pytest.approx(top_k_accuracy_score(truth, probabilities, k=2), abs=1e-12)
    assert digit["log_loss"] == pytest.approx(log_loss(truth, probabilities), abs=1e-12)
    brier = np.mean([np.sum((p - np.eye(10)[t]) ** 2) for t, p in zip(truth, probabilities, strict=True)])
    assert digit["brier"] == pytest.approx(brier, abs=1e-12)
    assert [row[:10] for row in digit["confusion"]] == confusion_matrix(truth, guess, labels=range(10)).tolist()
    for name, own in [*((str(n), own) for n, own in enumerate(digit["each"])), ("macro avg", digit["macro"])]:
        assert own == pytest.approx(
            {key.replace("-score", ""): value for key, value in wanted[name].items()}, abs=1e-12
        )
    assert digit["weighted"]["f1"] == pytest.approx(wanted["weighted avg"]["f1-score"], abs=1e-12)
    # Wilson (1927), by his formula
    z, n, p = norm.ppf(0.975), len(truth), scores["accuracy"]
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert scores["accuracy_low"] == pytest.approx((middle - half) / (1 + z**2 / n), abs=1e-12)
    assert scores["accuracy_high"] == pytest.approx((middle + half) / (1 + z**2 / n), abs=1e-12)


def test_a_small_case_by_hand():
    rows = [
        Judged("7", "7", 0.9, OK, "1"),
        Judged("7", "1", 0.8, OK, "7"),
        Judged("1", "1", 0.6, REVIEW, "7"),
        Judged("1", "", 0.0, BLANK),
        Judged("3", "", 0.0, ERROR),
        Judged("12 34", "12 84", 0.7, REVIEW),
    ]
    scores = evaluate_rows(rows)
    assert (scores["count"], scores["right"], scores["ok_share"]) == (6, 2, 2 / 6)
    counts = {status: (own["count"], own["right"]) for status, own in scores["status"].items()}
    assert counts == {"ok": (2, 1), "review": (2, 1), "blank": (1, 0), "error": (1, 0)}
    assert scores["text"] == {"digits": 9, "digit_error_rate": 4 / 9}  # 1, blank, error, and 8 for 3
    digit = scores["digit"]
    assert (digit["count"], digit["top2_accuracy"]) == (5, 3 / 5)
    assert digit["confusion"][7] == [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert digit["confusion"][1] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert digit["each"][1] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert digit["each"][0]["support"] == 0
    assert digit["macro"]["recall"] == pytest.approx((0.5 + 0 + 0.5) / 3)  # of the digits that were written
    assert (digit["log_loss"], digit["brier"], digit["probabilities_count"]) == (None, None, 0)
    assert scores["calibration"]["count"] == 4
    assert scores["calibration"]["ece"] == pytest.approx((0.1 + 0.8 + 0.4 + 0.7) / 4)


@pytest.mark.parametrize("rows", [[], [Judged("5", "", 0.0, ERROR)]])
def test_nothing_to_divide_by_is_no_figure(rows):
    scores = evaluate_rows(rows)
    assert scores["calibration"]["ece"] is None
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_the_threshold_is_the_lowest_that_keeps_the_promise():
    confidence = np.array([0.99, 0.98, 0.97, 0.97, 0.9, 0.8])
    right = np.array([True, True, True, False, True, False])
    assert choose_threshold(confidence, right, 0.0) == 0.98
    assert choose_threshold(confidence, right, 0.2) == 0.9
    assert choose_threshold(confidence, right, 0.25) == 0.9
    assert choose_threshold(confidence, right, 1.0) == 0.8
    assert choose_threshold(confidence, ~right, 0.0) is None
    assert choose_threshold(np.zeros(0), np.zeros(0, np.bool_), 0.1) is None


def test_mcnemar_by_hand():
    first = np.array([True] * 8 + [False] * 2 + [True] * 90)
    second = np.array([False] * 8 + [True] * 2 + [True] * 90)
    found = compare(first, second)
    assert (found.first_alone, found.second_alone) == (8, 2)
    assert found.p_value == pytest.approx(2 * (1 + 10 + 45) / 2**10, abs=1e-12)  # at most 2 of 10 heads, either way
    assert compare(first, first).p_value == 1


# ---- the command ----


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Pictures of a 7, a 4 and a 1 in folders of their names, and one in no such folder."""
    monkeypatch.chdir(tmp_path)
    for name, file in (("7", "IMG_2042.jpg"), ("9", "blue-ink.jpg"), ("6", "formats/exif-rotated.jpg")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        shutil.copy(SAMPLES / "images" / file, tmp_path / "photos" / name)
    shutil.copy(SAMPLES / "images" / "blank.jpg", tmp_path / "photos")
    return tmp_path / "photos"


def test_folders_are_labels(photos):
    result = invoke("evaluate", photos, "--report", "report", "-q")
    assert result.exit_code == 0, result.output
    assert "3 of 3 = 100.00%" in result.stdout
    assert "1 pages have no label: blank.jpg" in result.stdout
    scores = json.loads((photos.parent / "report" / "evaluation.json").read_text())
    (model,) = scores["models"]
    assert (scores["schema"], model["right"], scores["unlabelled"]) == (1, 3, ["blank.jpg"])
    assert model["digit"]["probabilities_count"] == 3


def test_a_table_is_labels_and_models_are_compared(photos):
    (photos / "labels.csv").write_text("file;label\nIMG_2042.jpg;7\nblue-ink.jpg;9\nexif-rotated.jpg;5\ngone.jpg;1\n")
    options = ("--labels", photos / "labels.csv", "-m", "cnn", "-m", "logreg", "--format", "json", "-q")
    result = invoke("evaluate", photos, *options)
    scores = json.loads(result.stdout)
    assert [model["right"] for model in scores["models"]] == [2, 2]
    (pair,) = scores["comparisons"]
    assert (pair["first_alone"], pair["second_alone"], pair["differing"]) == (0, 0, [])
    assert scores["unused"] == ["gone.jpg"]


def test_predictions_are_judged_as_the_pictures_are(photos):
    (photos / "labels.csv").write_text("file,label\nIMG_2042.jpg,7\nblue-ink.jpg,4\nexif-rotated.jpg,6\nblank.jpg,0\n")
    invoke("classify", photos, "--probabilities", "-o", "rows.csv", "-q")
    labels = ("--labels", photos / "labels.csv", "--format", "json", "-q")
    judged = json.loads(invoke("evaluate", "--predictions", "rows.csv", *labels).stdout)
    read = json.loads(invoke("evaluate", photos, *labels).stdout)
    for scores in (judged, read):  # a CSV has six decimals
        (model,) = scores["models"]
        assert (model["right"], model["status"]["blank"]["count"]) == (2, 1)
        model["calibration"] = {"ece": round(model["calibration"]["ece"], 4)}
        assert model["digit"].pop("log_loss") > 0  # a rounded 0 costs much
        model["digit"]["brier"] = round(model["digit"]["brier"], 3)
    assert judged == read


def test_classify_reports_beside_its_rows(photos):
    (photos / "labels.csv").write_text("file,label\nIMG_2042.jpg,7\nblue-ink.jpg,4\n")
    result = invoke("classify", photos, "--labels", photos / "labels.csv", "-o", "rows.csv", "--probabilities")
    assert result.exit_code == 0, result.output
    assert "rows-report" in result.stderr
    scores = json.loads((photos.parent / "rows-report" / "evaluation.json").read_text())
    assert (scores["models"][0]["count"], scores["models"][0]["right"]) == (2, 1)
    assert "should be <b>4</b>" in (photos.parent / "rows-report" / "report.html").read_text()
    with (photos.parent / "rows.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4
    named = invoke("classify", photos, "--labels", photos / "labels.csv", "--report", "mine", "-q")
    assert (named.exit_code, (photos.parent / "mine" / "report.html").exists()) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--report", "mine"), 2, "--report needs --labels"),
        (("--labels", "none.csv"), 3, "cannot be read"),
        (("--labels", "labels.csv"), 3, "None of 4 pages has a label"),
    ],
)
def test_labels_that_do_not_fit_are_told_before_or_after_but_rows_are_kept(photos, arguments, code, message):
    (photos.parent / "labels.csv").write_text("file,label\nnobody.jpg,7\n")
    result = invoke("classify", photos, *arguments, "-q")
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert (photos.parent / "predictions.csv").exists() == (arguments[-1] == "labels.csv")


def test_the_test_part_of_a_benchmark(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    digits = np.tile(np.arange(10), 8)
    ink = [draw_ink(draw_skeleton(d, rng, wobble=0.4), height=20, pen=Pen(), rng=rng) for d in digits]
    x = np.zeros((80, 28, 28), np.uint8)
    for picture, own in zip(x, ink, strict=True):
        left = (28 - own.shape[1]) // 2
        picture[4:24, left : left + own.shape[1]] = np.rint(255 * own)
    wrong = digits.copy()
    wrong[70] = 3  # a 0
    train = {"x_train": np.tile(x, (3, 1, 1)), "y_train": np.tile(digits, 3)}
    np.savez("own.npz", **train, x_test=x[60:], y_test=wrong[60:])
    result = invoke("evaluate", "--data", "own.npz", "--report", "report", "--format", "json", "-q")
    assert result.exit_code == 0, result.output
    (model,) = json.loads(result.stdout)["models"]
    assert (model["count"], model["digit"]["confusion"][3][0]) == (20, 1)
    assert model["right"] >= 17
    page = (tmp_path / "report" / "report.html").read_text()
    assert "own.npz page 11" in page
    assert "should be <b>3</b>" in page
    assert "data:image/jpeg" in page


def test_texts_are_judged_by_their_digits(tmp_path, monkeypatch):
    import cv2

    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        cv2.imwrite(f"{name}.png", simulate_text("20384", np.random.default_rng(3), difficulty=0.1))
    (tmp_path / "labels.csv").write_text("file,label\na.png,20384\nb.png,20334\n")
    result = invoke("evaluate", ".", "--labels", "labels.csv", "--layout", "number", "--format", "json", "-q")
    (model,) = json.loads(result.stdout)["models"]
    assert (model["right"], model["text"]["digit_error_rate"], model["digit"]) == (1, 0.1, None)


def test_a_script_learns_that_a_goal_was_missed(photos):
    (photos / "labels.csv").write_text("file,label\nIMG_2042.jpg,7\nblue-ink.jpg,4\n")
    labels = ("--labels", photos / "labels.csv", "-q")
    assert invoke("evaluate", photos, *labels, "--fail-under", "0.5").exit_code == 0
    result = invoke("evaluate", photos, *labels, "--fail-under", "0.97")
    assert result.exit_code == 6
    assert "50.00% is below the 97.00%" in result.stderr
    shutil.copy(SAMPLES / "images" / "truncated.jpg", photos)
    with (photos / "labels.csv").open("a") as file:
        file.write("truncated.jpg,3\n")
    assert invoke("evaluate", photos, *labels, "--fail-under", "0.97").exit_code == 4  # unread pages come first


def test_markdown_for_a_summary(photos):
    result = invoke("evaluate", photos, "--format", "md", "--target-error", "0.01", "-q")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("| model | right |")
    assert lines[1] == "|" + " --- |" * 7
    assert any(line.startswith("- cnn@") and "--review-below 0.9" in line for line in lines)


@pytest.mark.parametrize(("below", "ok"), [("0", 3), ("0.999993", 1), ("1", 0)])
def test_rows_are_ok_from_the_confidence_that_is_asked_for(photos, below, ok):
    invoke("classify", photos, "--review-below", below, "-o", "rows.csv", "-q")
    with (photos.parent / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["status"] == "ok" for row in rows) == ok
    assert {row["reason"] for row in rows} <= {"", "no_ink", "low_confidence"}
    assert rows[0]["model"] != load_model("cnn").card.label


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "Give one of these: a folder"),
        (("photos", "--predictions", "rows.csv"), 2, "Give one of these"),
        (("photos", "--mnist"), 2, "Give one of these"),
        (("--mnist", "--layout", "number"), 2, "their own labels"),
        (("--predictions", "rows.csv", "-m", "cnn"), 2, "takes no --model"),
        (("--data", "none.npz"), 3, "none.npz"),
        (("photos", "--file-column", "x"), 2, "of --labels"),
        (("photos", "--labels", "none.csv"), 3, "cannot be read"),
        (("none",), 3, "none"),
        (("photos", "-m", "none"), 7, "none"),
        (("--predictions", "none.csv", "--labels", "labels.csv"), 3, "cannot be read"),
        (("--predictions", "labels.csv", "--labels", "labels.csv"), 3, "no CSV of"),
        (("photos", "--labels", "others.csv"), 3, "None of 4 pages has a label"),
        (("photos", "--fail-under", "97"), 2, "fail-under"),
    ],
)
def test_what_cannot_be_evaluated_says_why(photos, arguments, code, message):
    (photos.parent / "labels.csv").write_text("file,label\nIMG_2042.jpg,7\n")
    (photos.parent / "others.csv").write_text("file,label\nnobody.jpg,7\n")
    result = invoke("evaluate", *arguments)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert not list(photos.parent.rglob("*.json"))


def test_rows_of_several_models_are_not_mixed(photos):
    (photos.parent / "labels.csv").write_text("file,label\nIMG_2042.jpg,7\n")
    invoke("classify", photos, "-o", "rows.csv", "-q")
    with (photos.parent / "rows.csv").open(newline="") as file:
        first, *rest = csv.reader(file)
    with (photos.parent / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([first, *rest, [*rest[0][:-1], "another@1"]])
    result = invoke("evaluate", "--predictions", "rows.csv", "--labels", "labels.csv")
    assert result.exit_code == 3
    assert "rows of several models" in result.stderr


# ---- the report ----


@pytest.fixture
def report(photos):
    """The report of two models on seven pictures: right and wrong, flagged, unread, with a name to be careful about."""
    evil = photos / "9" / "<b onclick=alert(1)>&.jpg"
    shutil.copy(photos / "9" / "blue-ink.jpg", evil)
    (photos / "3").mkdir()
    shutil.copy(SAMPLES / "images" / "blue-ink.jpg", photos / "3" / "=9.jpg")  # a 9
    shutil.copy(SAMPLES / "images" / "truncated.jpg", photos / "3")
    blurred = Image.open(SAMPLES / "images" / "IMG_2042.jpg").resize((9, 14)).resize((300, 460))
    blurred.save(photos / "7" / "blurred.png")
    result = invoke("evaluate", photos, "-m", "cnn", "-m", "knn", "--report", "report", "--target-error", "0.01", "-q")
    assert result.exit_code == 4, result.output
    return photos.parent / "report"


def test_the_report_shows_the_mistakes_and_escapes_names(report):
    page = (report / "report.html").read_text()
    assert "&lt;b onclick=alert(1)&gt;&amp;.jpg" in page
    assert "<b onclick" not in page
    assert "should be <b>3</b>" in page
    assert page.count("data:image/jpeg;base64,") >= 6
    with (report / "evaluation.csv").open(newline="") as file:
        figures = {(row["model"].split("@")[0], row["of"], row["name"]): row["value"] for row in csv.DictReader(file)}
    scores = json.loads((report / "evaluation.json").read_text())
    assert float(figures["cnn", "", "accuracy"]) == scores["models"][0]["accuracy"]
    assert figures["knn", "digit 9", "support"] == "2"
    assert figures["cnn", "written 3", "read 9"] == "1"


def test_the_same_pages_make_the_same_report(photos):
    pages = []
    for _ in range(2):
        invoke("evaluate", photos, "--report", "report", "-q")
        pages.append((photos.parent / "report" / "report.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_folder_of_damaged_pictures_still_makes_a_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "3").mkdir(parents=True)
    shutil.copy(SAMPLES / "images" / "truncated.jpg", tmp_path / "photos" / "3")
    result = invoke("evaluate", "photos", "--report", "report", "--target-error", "0.01", "-q")
    assert result.exit_code == 5
    assert "no confidence is high enough" in result.stdout
    assert "no digit" in (tmp_path / "report" / "report.html").read_text()


def test_rows_alone_make_a_report_without_pictures(photos):
    (photos / "labels.csv").write_text("file,label\nIMG_2042.jpg,7\nblue-ink.jpg,4\n")
    invoke("classify", photos, "-o", "rows.csv", "-q")
    invoke("evaluate", "--predictions", "rows.csv", "--labels", photos / "labels.csv", "--report", "out", "-q")
    page = (photos.parent / "out" / "report.html").read_text()
    assert "should be <b>4</b>" in page
    assert "data:image" not in page


def test_a_report_that_cannot_be_written(photos):
    (photos.parent / "report").write_text("a file")
    result = invoke("evaluate", photos, "--report", "report", "-q")
    assert result.exit_code == 9


def test_ten_thousand_rows_are_written_at_once(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        JudgedPage(PageId(f"{n % 10}/{n}.jpg"), "", Judged(str(n % 10), str(g), float(c), OK, "", tuple(np.eye(10)[g])))
        for n, (g, c) in enumerate(zip(rng.integers(0, 10, 10_000), rng.random(10_000), strict=True))
    ]
    found = Assessment({"m@1": rows}, Matched({}, (), ()))
    started = time.perf_counter()
    write_report(tmp_path, found, found.scores(), layout=Layout.DIGIT, command="")
    assert time.perf_counter() - started < 5
    assert (tmp_path / "report.html").stat().st_size < 1e6


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_in_a_browser(report, width, scheme):
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("no chromium: the page is not opened")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((report / "report.html").as_uri())
        assert said == []
        assert [url for url in asked if not url.startswith("data:")] == [(report / "report.html").as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.locator("h1").count() == 1
        assert page.evaluate(
            "[...document.querySelectorAll('table')].every(t => t.querySelector('thead th[scope=col]'))"
        )
        assert page.evaluate("[...document.images].every(image => image.alt)")
        assert page.locator("svg[role=img][aria-label]").count() == 6
        browser.close()
