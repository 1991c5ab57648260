"""What nobody sends by accident, and what happens to a machine at night: bombs, strangers' models, odd names, disks."""

import contextlib
import csv
import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image
from test_bad_input import CALIBRATION, IMAGING, graph, make_model, run

from batchdigits.classifiers.card import read_card
from batchdigits.writers import guard, read_csv

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

import bombs  # noqa: E402

GOOD = ROOT / "samples" / "images" / "formats" / "mnist-28x28.png"
IS_ROOT = getattr(os, "geteuid", lambda: 0)() == 0
needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    """Run in an empty folder."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(GOOD, folder / "good.png")
    return folder


def command(*arguments):
    return [sys.executable, "-m", "batchdigits", *map(str, arguments)]


def run_apart(*arguments, **options):
    """Run in a process of its own, where what hangs can be ended."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, **options)


def rows(path="predictions.csv"):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(read_csv(file))


def record(output):
    return json.loads(Path(f"{output}.run.json").read_text(encoding="utf-8"))


# Bombs


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to see the memory in")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="some of them cannot be made here")
def test_every_bomb_costs_a_row_and_little_else(tmp_path):
    """`benchmarks/bombs.py` measures each alone."""
    folder, output = tmp_path / "bombs", tmp_path / "rows.csv"
    for name in bombs.BOMBS:
        bombs.make_bomb(folder, name)
    shutil.copy(GOOD, folder / "good.png")
    assert (folder / "60,000 x 60,000 pixels png" / "60,000 x 60,000 pixels.png").stat().st_size < 500_000
    found = bombs.run(folder, output, "--jobs", "2")
    assert not found.late
    assert found.code == 4, found.errors
    assert "Traceback" not in found.errors
    reasons = {row["file"].rpartition("/")[2]: row["reason"] for row in bombs.read_rows(output)}
    assert reasons.pop("good.png") == ""
    assert set(reasons) == set(bombs.BOMBS)
    expected = {name: allowed for name, (_, allowed) in bombs.BOMBS.items() if allowed}
    assert {name: reasons[name] for name, allowed in expected.items() if reasons[name] not in allowed} == {}
    assert found.peak < bombs.MEMORY
    assert found.seconds < 60


def frames(count):
    """Make a TIFF, and find where its frames' directories say how wide they are."""
    path = Path("frames.tif")
    pictures = [Image.new("L", (60, 60), 255) for _ in range(count)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    content = bytearray(path.read_bytes())
    places, at = [], struct.unpack_from("<I", content, 4)[0]
    while at:
        (entries,) = struct.unpack_from("<H", content, at)
        starts = [at + 2 + 12 * number for number in range(entries)]
        places += [start for start in starts if struct.unpack_from("<H", content, start)[0] == 256]
        (at,) = struct.unpack_from("<I", content, at + 2 + 12 * entries)
    return content, places


def test_a_frame_that_makes_no_sense_costs_none_of_its_neighbours(photos):
    content, places = frames(12)
    struct.pack_into("<H", content, places[2] + 2, 11)  # its width is a fraction, in a type that none may have
    (photos / "frames.tif").write_bytes(content)
    assert run("classify", photos, "-m", "knn").exit_code == 4
    found = [(int(row["page"]), row["status"]) for row in rows() if row["file"] == "frames.tif"]
    assert found == [(page, "error" if page == 3 else "blank") for page in range(1, 13)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory has no limit here")
@pytest.mark.parametrize("name", bombs.UNTOLD)
def test_what_goes_off_costs_its_process_and_a_row(photos, name):
    """The fewer pixels a page may have, the less memory there is to fill."""
    bombs.make_bomb(photos, name)
    result = run_apart("classify", photos, "-m", "knn", "--max-pixels", "1000000")
    assert result.returncode == 4, result.stderr
    assert [(row["file"].rpartition("/")[2], row["reason"]) for row in rows()] == [
        (name, "worker_died"),
        ("good.png", ""),
    ]


# Names


NAMES = [
    *(b"=1+1.png", b"+1.png", b"-1.png", b"@SUM(A1).png", b"\t=1.png", b"\r=1.png", b"'=1.png", b"''.png", b'"q".png'),
    *(b"a,b;c|d.png", b"line\nbreak.png", b"return\rfeed\r\n.png", b" space .png", b"tab\tin.png", b"\x1b[31mred.png"),
    *(b"\x01\x07\x7f.png", b"caf\xe9.png", rb"caf\xe9.png", b"\xff\xfe\x80.png", b"_x0041_.png", b"{0}%s$(id)`id`.png"),
    "e\u0301 is not \u00e9.png".encode(),
    "\u05e9\u05dc\u05d5\u05dd.png".encode(),
    "\u202egnp.exe.png".encode(),
    "\U0001f600.png".encode(),
    "not a letter \uffff \ufffe \ufdd0.png".encode(),
    "nel \u0085 and \u2028.png".encode(),
    b"x" * 251 + b".png",
    "\u00e9".encode() * 125 + b"x.png",
    b"\xe9" * 251 + b".png",
]


@pytest.fixture
def oddly_named(tmp_path):
    folder = tmp_path / "names"
    folder.mkdir()
    for name in NAMES:
        try:
            (folder / os.fsdecode(name)).write_bytes(GOOD.read_bytes())
        except OSError:
            pytest.skip("the file system allows fewer names")
    return folder


def read_workbook(path):
    from openpyxl import load_workbook

    book = load_workbook(path)
    header, *lines = book.active.iter_rows(values_only=True)
    # what XML cannot hold is written as _xHHHH_, which spreadsheets show as it was and openpyxl leaves
    code = re.compile("_x([0-9A-F]{4})_")
    told = [[code.sub(lambda found: chr(int(found[1], 16)), str(cell)) for cell in line] for line in lines]
    return [dict(zip(header, line, strict=True)) for line in told]


READERS = {
    "csv": lambda path: rows(path),
    "jsonl": lambda path: [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]],
    "xlsx": read_workbook,
}


@pytest.mark.parametrize("form", READERS)
def test_every_name_arrives(oddly_named, form):
    expected = sorted(name.decode("utf-8", "backslashreplace") for name in NAMES)
    output = Path(f"rows.{form}")
    for options in ([], ["--resume"]):
        result = run("classify", oddly_named, "-m", "knn", "-o", output, *options)
        assert result.exit_code == 0, result.output
        assert [row["file"] for row in READERS[form](output)] == expected
    assert record(output)["files"]["kept"] == len(NAMES)


def test_other_readers_of_csv_see_the_same_rows_and_no_formula(oddly_named):
    run("classify", oddly_named, "-m", "knn")
    expected = sorted(name.decode("utf-8", "backslashreplace") for name in NAMES)
    with Path("predictions.csv").open(encoding="utf-8", newline="") as file:
        cells = [row["file"] for row in csv.DictReader(file)]
    assert cells == [guard(name) for name in expected]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="pandas is not installed")
def test_pandas_sees_the_same_rows(oddly_named):
    import pandas

    run("classify", oddly_named, "-m", "knn")
    table = pandas.read_csv("predictions.csv", dtype=str, keep_default_na=False)
    assert list(table["file"]) == [guard(row["file"]) for row in rows()]


# Models of strangers


def with_weights_elsewhere(location, **more):
    """Build a graph whose numbers lie in another file."""
    weights = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[784, 10])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        weights.external_data.add(key=key, value=value)
    scores = np.zeros(10, np.float32)
    scores[7] = 9
    nodes = [
        helper.make_node("Flatten", ["tiles"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "scores"], ["out"]),
    ]
    model = onnx.load_from_string(graph(nodes=nodes, constants=[("scores", scores)]))
    model.graph.initializer.append(weights)
    return model.SerializeToString()


def places(tmp_path, name):
    """Return where a stranger may look for a file that lies beside the run, above it and in the model's folder."""
    return {
        "absolute": str(tmp_path / name),
        "above": f"../{name}",
        "here": name,
        "through here": f"sub/../{name}",
    }


@pytest.mark.parametrize("way", ["absolute", "above", "here", "through here"])
@pytest.mark.parametrize("kind", ["file", pytest.param("pipe", marks=needs_pipes)])
def test_a_model_reads_no_file_but_its_own(tmp_path, photos, way, kind):
    """Each place holds what would do as weights; whoever opens a pipe waits for ever."""
    Path("sub").mkdir()
    for folder in (tmp_path, Path.cwd(), tmp_path / "models" / "odd", tmp_path / "models"):
        folder.mkdir(exist_ok=True, parents=True)
        if kind == "file":
            (folder / "secret").write_bytes(bytes(784 * 10 * 4))
        else:
            os.mkfifo(folder / "secret")
    content = with_weights_elsewhere(places(tmp_path, "secret")[way], offset="0", length=str(784 * 10 * 4))
    model = make_model(tmp_path / "models" / "stranger", content)
    result = run_apart("classify", photos, "-m", model)
    assert result.returncode == 7, result.stderr
    assert "cannot be used" in result.stderr
    assert "Traceback" not in result.stderr
    assert not Path("predictions.csv").exists()


def test_weights_within_an_attribute_may_not_lie_elsewhere_either(tmp_path, photos):
    tensor = onnx.load_from_string(with_weights_elsewhere("secret")).graph.initializer[1]
    Path("secret").write_bytes(bytes(784 * 10 * 4))
    nodes = [
        helper.make_node("Constant", [], ["weights"], value=tensor),
        helper.make_node("Flatten", ["tiles"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["out"]),
    ]
    result = run("classify", photos, "-m", make_model(tmp_path / "models" / "stranger", graph(nodes=nodes)))
    assert result.exit_code == 7, result.output


def operator(domain, opset):
    nodes = [helper.make_node("Evil", ["tiles"], ["out"], domain=domain)]
    model = onnx.load_from_string(graph(nodes=nodes))
    if opset:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return model.SerializeToString()


@pytest.mark.parametrize("domain", ["com.microsoft", "com.example", "ai.onnx.contrib", "../../evil.so"])
@pytest.mark.parametrize("opset", [True, False])
def test_operators_of_strangers_are_refused(tmp_path, photos, domain, opset):
    model = make_model(tmp_path / "models" / "stranger", operator(domain, opset))
    result = run("classify", photos, "-m", model)
    assert result.exit_code == 7, result.output
    assert "cannot be used" in result.stderr


def test_the_runners_own_format_is_refused(tmp_path, photos):
    """It holds what no checker of ONNX sees."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(graph(), options, providers=["CPUExecutionProvider"])
    content = (tmp_path / "model.ort").read_bytes()
    assert content[4:8] == b"ORTM"
    result = run("classify", photos, "-m", make_model(tmp_path / "models" / "stranger", content))
    assert result.exit_code == 7, result.output


HUGE, NAN = 10**400, float("nan")
KNN = read_card(ROOT / "models" / "knn")
WRONG_CARDS = {
    "temperature": {"calibration": CALIBRATION | {"temperature": HUGE}},
    "energy_middle": {"calibration": CALIBRATION | {"energy_middle": -HUGE}},
    "review_below": {"thresholds": {"review_below": HUGE}},
    "work_size": {"imaging": IMAGING | {"work_size": HUGE}},
    "a large work_size": {"imaging": IMAGING | {"work_size": 10**9}},
    "version": {"imaging": IMAGING | {"version": HUGE}},
    "format": {"format": HUGE},
    "weights_bytes": {"weights_bytes": HUGE},
    "scores": {"scores": {"test_accuracy": HUGE}},
    "scores as text": {"scores": {"test_accuracy": "99%"}},
    "scores as a list": {"scores": [0.99]},
    "nested scores": {"scores": {"test_accuracy": [[]]}},
    "created": {"created": HUGE},
    "colours in created": {"created": "\x1b[31m2026"},
    "colours in the name": {"name": "\x1b[31mcnn"},
    "lines in the name": {"name": "cnn\nknn"},
    "SHA-256 of nothing": {"weights_sha256": ""},
    "SHA-256 of another": {"weights_sha256": "0" * 64},
    "members of a text": {"members": "knn"},
    "members of numbers": {"members": [1, 2]},
    **{
        f"member {title}": {"members": [{"name": "knn", "digest": KNN.digest, "weight": 1.0} | change]}
        for title, change in {
            "above": {"name": "../knn"},
            "far above": {"name": "../../../../etc"},
            "absolute": {"name": str(ROOT / "models" / "knn")},
            "itself": {"name": "stranger"},
            "two dots": {"name": ".."},
            "empty": {"name": ""},
            "NUL": {"name": "knn\0"},
            "long": {"name": "x" * 5000},
            "number": {"name": 5},
            "of another digest": {"digest": "0" * 12},
            "heavy": {"weight": HUGE},
            "weightless": {"weight": NAN},
            "not wanted": {"weight": -1.0},
        }.items()
    },
}


@pytest.mark.parametrize("change", WRONG_CARDS)
def test_a_card_of_a_stranger(tmp_path, photos, change):
    assert KNN.imaging.to_dict() == IMAGING  # else it would be refused for that
    model = make_model(tmp_path / "models" / "stranger", **WRONG_CARDS[change])
    shutil.copytree(ROOT / "models" / "knn", tmp_path / "knn")  # what a path that leads out would find
    result = run("classify", photos, "-m", model)
    assert result.exit_code == 7, result.output
    assert "\x1b" not in result.stderr
    assert "recursion" not in result.stderr
    assert not Path("predictions.csv").exists()
    listed = run("models", "--models-dir", model.parent)
    assert listed.exit_code == 7, listed.output
    assert "\x1b" not in listed.output
    assert "knn" in listed.stdout  # the others are there


@needs_pipes
@pytest.mark.parametrize("name", ["card.json", "model.onnx"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "endless"])
def test_a_model_that_never_ends(tmp_path, photos, name, make):
    model = make_model(tmp_path / "models" / "stranger")
    (model / name).unlink()
    make(model / name)
    result = run_apart("classify", photos, "-m", model)
    assert result.returncode == 7, result.stderr
    assert name in result.stderr


# Settings of strangers

SHELL = "{0}%s%n$(touch x)`touch x`;touch x|touch x&\\x"


def test_a_region_is_called_what_it_is_called(photos, monkeypatch):
    monkeypatch.setenv("BATCHDIGITS_REGION", f"{SHELL.replace(' ', '')}=0,0,100%,100%")
    result = run("classify", photos, "-m", "knn", "-v", "--log-file", "log")
    assert result.exit_code == 0, result.output
    (row,) = rows()
    assert row["region"] == SHELL.replace(" ", "")
    assert sorted(path.name for path in Path().iterdir()) == sorted(
        ["log", "predictions.csv", "predictions.csv.run.json", "predictions.csv.state"]
    )


def test_a_region_as_large_as_numbers_go(photos):
    options = ["--region", f"a=0,0,{'9' * 400},{'9' * 400}", "--region", f"b={'9' * 400},{'9' * 400}%,1,1"]
    assert run("classify", photos, "-m", "knn", *options).exit_code == 4
    assert [(row["region"], row["status"], row["reason"]) for row in rows()] == [
        ("a", "ok", ""),
        ("b", "error", "region_outside"),
    ]
    again = run("classify", photos, "-m", "knn", *options, "--resume")
    assert again.exit_code == 4
    assert "anew" not in again.stderr


def test_patterns_do_nothing_but_match(photos, monkeypatch):
    monkeypatch.setenv("BATCHDIGITS_EXCLUDE", SHELL)
    long = "a" * 200 + ".png"
    shutil.copy(GOOD, photos / long)
    start = time.monotonic()
    options = [f"--exclude={text}" for text in (SHELL, "(a+)+$", "[", "[!", "\\", "*a" * 60 + "b", "(?P<x>", "**/" * 9)]
    result = run("classify", photos, "-m", "knn", *options)
    assert result.exit_code == 0, result.output
    assert time.monotonic() - start < 20
    assert [row["file"] for row in rows()] == [long, "good.png"]
    assert not Path("x").exists()


@needs_pipes
def test_a_list_may_lead_out_of_its_folder_and_is_no_command(tmp_path, photos):
    os.mkfifo("pipe")
    Path("list").write_text(f"../photos/good.png\n{SHELL}\npipe\n../here/list\n")
    result = run_apart("classify", "--files-from", "list", "-m", "knn")
    assert result.returncode == 4, result.stderr
    found = {row["file"]: row["reason"] for row in rows()}
    assert found == {"../photos/good.png": "", SHELL: "missing"}
    assert not Path("x").exists()


@pytest.mark.parametrize("name", ["OUTPUT", "DIGITS", "LOG_FILE", "REPORT"])
def test_an_output_named_by_the_environment_is_a_path_and_no_more(photos, monkeypatch, name):
    monkeypatch.setenv(f"BATCHDIGITS_{name}", "{0}%s$(touch x)")
    Path("labels.csv").write_text("file,label\ngood.png,0\n")
    result = run("classify", photos, "-m", "knn", *(["--labels", "labels.csv"] if name == "REPORT" else []))
    assert result.exit_code == 0, result.output
    assert Path("{0}%s$(touch x)").exists()
    assert not Path("x").exists()


# Disks

KEPT = 20  #: pictures that are there in both nights


@pytest.fixture(scope="session")
def nights(tmp_path_factory):
    """What is there in one night and in the next, and the rows of the second as an undisturbed run writes them."""
    place = tmp_path_factory.mktemp("nights")
    place.chmod(0o755)
    # pictures come first, and take their time: rows are on disk before the disk is full
    for folder, good, bad in (("first", KEPT, 40), ("second", 120, 1000)):
        (place / folder).mkdir()
        for number in range(good + bad):
            name = f"{'picture' if number < good else 'rubbish'} with a quite ordinary name {number:05}.png"
            if (place / "first" / name).exists():
                os.link(place / "first" / name, place / folder / name)  # unchanged, as far as anybody can tell
            elif number < good:
                shutil.copy(GOOD, place / folder / name)
            else:
                (place / folder / name).touch()
    done = run_apart("classify", place / "second", "-m", "knn", "-o", "undisturbed.csv", cwd=place)
    assert done.returncode == 4, done.stderr
    return place


def first_night(nights, output, **options):
    done = run_apart("classify", nights / "first", "-m", "knn", "-o", output, **options)
    assert done.returncode == 4, done.stderr
    return output.read_bytes()


def finish(nights, output, before, **options):
    """Check that a run which failed has left the last rows alone, and that it can be finished as if nothing was."""
    assert output.read_bytes() == before
    assert list(output.parent.glob(".*.tmp")) == []
    done = run_apart("classify", nights / "second", "-m", "knn", "-o", output, "--resume", **options)
    assert done.returncode == 4, done.stderr
    assert output.read_bytes() == (nights / "undisturbed.csv").read_bytes()
    return record(output)["files"]["kept"]


def test_no_file_may_grow_any_more(nights):
    """As under `ulimit -f`."""
    resource = pytest.importorskip("resource")
    output = Path("rows.csv").absolute()
    before = first_night(nights, output)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    arguments = ["classify", nights / "second", "-m", "knn", "-o", output, "-j", 2, "--resume"]
    failed = run_apart(*arguments, preexec_fn=limit)
    assert failed.returncode == 9, failed.stderr
    assert "Traceback" not in failed.stderr
    assert "rows.csv" in failed.stderr
    assert finish(nights, output, before) > KEPT


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a megabyte."""
    if not IS_ROOT or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.parametrize("left", [0, 100_000])
def test_a_disk_that_fills_up_in_the_middle(nights, small_disk, left):
    output = small_disk / "rows.csv"
    before = first_night(nights, output)
    filler = small_disk / "somebody else's"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(4096))
    os.truncate(filler, filler.stat().st_size - left)
    failed = run_apart("classify", nights / "second", "-m", "knn", "-o", output, "-j", 2, "--resume")
    assert failed.returncode == 9, failed.stderr
    assert "Traceback" not in failed.stderr
    assert "Make room, then go on with --resume" in failed.stderr
    filler.unlink()
    kept = finish(nights, output, before)
    assert kept > KEPT if left else kept == KEPT


@pytest.fixture
def may_not_override():
    """What to put before a command so that it may write only where anybody may."""
    if not IS_ROOT:
        return []
    prefix = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    probe = Path("closed")
    probe.mkdir(mode=0o500)
    if shutil.which("setpriv") is None or not subprocess.run([*prefix, "touch", probe / "x"]).returncode:
        pytest.skip("root may write everywhere")
    return prefix


def test_a_folder_that_may_not_be_written_any_more(nights, may_not_override):
    output = Path("out/rows.csv").absolute()
    output.parent.mkdir()
    before = first_night(nights, output)
    arguments = command("classify", nights / "second", "-m", "knn", "-o", output, "--resume")
    with subprocess.Popen([*may_not_override, *arguments], stderr=subprocess.PIPE, text=True) as process:
        log = output.with_name("rows.csv.state-wal")
        deadline = time.monotonic() + 60
        while not (log.exists() and log.stat().st_size > 20_000):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "it does not start"
            time.sleep(0.01)
        output.parent.chmod(0o500)
        try:
            message = process.communicate(timeout=120)[1]
        finally:
            output.parent.chmod(0o700)
    assert process.returncode == 9, message
    assert "permission denied" in message.lower()
    assert "Traceback" not in message
    assert finish(nights, output, before) > KEPT
