"""Whatever is wrong with a request or a page: its exit code, its message, its row, and nothing half-written."""

import contextlib
import csv
import hashlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from typer.testing import CliRunner

from batchdigits.classifiers.card import CARD_FORMAT, Calibration, Card, Thresholds, read_card
from batchdigits.cli import app
from batchdigits.errors import OutputError
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training.export import save_model
from batchdigits.training.simulator import simulate_photo
from batchdigits.writers import read_csv

IS_ROOT = getattr(os, "geteuid", lambda: 0)() == 0

# What the tests are made of


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    """Run in an empty folder, with no models of the user's."""
    for name in list(os.environ):
        if name.startswith("BATCHDIGITS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "no user data"))
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)


@pytest.fixture(scope="session")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "7.png"
    picture = simulate_photo(7, np.random.default_rng(7), difficulty=0.2)
    factor = 150 / max(picture.shape)
    assert cv2.imwrite(str(path), cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
    return path.read_bytes()


def graph(inputs=("N", 28, 28), outputs=("N", 10), nodes=None, constants=()):
    """Build a graph; without nodes, one that takes every tile for a 7."""
    if nodes is None:
        scores = np.zeros(10, np.float32)
        scores[7] = 9
        constants = [("weights", np.zeros((784, 10), np.float32)), ("scores", scores)]
        nodes = [
            helper.make_node("Flatten", ["tiles"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weights", "scores"], ["out"]),
        ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, inputs)],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, outputs)],
            [numpy_helper.from_array(array, name) for name, array in constants],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    return onnx.ModelProto.SerializeToString(model)


def make_model(folder, weights=None, **changes):
    """Write a model folder that is in order but for the changes to its card."""
    weights = graph() if weights is None else weights
    card = Card(
        name="seven",
        recipe={"name": "seven", "seed": 0},
        imaging=ImagingSettings(),
        data={"name": "none"},
        calibration=Calibration(1.0, -100.0, 1.0),
        thresholds=Thresholds(0.5),
        scores={},
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_bytes=len(weights),
        created="2026-01-01",
    )
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(weights)
    values = json.loads(card.to_json()) | changes
    (folder / "card.json").write_text(json.dumps({key: value for key, value in values.items() if value != "dropped"}))
    return folder


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "models" / "seven")


@pytest.fixture
def photos(tmp_path, photo):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a good one.png").write_bytes(photo)
    return folder


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"it crashed: {result.exception!r}\n{result.output}") from result.exception
    return result


def tree(folder="."):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*"))


def refused(code, message, *arguments):
    """Run what must fail as a whole, with a message for people, and leave nothing behind."""
    before = tree(Path.cwd().parent)
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert message.lower() in result.stderr.lower()
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert tree(Path.cwd().parent) == before
    return result


def rows(path="predictions.csv"):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(read_csv(file))


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


HUGE = (
    b"\x89PNG\r\n\x1a\n"
    + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    + png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    + png_chunk(b"IEND", b"")
)


# Inputs


def test_a_missing_folder(model):
    refused(3, "nowhere does not exist", "classify", "nowhere", "-m", model)


def test_a_missing_folder_beside_a_good_one(model, photos):
    refused(3, "nowhere does not exist", "classify", photos, "nowhere", "-m", model)


def test_an_empty_folder(model, tmp_path):
    (tmp_path / "empty").mkdir()
    result = refused(3, "no image in", "classify", tmp_path / "empty", "-m", model)
    assert str(tmp_path / "empty") in result.stderr


def test_a_folder_without_images(model, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("Hello")
    (tmp_path / "texts" / ".hidden.png").write_bytes(b"x")
    refused(3, "1 other file", "classify", tmp_path / "texts", "-m", model)


def test_a_file_that_is_no_image(model, tmp_path):
    (tmp_path / "notes.txt").write_text("Hello")
    refused(3, "no image in", "classify", tmp_path / "notes.txt", "-m", model)


def test_an_input_whose_name_is_not_utf_8(model, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    refused(3, r"caf\xe9", "classify", folder, "-m", model)


def test_a_name_longer_than_any_file_has(model):
    refused(3, "does not exist", "classify", "x" * 300, "-m", model)


def test_no_input_at_all():
    refused(2, "give a folder or a file", "classify")


# Bad pages among good ones


def truncated(path, photo):
    path.write_bytes(photo[: len(photo) // 2])


def pipe(path, photo):
    os.mkfifo(path)


BAD = {
    "empty": (lambda path, photo: path.touch(), "empty_file"),
    "text": (lambda path, photo: path.write_text("Hello"), "unreadable"),
    "truncated": (truncated, "truncated"),
    "huge": (lambda path, photo: path.write_bytes(HUGE), "too_large"),
    "heic": (lambda path, photo: path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(50)), "unreadable"),
    "pipe": (pipe, "not_a_file"),
    "broken link": (lambda path, photo: path.symlink_to("nowhere"), "unreadable"),
    "link to itself": (lambda path, photo: path.symlink_to(path), "unreadable"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_costs_its_own_row(model, photos, photo, kind):
    make, reason = BAD[kind]
    make(photos / "bad.jpg", photo)
    result = run("classify", photos, "-m", model)
    assert result.exit_code == 4, result.output
    good, bad = rows()
    assert (good["file"], good["prediction"], good["status"], good["reason"]) == ("a good one.png", "7", "ok", "")
    assert (bad["file"], bad["page"], bad["status"], bad["reason"]) == ("bad.jpg", "1", "error", reason)
    assert (bad["prediction"], bad["confidence"], bad["x"], bad["width"]) == ("", "0.000000", "", "")
    assert bad["model"] == good["model"]
    assert bad["model"].startswith("seven@")
    assert "1 error" in result.stderr
    assert tree() == ["predictions.csv", "predictions.csv.run.json", "predictions.csv.state"]


@pytest.mark.parametrize("kind", BAD)
def test_nothing_but_bad_files(model, photos, photo, kind):
    make, reason = BAD[kind]
    (photos / "a good one.png").unlink()
    make(photos / "bad.jpg", photo)
    result = run("classify", photos, "-m", model, "--verbose")
    assert result.exit_code == 5, result.output
    assert [row["reason"] for row in rows()] == [reason]
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error bad.jpg")]
    assert len(line) > len("error bad.jpg: ") + 10  # a sentence says why


def test_a_folder_with_an_images_name_is_walked(model, photos, photo):
    (photos / "x.jpg").mkdir()
    (photos / "x.jpg" / "1.png").write_bytes(photo)
    result = run("classify", photos, "-m", model)
    assert result.exit_code == 0, result.output
    assert [row["file"] for row in rows()] == ["a good one.png", "x.jpg/1.png"]


def test_other_files_are_counted_and_named_on_demand(model, photos):
    (photos / "notes.txt").write_text("Hello")
    quiet = run("classify", photos, "-m", model)
    assert quiet.exit_code == 0
    assert "1 other file" in quiet.stderr
    assert "notes.txt" not in quiet.stderr
    assert "notes.txt" in run("classify", photos, "-m", model, "-v").stderr


def test_names_that_need_quoting(model, tmp_path, photo):
    folder = tmp_path / "photos"
    folder.mkdir()
    names = [b"=1+1.png", b"a,b.png", b"caf\xe9.png", b"it's.png", b"line\nbreak.png", b"return\r.png", b'"q".png']
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(photo)
    result = run("classify", folder, "-m", model)
    assert result.exit_code == 0, result.output
    assert [row["file"] for row in rows()] == sorted(name.decode("utf-8", "backslashreplace") for name in names)


def test_the_next_step_can_be_pasted(model, tmp_path, photo):
    """The summary ends with a command; names of files must not break it."""
    import shlex

    folder = tmp_path / "photos"
    folder.mkdir()
    path = folder / 'it\'s $HOME; "quoted" #1 *.png'
    path.write_bytes(photo)
    result = run("classify", folder, "-m", model)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("next: ")]
    words = shlex.split(line.removeprefix("next: "), comments=True)
    assert words[:3] == ["batchdigits", "inspect", str(path)]


# Order and number of processes


@pytest.fixture
def many(tmp_path, photo):
    """More files than one process is thought enough for, some bad, one of several pages."""
    folder = tmp_path / "many"
    for number in range(26):
        path = folder / "abc"[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo)
    (folder / "B").mkdir()
    (folder / "B" / "empty.jpg").touch()
    (folder / "a-b.jpg").write_bytes(photo[:300])
    (folder / "a.JPG").write_bytes(HUGE)
    frames = [Image.open(io.BytesIO(photo)).convert("L").resize((60 + n, 60)) for n in range(12)]
    frames[0].save(folder / "é.tif", save_all=True, append_images=frames[1:])
    return folder


@pytest.mark.parametrize("options", [[], ["--region", "left=0,0,50%,100%", "--region", "all=0,0,100%,100%"]])
def test_the_rows_are_in_order_and_the_same_for_any_jobs(model, many, options):
    for jobs in (1, 2):
        result = run("classify", many, "-m", model, "-j", jobs, "-o", f"{jobs}.csv", *options)
        assert result.exit_code == 4, result.output
    assert Path("1.csv").read_bytes() == Path("2.csv").read_bytes()
    found = [(row["file"], int(row["page"]), row["region"]) for row in rows("1.csv")]
    assert found == sorted(found)
    assert len(found) == (26 + 3 + 12) * max(1, len(options) // 2)
    assert all("\\" not in file for file, _, _ in found)


def test_the_order_of_inputs_does_not_matter(model, many):
    inputs = [many / "a", many / "b", many / "é.tif"]
    run("classify", *inputs, "-m", model, "-o", "1.csv")
    run("classify", *inputs[::-1], "-m", model, "-o", "2.csv")
    assert Path("1.csv").read_bytes() == Path("2.csv").read_bytes()


def test_the_working_folder_may_change_between_runs(model, many, monkeypatch):
    """As in a notebook: processes that outlive a run must not look for the next one's files where they were."""
    outputs = [Path("1.csv").absolute(), Path("2.csv").absolute()]
    for folder, given, output in ((many.parent, "many", outputs[0]), (many, ".", outputs[1])):
        monkeypatch.chdir(folder)
        assert run("classify", given, "-m", model, "-j", 2, "-o", output).exit_code == 4
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


# Output


@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
def test_the_folder_of_the_output_is_missing(model, photos, form):
    refused(9, "does not exist", "classify", photos, "-m", model, "-o", f"nowhere/out.{form}")


def test_the_output_is_a_folder(model, photos):
    Path("out.csv").mkdir()
    refused(9, "is a folder", "classify", photos, "-m", model, "-o", "out.csv")


def test_the_folder_of_the_output_is_a_file(model, photos):
    Path("file").touch()
    refused(9, "cannot be written", "classify", photos, "-m", model, "-o", "file/out.csv")


@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_the_folder_of_the_output_may_not_be_written(model, photos):
    Path("closed").mkdir(mode=0o500)
    refused(9, "permission denied", "classify", photos, "-m", model, "-o", "closed/out.csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
def test_a_full_disk(model, photos, form):
    refused(9, "no space left", "classify", photos, "-m", model, "-o", "/dev/full", "-f", form)


def test_a_model_that_is_missing_comes_before_an_output_that_is(photos):
    refused(7, "no model", "classify", photos, "-m", "nothing like it", "-o", "nowhere/out.csv")


def test_an_old_output_outlives_a_failed_run(model, photos):
    Path("predictions.csv").write_text("old")
    refused(3, "does not exist", "classify", "nowhere", "-m", model)
    refused(7, "no model", "classify", photos, "-m", "nothing like it")
    assert Path("predictions.csv").read_text() == "old"


# Standard output


def test_rows_alone_go_to_stdout(model, photos, photo):
    (photos / "bad.jpg").touch()
    (photos / "notes.txt").touch()
    result = run("classify", photos, "-m", model, "-o", "-", "-v")
    assert result.exit_code == 4
    found = list(csv.DictReader(io.StringIO(result.stdout, newline="")))
    assert [row["file"] for row in found] == ["a good one.png", "bad.jpg"]
    for message in ("notes.txt", "2 rows", "bad.jpg"):
        assert message in result.stderr
    assert tree() == []
    assert run("classify", photos, "-m", model, "-o", "-", "-q").stderr == ""


def test_jsonl_and_xlsx_to_stdout(model, photos):
    result = run("classify", photos, "-m", model, "-o", "-", "-f", "jsonl", "-q")
    assert json.loads(result.stdout)["prediction"] == "7"
    result = run("classify", photos, "-m", model, "-o", "-", "-f", "xlsx", "-q")
    assert zipfile.is_zipfile(io.BytesIO(result.stdout_bytes))


def command(*arguments):
    return [sys.executable, "-m", "batchdigits", *map(str, arguments)]


@pytest.fixture
def bad_ones(tmp_path):
    """Many rows that cost nothing to make: more than a pipe or a buffer holds."""
    folder = tmp_path / "bad ones"
    folder.mkdir()
    for number in range(1500):
        (folder / f"{number:04}.jpg").touch()
    return folder


def test_a_reader_who_stops_reading(model, bad_ones):
    """As in `batchdigits classify ... -o - | head -1`."""
    arguments = command("classify", bad_ones, "-m", model, "-o", "-", "-j", "1")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"file,page,")
        process.stdout.close()
        message = process.stderr.read().decode()
        assert process.wait(60) == 9, message
    assert "stopped reading" in message
    assert "Exception ignored" not in message
    assert "Traceback" not in message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("few", [True, False])
def test_a_full_disk_behind_stdout(model, bad_ones, few):
    source = bad_ones / "0001.jpg" if few else bad_ones
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("classify", source, "-m", model, "-o", "-", "-j", "1"),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    message = done.stderr.decode()
    assert done.returncode == 9, message
    assert "no space left" in message.lower()
    assert "Traceback" not in message
    assert "Exception ignored" not in message


# Models


def test_an_unknown_model_with_a_suggestion(model, photos):
    result = refused(7, "did you mean 'seven'", "classify", photos, "-m", "sevn", "--models-dir", model.parent)
    assert "sevn" in result.stderr


def test_an_unknown_model_without_one(tmp_path, photos):
    (tmp_path / "none").mkdir()
    result = refused(7, "no model 'xyzzy'", "classify", photos, "-m", "xyzzy", "--models-dir", tmp_path / "none")
    assert "did you mean" not in result.stderr.lower()


def test_a_model_there_is_a_recipe_for_but_no_folder(photos, monkeypatch, tmp_path):
    monkeypatch.setattr("batchdigits.classifiers.store.shipped_models", lambda: tmp_path / "none")
    refused(7, "batchdigits train knn", "classify", photos, "-m", "knn")


@pytest.mark.parametrize("name", ["", ".", "..", "../seven", "x" * 300, "nowhere/seven"], ids=lambda name: name[:9])
def test_what_is_no_model(photos, name):
    refused(7, "", "classify", photos, "-m", name)


def test_a_folder_that_is_no_model(photos):
    refused(7, "card.json", "classify", photos, "-m", photos)


def remove_weights(folder):
    (folder / "model.onnx").unlink()


def change_weights(folder):
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)


def cut_weights(folder):
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-100])


def folder_for_weights(folder):
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").mkdir()


def card_text(text):
    return lambda folder: (folder / "card.json").write_bytes(text)


def cut_card(folder):
    card_text((folder / "card.json").read_bytes()[:-200])(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_weights, "model.onnx cannot be read"),
        (change_weights, "SHA-256"),
        (cut_weights, "SHA-256"),
        (folder_for_weights, "model.onnx cannot be read"),
        (cut_card, "card.json cannot be read"),
        pytest.param(card_text(b""), "card.json cannot be read", id="empty"),
        pytest.param(card_text(b"{format: 1}"), "card.json cannot be read", id="no JSON"),
        pytest.param(card_text(b"\xff\xfe\0"), "card.json cannot be read", id="no UTF-8"),
        pytest.param(card_text(b"[" * 100_000), "card.json cannot be read", id="nested"),
        pytest.param(card_text(b"[]"), "damaged", id="list"),
        pytest.param(card_text(b"null"), "damaged", id="null"),
        pytest.param(card_text(b"{}"), "damaged", id="no format"),
        pytest.param(card_text(b'{"format": 1}'), "damaged", id="only a format"),
        pytest.param(card_text(b'{"format": "1"}'), "damaged", id="format as text"),
        pytest.param(card_text(b'{"format": 0}'), "damaged", id="format 0"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_damaged_model_folder(model, photos, damage, message):
    damage(model)
    refused(7, message, "classify", photos, "-m", model)
    refused(7, message, "inspect", photos / "a good one.png", "-m", model)


IMAGING = ImagingSettings().to_dict()
CALIBRATION = {"temperature": 1.0, "energy_middle": -100.0, "energy_scale": 1.0}
NAN, INFINITE = float("nan"), float("inf")


def without(values, name):
    return {key: value for key, value in values.items() if key != name}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"format": CARD_FORMAT + 1}, f"newer than {CARD_FORMAT}. Upgrade batchdigits", id="the next format"
        ),
        pytest.param(
            {"format": 9, "new": "comes later"}, f"newer than {CARD_FORMAT}. Upgrade batchdigits", id="format-9"
        ),
        *(
            pytest.param({"imaging": IMAGING | {"version": version}}, "imaging version", id=f"imaging-{version}")
            for version in (0, IMAGING["version"] + 1)
        ),
        *(pytest.param({"imaging": without(IMAGING, name)}, "", id=f"no-{name}") for name in ("version", "work_size")),
        *(
            pytest.param({"imaging": IMAGING | {"work_size": value}}, "damaged", id=f"work_size-{value!r}")
            for value in ("640", None, 0, -640, NAN)
        ),
        pytest.param({"imaging": IMAGING | {"stroke_level": NAN}}, "damaged", id="stroke_level-nan"),
        pytest.param({"imaging": IMAGING | {"brightness": 3}}, "damaged", id="unknown-setting"),
        pytest.param({"imaging": []}, "damaged", id="imaging-list"),
        pytest.param({"imaging": None}, "damaged", id="imaging-null"),
        *(
            pytest.param({"calibration": CALIBRATION | {name: value}}, "damaged", id=f"{name}-{value}")
            for name, value in [
                ("temperature", 0),
                ("temperature", NAN),
                ("energy_scale", INFINITE),
                ("energy_scale", -1),
                ("energy_middle", NAN),
                ("energy_middle", "low"),
            ]
        ),
        pytest.param({"calibration": without(CALIBRATION, "energy_scale")}, "damaged", id="no-energy_scale"),
        pytest.param({"thresholds": {}}, "damaged", id="no-review_below"),
        pytest.param({"thresholds": {"review_below": NAN}}, "damaged", id="review_below-nan"),
        pytest.param({"thresholds": {"review_below": None}}, "damaged", id="review_below-null"),
        *(pytest.param({"name": name}, "damaged", id=f"name-{name!r}") for name in (7, None, "\ud800")),
        pytest.param({"weights_sha256": None}, "", id="weights_sha256-null"),
        pytest.param({"surplus": 1}, "damaged", id="surplus-key"),
        *(
            pytest.param({key: "dropped"}, "damaged", id=f"no-{key}")
            for key in ("name", "imaging", "calibration", "thresholds", "weights_sha256")
        ),
    ],
)
def test_a_card_that_does_not_fit(tmp_path, photos, changes, message):
    refused(7, message, "classify", photos, "-m", make_model(tmp_path / "models" / "odd", **changes))


def identity(inputs, outputs):
    return graph(inputs, outputs, [helper.make_node("Identity", ["tiles"], ["out"])])


def fixed_batch(size):
    return graph((size, 28, 28), (size, 10))


def two_outputs():
    model = onnx.load_from_string(graph())
    model.graph.node.append(helper.make_node("Identity", ["out"], ["more"]))
    model.graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ("N", 10)))
    return model.SerializeToString()


@pytest.mark.parametrize(
    "weights",
    [
        np.random.default_rng(0).bytes(5000),
        b"",
        graph()[:500],
        identity(("N", 28, 28), ("N", 28, 28)),
        identity(("N", 10), ("N", 10)),
        two_outputs(),
        fixed_batch(1),
        fixed_batch(32),
        graph(("N", 28, 28), ("N", 10), [helper.make_node("NoSuchOperator", ["tiles"], ["out"])]),
    ],
    ids=["random", "empty", "cut", "28x28", "flat", "two outputs", "batches of 1", "batches of 32", "unknown operator"],
)
def test_a_graph_that_cannot_be_used(tmp_path, photos, weights):
    """Its SHA-256 is right: somebody made it so."""
    folder = make_model(tmp_path / "models" / "odd", weights)
    refused(7, "cannot be used", "classify", photos, "-m", folder)


def test_a_graph_that_gives_no_number_is_not_trusted(tmp_path, photos):
    scores = np.full(10, np.nan, np.float32)
    nodes = [
        helper.make_node("Flatten", ["tiles"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "scores"], ["out"]),
    ]
    weights = graph(nodes=nodes, constants=[("weights", np.zeros((784, 10), np.float32)), ("scores", scores)])
    result = run("classify", photos, "-m", make_model(tmp_path / "models" / "odd", weights))
    if result.exit_code != 7:
        (row,) = rows()
        assert row["status"] != "ok"
        assert "nan" not in ",".join(row.values())


def test_models_names_the_damaged_one(model):
    damaged = make_model(model.parent / "damaged")
    remove_weights(damaged)
    result = run("models", "--models-dir", model.parent)
    assert result.exit_code == 7
    assert "seven" in result.stdout
    assert str(damaged) in result.stderr


# Usage


@pytest.mark.parametrize(
    "text", ["1,2,3", "a,b,c,d", "-1,2,3,4", "total", "total=", "=1,2,3,4", "1,2,0,4", "1,2,3,4%%", ""]
)
def test_a_malformed_region(model, photos, text):
    refused(2, "--region", "classify", photos, "-m", model, f"--region={text}")
    if text:
        refused(2, "--region", "inspect", photos / "a good one.png", "-m", model, f"--region={text}")


def test_two_regions_of_one_name(model, photos):
    twice = ["--region", "total=1,2,3,4", "--region", "total=5,6,7,8"]
    refused(2, "'total'", "classify", photos, "-m", model, *twice)


def test_a_region_whose_name_is_not_utf_8(model, photos):
    name = os.fsdecode(b"caf\xe9")
    result = run("classify", photos, "-m", model, "--region", f"{name}=0,0,100%,100%")
    assert result.exit_code in (0, 2), result.output
    if result.exit_code == 0:
        assert [row["region"] for row in rows()] == [r"caf\xe9"]


@pytest.mark.parametrize(
    "options",
    [
        ["--format", "ods"],
        ["--format", ""],
        ["--jobs", "0"],
        ["--jobs", "-1"],
        ["--jobs", "many"],
        ["--no-such-option"],
    ],
    ids=" ".join,
)
def test_an_option_that_makes_no_sense(model, photos, options):
    refused(2, options[0], "classify", photos, "-m", model, *options)


def test_an_unknown_command():
    refused(2, "classfy", "classfy", "photos")


def test_a_region_outside_the_page(model, photos):
    inside, outside = "in=0,0,100%,100%", "out=5000,0,10,10"
    result = run("classify", photos, "-m", model, "--region", outside, "--region", inside, "-v")
    assert result.exit_code == 4, result.output
    assert [(row["region"], row["status"], row["reason"]) for row in rows()] == [
        ("in", "ok", ""),
        ("out", "error", "region_outside"),
    ]
    assert "lies outside the page" in result.stderr
    assert run("classify", photos, "-m", model, "--region", outside).exit_code == 5


def test_a_region_too_far_away_to_count(model, photos):
    result = run("classify", photos, "-m", model, "--region", "far=" + "9" * 400 + ",0,10,10")
    assert result.exit_code in (2, 5), result.output


# Strict


@pytest.fixture
def doubtful(tmp_path):
    return make_model(tmp_path / "models" / "doubtful", thresholds={"review_below": 1.1, "not_a_digit_below": 0.5})


def blank(path):
    Image.new("L", (100, 100), 240).save(path)


def test_strict_counts_review(doubtful, photos):
    assert run("classify", photos, "-m", doubtful).exit_code == 0
    assert [(row["status"], row["reason"]) for row in rows()] == [("review", "low_confidence")]
    assert run("classify", photos, "-m", doubtful, "--strict").exit_code == 5
    assert len(rows()) == 1


def test_strict_counts_blank(model, photos):
    blank(photos / "z.png")
    assert run("classify", photos, "-m", model).exit_code == 0
    assert [(row["status"], row["reason"]) for row in rows()] == [("ok", ""), ("blank", "no_ink")]
    assert run("classify", photos, "-m", model, "--strict").exit_code == 4
    (photos / "a good one.png").unlink()
    assert run("classify", photos, "-m", model).exit_code == 0
    assert run("classify", photos, "-m", model, "--strict").exit_code == 5


def test_strict_with_nothing_wrong(model, photos):
    assert run("classify", photos, "-m", model, "--strict").exit_code == 0


# Inspect


def test_inspect_draws(model, photos):
    result = run("inspect", photos / "a good one.png", "-m", model)
    assert result.exit_code == 0, result.output
    assert tree() == ["a good one.png.inspect.png"]
    with Image.open("a good one.png.inspect.png") as drawing:
        drawing.load()
    assert "7" in result.stderr


def test_inspect_draws_a_blank_page(model, photos):
    blank(photos / "blank.png")
    result = run("inspect", photos / "blank.png", "-m", model, "-o", "out.png")
    assert result.exit_code == 0, result.output
    assert "blank" in result.stderr


def test_inspect_of_what_is_not_there(model, photos):
    refused(3, "does not exist", "inspect", "nowhere.png", "-m", model)
    refused(3, "", "inspect", photos, "-m", model)
    refused(3, "no page 2", "inspect", photos / "a good one.png", "--page", 2, "-m", model)
    refused(3, "outside", "inspect", photos / "a good one.png", "--region", "9999,0,9,9", "-m", model)
    refused(2, "--page", "inspect", photos / "a good one.png", "--page", 0, "-m", model)


@pytest.mark.parametrize("kind", BAD)
def test_inspect_of_what_cannot_be_read(model, photos, photo, kind):
    BAD[kind][0](photos / "bad.jpg", photo)
    refused(3, "bad.jpg", "inspect", photos / "bad.jpg", "-m", model)


def test_inspect_where_nothing_can_be_written(model, photos):
    picture = photos / "a good one.png"
    refused(9, "does not exist", "inspect", picture, "-m", model, "-o", "nowhere/out.png")
    refused(9, "is a folder", "inspect", picture, "-m", model, "-o", photos)


def test_inspect_with_an_unknown_model(photos):
    refused(7, "no model", "inspect", photos / "a good one.png", "-m", "xyzzy")


def test_inspect_never_draws_over_its_picture(model, photos, photo):
    picture = photos / "a good one.png"
    result = run("inspect", picture, "-m", model, "-o", picture)
    assert result.exit_code in (2, 9), result.output
    assert picture.read_bytes() == photo


def test_inspect_never_draws_over_the_rows_of_classify(model, photos, monkeypatch):
    Path("predictions.csv").write_text("rows")
    monkeypatch.setenv("BATCHDIGITS_OUTPUT", "predictions.csv")
    run("inspect", photos / "a good one.png", "-m", model)
    assert Path("predictions.csv").read_text() == "rows"


# Train


def data(**changes):
    labels = np.repeat(np.arange(10, dtype=np.uint8), 20)
    arrays = {
        "x_train": np.zeros((200, 28, 28), np.uint8),
        "y_train": labels,
        "x_test": np.zeros((10, 28, 28), np.uint8),
        "y_test": np.arange(10, dtype=np.uint8),
    }
    return {key: value for key, value in (arrays | changes).items() if value is not None}


def train_refused(code, message, path):
    refused(code, message, "train", "knn", "--data", path, "--models-dir", "models", "--simulated", 0, "-j", 1)


def test_training_data_that_are_missing():
    train_refused(3, "does not exist", "nowhere.npz")


def test_a_folder_as_training_data(tmp_path):
    (tmp_path / "data.npz").mkdir()
    train_refused(3, "data.npz", tmp_path / "data.npz")


def array_file(content, **options):
    file = io.BytesIO()
    np.save(file, content, **options)
    return file.getvalue()


def archive(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as found:
        for name, content in members.items():
            found.writestr(f"{name}.npy", content)
    return file.getvalue()


def saved(compressed=False, **changes):
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **data(**changes))
    return file.getvalue()


def flipped():
    """Damage the pixels inside the archive: a checksum or the inflating tells."""
    content = bytearray(
        saved(compressed=True, x_train=np.random.default_rng(0).integers(0, 9, (200, 28, 28), np.uint8))
    )
    content[5000:5050] = bytes(50)
    return bytes(content)


def oversized():
    """Claim more pixels than any memory holds."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 28, 28)})
    return archive(
        **{key: array_file(value) for key, value in data().items()} | {"x_train": file.getvalue() + bytes(99)}
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Hello, this is no archive.",
        b"PK\x03\x04 nor is this",
        saved()[:-500],
        saved()[: len(saved()) // 2],
        flipped(),
        oversized(),
        archive(**{key: array_file(value)[:100] for key, value in data().items()}),
        archive(x_train=b"text", y_train=b"text", x_test=b"text", y_test=b"text"),
        array_file(np.zeros((200, 28, 28), np.uint8)),
    ],
    ids=[
        "empty",
        "text",
        "no zip",
        "end missing",
        "half missing",
        "bytes changed",
        "too large",
        "arrays cut",
        "no arrays",
        "npy",
    ],
)
def test_training_data_that_are_damaged(tmp_path, content):
    (tmp_path / "data.npz").write_bytes(content)
    train_refused(3, "data.npz", tmp_path / "data.npz")


class Trap:
    """Shows whether a pickle was opened."""

    def __reduce__(self):
        return Path.touch, (Path("trap sprung"),)


@pytest.mark.parametrize("kind", ["array", "archive", "bare pickle"])
def test_pickled_objects_are_refused(tmp_path, kind):
    import pickle

    objects = np.array([Trap()] * 200, dtype=object)
    content = {
        "array": lambda: archive(
            **{key: array_file(value) for key, value in data().items()}
            | {"y_train": array_file(objects, allow_pickle=True)}
        ),
        "archive": lambda: archive(**dict.fromkeys(data(), array_file(objects, allow_pickle=True))),
        "bare pickle": lambda: pickle.dumps(Trap()),
    }[kind]()
    (tmp_path / "data.npz").write_bytes(content)
    train_refused(3, "data.npz", tmp_path / "data.npz")
    assert not Path("trap sprung").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None}, "x_test"),
        ({"x_train": None, "y_train": None}, "x_train, y_train"),
        ({"x_train": np.zeros((200, 784), np.uint8)}, "x_train"),
        ({"x_train": np.zeros((200, 28, 28, 1), np.uint8)}, "x_train"),
        ({"x_train": np.zeros((200, 28, 28), np.float32)}, "x_train"),
        ({"x_train": np.zeros((200, 0, 0), np.uint8)}, "x_train"),
        ({"x_train": np.zeros((199, 28, 28), np.uint8)}, "y_train"),
        ({"x_test": np.zeros((10, 4, 4), np.uint8)}, "x_test"),
        ({"y_train": np.full(200, 10)}, "outside 0-9"),
        ({"y_test": np.arange(10) - 1}, "outside 0-9"),
        ({"y_train": np.zeros(200)}, "y_train"),
        ({"y_train": np.eye(10, dtype=np.uint8).repeat(20, axis=0)}, "y_train"),
        ({"y_train": np.array(["1"] * 200)}, "y_train"),
        ({"y_train": np.zeros((), np.uint8)}, "y_train"),
        ({"y_train": np.arange(200) % 9}, "of 9; at least 20"),
        ({"x_train": np.zeros((0, 28, 28), np.uint8), "y_train": np.zeros(0, np.uint8)}, "at least 20"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else value,
)
def test_training_data_of_the_wrong_kind(tmp_path, changes, message):
    path = tmp_path / "data.npz"
    path.write_bytes(saved(**changes))
    train_refused(3, message, path)


def test_an_unknown_recipe(tmp_path):
    refused(2, "no recipe 'xyzzy'", "train", "xyzzy", "--models-dir", "models")
    (tmp_path / "data.npz").write_bytes(saved())
    refused(2, "no recipe '../knn'", "train", "../knn", "--data", tmp_path / "data.npz", "--models-dir", "models")


def test_a_place_for_models_that_cannot_be_is_told_before_the_work(tmp_path):
    (tmp_path / "data.npz").write_bytes(saved())
    Path("models").touch()
    train_refused(9, "models", tmp_path / "data.npz")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_model_never_takes_the_place_of_something_else(model, kind):
    """`train knn --models-dir .` where `knn` is a folder of one's own."""
    place = Path("knn")
    precious = place
    if kind == "folder":
        place.mkdir()
        precious = place / "precious.txt"
    precious.write_text("years of work")
    with pytest.raises(OutputError, match="knn"):
        save_model(place, read_card(model), graph())
    assert precious.read_text() == "years of work"


def test_an_older_model_is_replaced(model):
    make_model(Path("models/knn"), created="2020-01-01")
    save_model(Path("models/knn"), read_card(model), graph())
    assert read_card(Path("models/knn")).created == "2026-01-01"
    assert tree() == ["models", "models/knn", "models/knn/card.json", "models/knn/model.onnx"]


# Signals


@pytest.fixture
def long_run(tmp_path, model):
    """Start a run of some seconds; give the process once it is at work."""
    folder = tmp_path / "many"
    folder.mkdir()
    picture = simulate_photo(3, np.random.default_rng(3), difficulty=0.2)
    original = folder / "0.jpg"
    assert cv2.imwrite(str(original), cv2.resize(picture, (640, 640)))
    for number in range(1, 600):
        os.link(original, folder / f"{number}.jpg")
    Path("out.csv").write_text("old")
    started = []

    def start(jobs):
        process = subprocess.Popen(
            command("classify", folder, "-m", model, "-o", "out.csv", "-j", jobs),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        deadline = time.monotonic() + 30
        while len(tree()) < 2:  # its state, beside the output
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < deadline, "it does not start"
            time.sleep(0.02)
        time.sleep(0.7)  # some workers are up, some may still be starting
        assert process.poll() is None, "it is too fast for this test"
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


def group_is_gone(leader, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("number", "code", "to_all"),
    [(signal.SIGTERM, 143, False), (signal.SIGINT, 130, False), (signal.SIGINT, 130, True)],
    ids=["terminated", "interrupted", "ctrl-c in a terminal"],
)
def test_a_run_that_is_stopped(long_run, number, code, to_all, jobs):
    process = long_run(jobs)
    if to_all:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    message = errors.decode()
    assert process.returncode == code, message
    assert "--resume" in message
    assert "Traceback" not in message
    assert tree() == ["out.csv", "out.csv.run.json", "out.csv.state"]
    assert Path("out.csv").read_text() == "old"
    assert group_is_gone(process.pid, 10), "processes of it are still there"
