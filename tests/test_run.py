"""A run as its user meets it: interrupted, killed, resumed, over a folder that changes."""

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from batchdigits.cli import app
from batchdigits.training.simulator import simulate_photo

COUNT = 60
KILLER = """
import builtins, io, os
whole = io.open
def opened(file, *rest, **more):
    if not isinstance(file, int) and os.path.basename(os.fsdecode(file)).startswith("killer"):
        os.kill(os.getpid(), 11)
    return whole(file, *rest, **more)
builtins.open = io.open = opened
"""
runner = CliRunner()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Draw some digits, small enough to be read in no time."""
    folder = tmp_path_factory.mktemp("drawn")
    for digit in range(10):
        picture = simulate_photo(digit, np.random.default_rng(digit), difficulty=0.2)
        assert cv2.imwrite(str(folder / f"{digit}.png"), cv2.resize(picture, (160, 160), interpolation=cv2.INTER_AREA))
    return folder


@pytest.fixture
def photos(tmp_path, drawn, monkeypatch):
    """Make a folder of pictures that are older than a moment, and work beside it."""
    monkeypatch.chdir(tmp_path)
    for number in range(COUNT):
        place = tmp_path / "photos" / f"{number % 3}" / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(drawn / f"{number % 10}.png", place)
        os.utime(place, (1_700_000_000, 1_700_000_000))
    return tmp_path / "photos"


def classify(*arguments, code=0):
    result = runner.invoke(app, ["classify", "photos", "-m", "knn", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def add_many(photos):
    """Add so many pictures that a run is not over before it can be stopped."""
    for more in range(600):
        os.link(photos / "0" / "00.png", photos / f"more-{more:04}.png")


def start(*arguments, name="classify", **options):
    command = [sys.executable, "-m", "batchdigits", name, "photos", "-m", "knn", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True, **options)


def record(path="predictions.csv"):
    return json.loads(Path(f"{path}.run.json").read_text())


def files_in(path="predictions.csv"):
    with Path(path).open(newline="", encoding="utf-8") as file:
        return [row["file"] for row in csv.DictReader(file)]


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def has_read(log="log.jsonl"):
    """Tell whether a run has put a page on disk."""
    return Path(log).exists() and '"stage": "read"' in Path(log).read_text()


# Resumed


def test_a_run_over_the_same_folder_reads_nothing(photos):
    classify()
    before = Path("predictions.csv").read_bytes()
    assert record()["files"] == {"found": COUNT, "kept": 0, "read": COUNT, "gone": 0, "skipped": 0}
    classify("--resume")
    assert record()["files"] == {"found": COUNT, "kept": COUNT, "read": 0, "gone": 0, "skipped": 0}
    assert Path("predictions.csv").read_bytes() == before


def test_a_night_and_the_next_one(photos, drawn):
    """New files, changed files, files that are gone, and files that only look changed."""
    classify()
    shutil.copy(drawn / "4.png", photos / "new.png")
    shutil.copy(drawn / "9.png", photos / "0" / "00.png")  # another digit under the same name
    (photos / "1" / "01.png").unlink()
    (photos / "2" / "02.png").touch()
    classify("--resume")
    assert record()["files"] == {"found": COUNT, "kept": COUNT - 2, "read": 2, "gone": 1, "skipped": 0}
    resumed = Path("predictions.csv").read_bytes()
    classify("-o", "afresh.csv")
    assert resumed == Path("afresh.csv").read_bytes()


def test_same_size_and_time_but_other_content_just_after_a_run(photos, drawn):
    """A file that changes within the clock's resolution is not taken for what it was."""
    place = photos / "0" / "00.png"
    one, other = (np.zeros((90, 90), np.uint8) for _ in range(2))
    cv2.line(one, (45, 10), (45, 80), 255, 9)
    cv2.circle(other, (45, 45), 25, 255, 9)
    for picture in (one, other):
        assert cv2.imwrite(str(place.with_suffix(".bmp")), picture)
        classify("--resume")
    with Path("predictions.csv").open(newline="") as file:
        assert [row["prediction"] for row in csv.DictReader(file) if row["file"] == "0/00.bmp"] == ["0"]


@pytest.mark.parametrize("more", [["-m", "logreg"], ["--layout", "number"], ["--region", "0,0,50%,50%"]])
def test_other_settings_read_everything_anew_and_say_why(photos, more):
    classify()
    result = classify("--resume", *more)
    assert "everything is read anew" in result.stderr
    assert record()["files"]["read"] == COUNT
    assert len(record()["read_anew_because"]) == 1


def test_what_changes_no_row_reads_nothing_anew(photos):
    classify()
    classify("--resume", "--format", "jsonl", "-o", "predictions.csv", "--jobs", "1")
    assert record()["files"]["kept"] == COUNT


def test_digits_and_probabilities_come_from_what_was_kept(photos):
    classify("--probabilities", "--digits", "d.csv")
    before = Path("predictions.csv").read_bytes(), Path("d.csv").read_bytes()
    classify()
    classify("--resume", "--probabilities", "--digits", "d.csv")
    assert record()["files"]["read"] == 0
    assert (Path("predictions.csv").read_bytes(), Path("d.csv").read_bytes()) == before


def test_rows_are_those_that_go_to_stdout(photos):
    """What is kept in between costs no digit."""
    classify("--probabilities")
    streamed = start("--probabilities", "-o", "-", "-q", stdout=subprocess.PIPE)
    out, _ = streamed.communicate()
    assert out == Path("predictions.csv").read_bytes()


def test_what_may_pass_is_tried_again(photos):
    (photos / "gone.png").symlink_to("nowhere.png")
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    os.utime(photos / "broken.png", (1_700_000_000, 1_700_000_000))
    classify(code=4)
    (photos / "nowhere.png").write_bytes((photos / "0" / "00.png").read_bytes())
    classify("--resume", code=4)
    assert record()["files"]["read"] == 2  # the link, and what it leads to; broken.png stays what it is
    assert record()["rows"]["error"] == 1


def test_files_of_one_name_in_two_inputs_are_two_rows(photos, drawn):
    for folder, digit in (("one", 3), ("two", 8)):
        Path(folder).mkdir()
        shutil.copy(drawn / f"{digit}.png", f"{folder}/x.png")
    for more in ([], ["--resume"]):
        result = runner.invoke(app, ["classify", "one", "two", "-m", "knn", *more])
        assert result.exit_code == 0, result.output
        with Path("predictions.csv").open(newline="") as file:
            assert [(row["file"], row["prediction"]) for row in csv.DictReader(file)] == [
                ("x.png", "3"),
                ("x.png", "8"),
            ]


def test_resume_needs_a_file_to_stand_beside(photos):
    assert "--resume needs" in classify("--resume", "-o", "-", code=2).stderr


def test_the_output_in_the_folder_itself_is_not_read(photos):
    for _ in range(2):
        classify("-o", "photos/predictions.csv", "--resume")
        assert record("photos/predictions.csv")["files"]["found"] == COUNT
        assert record("photos/predictions.csv")["files"]["skipped"] == 0


def test_a_list_of_files(photos):
    Path("list.txt").write_text("photos/0/00.png\nphotos/1\nphotos/none.png\n")
    result = runner.invoke(app, ["classify", "--files-from", "list.txt", "-m", "knn"])
    assert result.exit_code == 4, result.output
    found = files_in()
    assert found[0] == "photos/0/00.png" and found[-1] == "photos/none.png"
    assert len(found) == 2 + COUNT // 3


def test_excluded_files_have_no_row(photos):
    classify("--exclude", "1", "--exclude", "/2/*0.png")
    assert not [name for name in files_in() if name.startswith("1/") or (name[0] == "2" and name.endswith("0.png"))]
    assert len(files_in()) == COUNT - COUNT // 3 - 2


# Killed, interrupted, refused


def test_a_killed_run_goes_on_where_it_was(photos):
    add_many(photos)
    Path("predictions.csv").write_text("the last complete run")
    with start("--jobs", "1", "--log-file", "log.jsonl") as run:
        wait_until(has_read)
        run.kill()
    assert Path("predictions.csv").read_text() == "the last complete run"
    classify("--resume", "--log-file", "log.jsonl")
    lines = [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]
    read = [line["file"] for line in lines if line.get("stage") == "read"]
    assert sorted(read) == sorted(set(read)), "read again after it was recorded"
    killed = Path("predictions.csv").read_bytes()
    classify()
    assert Path("predictions.csv").read_bytes() == killed


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_stopped_run_saves_what_it_has_and_says_how_to_go_on(photos, drawn, number, code, word):
    add_many(photos)
    Path("predictions.csv").write_text("the last complete run")
    with start("--jobs", "2", "--log-file", "log.jsonl") as run:
        wait_until(has_read)
        os.killpg(run.pid, number)  # as a terminal and systemd do
        errors = run.communicate(timeout=30)[1].decode()
    assert run.returncode == code, errors
    assert "Traceback" not in errors
    assert word in errors and "--resume" in errors
    assert Path("predictions.csv").read_text() == "the last complete run"
    found = record()
    assert (found["outcome"], found["exit_code"]) == ("interrupted", code)
    assert 0 < found["files"]["read"] < found["files"]["found"]
    classify("--resume")
    assert record()["files"]["kept"] == found["files"]["read"]
    assert len(files_in()) == COUNT + 600


def test_a_second_ctrl_c_stops_at_once(photos):
    for number in range(40):
        os.mkfifo(photos / f"pipe-{number}")  # no page; the pictures below take their time
    big = np.full((6000, 6000), 255, np.uint8)
    cv2.putText(big, "7", (2500, 4000), cv2.FONT_HERSHEY_SIMPLEX, 60, 0, 200)
    assert cv2.imwrite(str(photos / "big.png"), big)
    for number in range(60):
        os.link(photos / "big.png", photos / f"big-{number}.png")
    with start("--jobs", "2", "--log-file", "log.jsonl", "--max-pixels", "40000000") as run:
        wait_until(has_read)
        os.killpg(run.pid, signal.SIGINT)
        time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        asked = time.monotonic()
        errors = run.communicate(timeout=30)[1].decode()
    assert run.returncode == 130, errors
    assert "Traceback" not in errors
    assert time.monotonic() - asked < 3
    with contextlib.suppress(ProcessLookupError):  # all of its processes are gone, or go
        wait_until(lambda: os.killpg(run.pid, 0), seconds=3)


def test_the_second_run_on_one_output_is_refused(photos):
    add_many(photos)
    with start("--jobs", "1", "--log-file", "log.jsonl") as first:
        wait_until(has_read)
        for more in ([], ["--resume"]):
            assert "Another run is writing" in classify(*more, code=9).stderr
        first.communicate()
    assert first.returncode == 0
    assert record()["exit_code"] == 0  # of the first
    classify("--resume")


def children_of(pid):
    found = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in found.splitlines() if "tracker" not in line]


@pytest.mark.skipif(shutil.which("ps") is None, reason="ps is not here")
def test_workers_that_are_killed_cost_nothing_but_time(photos):
    for more in range(1000):
        os.link(photos / "0" / "00.png", photos / f"more-{more:04}.png")
    with start("--jobs", "2", "--log-file", "log.jsonl") as run:
        for _ in range(3):
            wait_until(lambda: children_of(run.pid) and has_read())
            with contextlib.suppress(ProcessLookupError):
                os.kill(children_of(run.pid)[0], signal.SIGKILL)
            time.sleep(0.3)
        errors = run.communicate(timeout=120)[1].decode()
    assert run.returncode == 0, errors
    assert record()["rows"]["error"] == 0
    assert len(files_in()) == COUNT + 1000


def test_a_picture_that_kills_whatever_reads_it_costs_its_own_row(photos, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(KILLER)
    for number in (1, 2):
        shutil.copy(photos / "0" / "00.png", photos / f"killer-{number}.png")
    places = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": places}
    with start("--jobs", "2", env=environment) as run:
        errors = run.communicate(timeout=120)[1].decode()
    assert run.returncode == 4, errors
    with Path("predictions.csv").open(newline="") as file:
        bad = {row["file"]: row["reason"] for row in csv.DictReader(file) if row["status"] == "error"}
    assert bad == {"killer-1.png": "worker_died", "killer-2.png": "worker_died"}
    classify("--resume")  # whatever it was, it has passed
    assert record()["files"]["read"] == 2


def test_a_few_files_of_which_one_kills_the_run_do_so_once(photos, tmp_path, drawn):
    """A few files are read without other processes: what kills then kills the run, but not the next one as well."""
    shutil.rmtree("photos")
    Path("photos").mkdir()
    for name in ("a", "killer", "z"):
        shutil.copy(drawn / "3.png", f"photos/{name}.png")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(KILLER)
    places = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": places}
    with start(env=environment) as run:
        run.communicate(timeout=60)
    assert run.returncode == -signal.SIGSEGV
    with start("--resume", env=environment) as run:
        errors = run.communicate(timeout=60)[1].decode()
    assert run.returncode == 4, errors
    with Path("predictions.csv").open(newline="") as file:
        found = {row["file"]: row["reason"] for row in csv.DictReader(file)}
    assert found == {"a.png": "", "killer.png": "worker_died", "z.png": ""}


# Its log and record


def test_the_log_has_a_line_for_every_page_and_step(photos):
    (photos / "empty.png").touch()
    classify("--log-file", "log.jsonl", code=4)
    lines = [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]
    assert {"time", "level", "message"} <= set.intersection(*map(set, lines))
    read = [line for line in lines if line["stage"] == "read"]
    assert sorted(line["file"] for line in read) == sorted(files_in())
    assert all(line["milliseconds"] >= 0 for line in read)
    assert [line["level"] for line in read if line["file"] == "empty.png"] == ["warning"]
    assert {"walk", "read", "write"} <= {line["stage"] for line in lines}


def test_the_record_tells_a_monitor_what_happened(photos):
    classify("--review-below", "0.2", "--jobs", "2")
    found = record()
    assert found["outcome"] == "complete" and found["exit_code"] == 0
    assert sum(found["rows"].values()) == COUNT
    assert found["settings"]["review-below"] == 0.2 and found["settings"]["layout"] == "digit"
    assert found["model"]["name"] == "knn" and len(found["model"]["weights_sha256"]) == 64
    assert found["outputs"].keys() == {"predictions.csv"}


def test_every_flag_of_a_run_may_come_from_the_environment(photos, monkeypatch):
    monkeypatch.setenv("BATCHDIGITS_MODEL", "logreg")
    monkeypatch.setenv("BATCHDIGITS_OUTPUT", "env.csv")
    monkeypatch.setenv("BATCHDIGITS_MAX_PIXELS", "25599")
    monkeypatch.setenv("BATCHDIGITS_EXCLUDE", "0 1")
    result = runner.invoke(app, ["classify", "photos"])
    assert result.exit_code == 5, result.output
    assert record("env.csv")["settings"]["max-pixels"] == 25599
    assert len(files_in("env.csv")) == COUNT // 3


# Watched


@pytest.fixture
def watched(photos):
    started = []

    def watch(*arguments):
        run = start("--settle", "0.3", *arguments, name="watch", stdout=subprocess.DEVNULL)
        started.append(run)
        return run

    yield watch
    for run in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


def rows_of(path="predictions.csv"):
    return set(files_in(path)) if Path(path).exists() else set()


def test_watch_takes_what_arrives_and_drops_what_is_gone(photos, drawn, watched):
    run = watched("-o", "photos/rows.csv")
    wait_until(lambda: len(rows_of("photos/rows.csv")) == COUNT)
    shutil.copy(drawn / "5.png", photos / "late.png")
    wait_until(lambda: "late.png" in rows_of("photos/rows.csv"))
    (photos / "0" / "00.png").unlink()
    wait_until(lambda: "0/00.png" not in rows_of("photos/rows.csv"))
    run.send_signal(signal.SIGTERM)
    errors = run.communicate(timeout=20)[1].decode()
    assert run.returncode == 143, errors
    assert "Traceback" not in errors


def test_watch_waits_for_a_file_that_is_still_being_written(photos, drawn, watched):
    watched("--log-file", "log.jsonl")
    wait_until(lambda: len(rows_of()) == COUNT)
    data = (drawn / "5.png").read_bytes()
    with (photos / "slow.png").open("wb") as file:
        for part in range(10):
            file.write(data[part * len(data) // 10 : (part + 1) * len(data) // 10])
            file.flush()
            time.sleep(0.1)
    wait_until(lambda: "slow.png" in rows_of())
    lines = [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]
    assert [line["message"] for line in lines if line.get("file") == "slow.png"] == ["ok"]


def test_watch_does_not_wake_itself(photos, watched):
    watched("-o", "photos/rows.csv", "--log-file", "photos/log.jsonl")
    wait_until(lambda: len(rows_of("photos/rows.csv")) == COUNT)
    time.sleep(1)
    before = Path("photos/rows.csv").stat().st_mtime_ns, Path("photos/log.jsonl").stat().st_size
    time.sleep(3)
    assert (Path("photos/rows.csv").stat().st_mtime_ns, Path("photos/log.jsonl").stat().st_size) == before


def test_watch_goes_on_where_classify_ended(photos, watched):
    classify()
    before = Path("predictions.csv").read_bytes()
    Path("predictions.csv").unlink()
    watched()
    wait_until(lambda: rows_of() and Path("predictions.csv.run.json").exists() and record()["files"]["kept"] == COUNT)
    assert Path("predictions.csv").read_bytes() == before


def test_watch_survives_a_folder_that_goes_and_comes_back(photos, drawn, watched):
    run = watched()
    wait_until(lambda: len(rows_of()) == COUNT)
    photos.rename("elsewhere")
    time.sleep(1.5)
    assert run.poll() is None, run.stderr.read().decode()
    assert len(rows_of()) == COUNT  # that all files are gone is not believed of a folder that is
    shutil.copytree("elsewhere", photos)
    shutil.copy(drawn / "5.png", photos / "late.png")
    wait_until(lambda: len(rows_of()) == COUNT + 1)


def test_a_run_leaves_nothing_in_the_home_folder(photos, tmp_path):
    """As onnxruntime does, which keeps there what it reports to its makers unless told not to."""
    home = tmp_path / "home"
    home.mkdir()
    with start(env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}) as run:
        errors = run.communicate(timeout=60)[1].decode()
    assert run.returncode == 0, errors
    time.sleep(1)
    assert list(home.rglob("*")) == []
