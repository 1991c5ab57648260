from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import openpyxl
import pytest
from conftest import SAMPLES
from typer.testing import CliRunner

from batchdigits import __version__
from batchdigits.classifiers.store import DEFAULT_MODEL, MODEL_NAMES
from batchdigits.cli import app
from batchdigits.training.simulator import STYLES, Scene, simulate_photo
from batchdigits.writers import COLUMNS, PROBABILITY_COLUMNS

GOLDEN = SAMPLES / "expected.csv"
runner = CliRunner()


def run(*arguments, code=0):
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def sample_csv(tmp_path_factory):
    target = tmp_path_factory.mktemp("out") / "rows.csv"
    result = runner.invoke(app, ["classify", str(SAMPLES / "images"), "-o", str(target), "--jobs", "1"])
    assert result.exit_code == 4, result.output  # two samples are damaged on purpose
    return target


def test_samples_give_the_expected_rows(sample_csv, request):
    if request.config.getoption("--update-golden"):
        shutil.copy(sample_csv, GOLDEN)
    expected, found = rows_of(GOLDEN), rows_of(sample_csv)
    assert len(found) == len(expected)
    for want, have in zip(expected, found, strict=True):
        for column in ("confidence", "second_confidence"):
            # decoders of other platforms round other pixels
            assert float(have.pop(column)) == pytest.approx(float(want.pop(column)), abs=0.02), want
        for column in ("x", "y", "width", "height"):
            assert abs(int(have.pop(column) or 0) - int(want.pop(column) or 0)) <= 2, want
        assert have == want


def test_samples_are_read_right_where_they_are_marked_ok(sample_csv):
    with (SAMPLES / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {(row["file"], row["page"]): row["label"] for row in csv.DictReader(file)}
    rows = rows_of(sample_csv)
    assert {(row["file"], row["page"]) for row in rows} == set(labels)
    for row in rows:
        if row["status"] == "ok":
            assert row["prediction"] == labels[row["file"], row["page"]], row
    wrong = [row["file"] for row in rows if row["prediction"] != labels[row["file"], row["page"]]]
    assert len(wrong) <= 2, wrong
    assert sum(row["status"] == "ok" for row in rows) >= 32


def test_the_header_is_the_contract(sample_csv):
    header = sample_csv.read_text(encoding="utf-8").split("\n", 1)[0]
    assert header == (
        "file,page,region,prediction,confidence,status,reason,second,second_confidence,x,y,width,height,model"
    )
    assert tuple(header.split(",")) == COLUMNS


def test_same_bytes_for_any_number_of_jobs(sample_csv, tmp_path):
    run("classify", SAMPLES / "images", "-o", tmp_path / "two.csv", "--jobs", 2, code=4)
    assert (tmp_path / "two.csv").read_bytes() == sample_csv.read_bytes()


def test_rows_are_ordered_by_code_points_and_page(sample_csv):
    keys = [(row["file"], int(row["page"])) for row in rows_of(sample_csv)]
    assert keys == sorted(keys)


def test_summary_counts_and_names_the_next_command(tmp_path):
    result = run("classify", SAMPLES / "images", "-o", tmp_path / "rows.csv", code=4)
    assert "40 rows:" in result.stderr
    assert "1 blank, 2 error" in result.stderr
    assert "next: batchdigits inspect" in result.stderr
    assert result.stdout == ""


def test_quiet_says_nothing(tmp_path):
    result = run("classify", SAMPLES / "images" / "scans", "-o", tmp_path / "rows.csv", "--quiet")
    assert result.output == ""


def test_stdout_is_data_alone():
    result = run("classify", SAMPLES / "images" / "scans", "-o", "-")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["file"] for row in rows] == ["page-001.png", "page-002.png", "page-003.jpg"]
    assert "3 rows" in result.stderr


def test_probabilities_are_ten_more_columns(tmp_path):
    run("classify", SAMPLES / "images" / "scans", "-o", tmp_path / "p.csv", "--probabilities")
    for row in rows_of(tmp_path / "p.csv"):
        probabilities = [float(row[name]) for name in PROBABILITY_COLUMNS]
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert probabilities[int(row["prediction"])] == max(probabilities)


def test_jsonl_is_one_object_a_line(tmp_path):
    run("classify", SAMPLES / "images" / "scans", "-o", tmp_path / "rows.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["prediction"] for row in rows] == ["6", "4", "9"]
    assert isinstance(rows[0]["confidence"], float)


def test_xlsx_keeps_digits_as_text(tmp_path):
    run("classify", SAMPLES / "images" / "scans", "-o", tmp_path / "rows.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "rows.xlsx").active
    assert [cell.value for cell in sheet[1]] == list(COLUMNS)
    assert [row[3].value for row in list(sheet.rows)[1:]] == ["6", "4", "9"]


def test_the_formats_name_decides_the_default_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("classify", SAMPLES / "images" / "scans", "--format", "jsonl")
    beside = ["predictions.jsonl.run.json", "predictions.jsonl.state"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.jsonl", *beside]


def test_regions_give_a_row_each(tmp_path):
    sample = SAMPLES / "images" / "formats" / "two-frames.tif"
    run("classify", sample, "-o", tmp_path / "r.csv", "--region", "whole=0%,0%,100%,100%", "--region", "0,0,9,9")
    rows = rows_of(tmp_path / "r.csv")
    assert [(row["page"], row["region"]) for row in rows] == [
        ("1", "0,0,9,9"),
        ("1", "whole"),
        ("2", "0,0,9,9"),
        ("2", "whole"),
    ]
    assert [row["prediction"] for row in rows if row["region"] == "whole"] == ["2", "5"]


def test_flags_read_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BATCHDIGITS_OUTPUT", str(tmp_path / "env.csv"))
    monkeypatch.setenv("BATCHDIGITS_STRICT", "1")
    run("classify", SAMPLES / "images" / "blank.jpg", code=5)
    assert rows_of(tmp_path / "env.csv")[0]["status"] == "blank"


def test_inspect_draws_a_png(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("inspect", SAMPLES / "images" / "marker.jpg")
    assert (tmp_path / "marker.jpg.inspect.png").read_bytes().startswith(b"\x89PNG")
    assert result.stderr.startswith("8, confidence")
    # what a run leaves behind is no page of the next one
    run("classify", tmp_path, code=3)


@pytest.mark.parametrize("name", ["blank.jpg", "formats/mnist-28x28.png", "formats/two-frames.tif", "tilted.jpg"])
def test_inspect_draws_whatever_can_be_read(name, tmp_path):
    run("inspect", SAMPLES / "images" / name, "-o", tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 5000


def test_models_lists_what_is_there():
    listed = run("models").stdout
    models = {model["name"]: model for model in json.loads(run("models", "--format", "json").stdout)}
    assert set(models) == set(MODEL_NAMES)
    for name, model in models.items():
        assert name in listed
        assert 0.98 <= model["test_accuracy"] <= 1
        assert model["test_ece"] <= 0.005
        assert model["others_flagged"] >= 0.97
    assert run("models", "--format", "md").stdout.startswith("| model |")


@pytest.fixture(scope="module")
def own_digits(tmp_path_factory):
    """A user's own handwriting: photos in a folder per digit."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(4)
    for digit in range(10):
        (folder / str(digit)).mkdir()
        for number in range(24):
            photo = simulate_photo(digit, rng, scene=Scene(size=(90, 90)), style=STYLES[digit][0])
            cv2.imwrite(str(folder / str(digit) / f"{number}.png"), photo)
    return folder


def test_a_model_is_trained_on_ones_own_photos_and_used(own_digits, tmp_path):
    options = ("--models-dir", tmp_path / "models")
    result = run("train", "logreg", "--data", own_digits, "--simulated", 60, "--jobs", 1, *options)
    scores = dict(line.removeprefix("logreg ").split(": ") for line in result.stdout.splitlines())
    assert float(scores["test_accuracy"]) >= 0.9
    assert int(scores["test_count"]) == 40
    rows = tmp_path / "rows.csv"
    run("classify", own_digits / "3", "--model", "logreg", "-o", rows, *options)
    found = [row["prediction"] for row in rows_of(rows)]
    assert found.count("3") >= 20
    listed = json.loads(run("models", "--format", "json", *options).stdout)
    assert str(tmp_path / "models" / "logreg") in [model["folder"] for model in listed]


def test_training_a_network_without_tensorflow_names_the_cure(tmp_path, monkeypatch):
    for module in ("keras", "tensorflow"):
        monkeypatch.setitem(sys.modules, module, None)
    for module in ("keras_recipes", "keras_graphs"):
        monkeypatch.delitem(sys.modules, f"batchdigits.training.{module}", raising=False)
    result = run("train", "cnn", "--data", tmp_path / "not-even-read.npz", "--models-dir", tmp_path / "models", code=8)
    assert "pip install 'batchdigits[keras]'" in result.stderr
    assert not (tmp_path / "models").exists()


def test_the_command_line_and_the_library_use_the_same_model_by_default():
    assert f"default: {DEFAULT_MODEL}]" in " ".join(run("classify", "--help").stdout.split())


def test_version():
    assert run("--version").stdout == f"batchdigits {__version__}\n"


def test_help_and_one_photo_load_nothing_heavy(tmp_path):
    heavy = ("sklearn", "tensorflow", "keras", "pandas", "matplotlib", "scipy", "onnx", "joblib", "xlsxwriter")
    heavy += ("pydantic", "loky", "multiprocessing", "pypdfium2", "pi_heif", "jinja2", "ssl", "asyncio")
    light = ("numpy", "cv2", "PIL", "onnxruntime", "sqlite3", *heavy)
    script = (
        "import sys\n"
        "from batchdigits.cli import app\n"
        "try: app(sys.argv[2:])\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "loaded = [name for name in sys.argv[1].split(',') if name in sys.modules]\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)\n"
    )
    photo = SAMPLES / "images" / "scans" / "page-001.png"
    for names, arguments in ((light, ["--help"]), (heavy, ["classify", photo, "-o", tmp_path / "rows.csv"])):
        command = [sys.executable, "-c", script, ",".join(names), *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
