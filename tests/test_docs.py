"""The documentation says what the program does."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, SAMPLES
from typer.main import get_command
from typer.testing import CliRunner

import batchdigits
from batchdigits.classifiers.store import MODEL_NAMES
from batchdigits.cli import app
from batchdigits.errors import ExitCode
from batchdigits.report.model_table import describe, format_table
from batchdigits.worker import _PROBLEMS as PROBLEMS
from batchdigits.worker import PASSING

EXAMPLES = ROOT / "docs" / "examples"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAM = "/opt/batchdigits/bin/batchdigits"  # where the examples have it
UNATTENDED = (ROOT / "docs" / "unattended.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
runner = CliRunner()


def block_after(marker, page=README):
    """Return the lines of the fenced block after a marker."""
    return page.split(f"<!-- {marker} -->", 1)[1].split("```", 2)[1].split("\n", 1)[1].rstrip("\n").split("\n")


def test_the_command_table_is_the_help():
    table = README.split("## Commands", 1)[1].split("```", 1)[0]
    listed = set(re.findall(r"^\| `(\w+)[^`]*` \|", table, flags=re.MULTILINE))
    commands = {command.callback.__name__ for command in app.registered_commands}
    assert listed == commands
    text = runner.invoke(app, ["--help"]).output
    assert all(command in text for command in commands)


@pytest.mark.parametrize("command", ["classify", "watch", "evaluate", "inspect", "train", "models"])
def test_every_flag_has_a_variable_and_a_help(command):
    text = " ".join(runner.invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output.split())
    flags = set(re.findall(r"--([a-z][a-z-]+)", text)) - {"help"}
    # where a variable set for classify would be nonsense to another command, that has its own
    own = {
        ("models", "format"): "TABLE_FORMAT",
        ("inspect", "output"): "INSPECT_OUTPUT",
        ("evaluate", "format"): "SCORE_FORMAT",
        ("evaluate", "data"): "TEST_NPZ",
        ("evaluate", "mnist"): "MNIST_TEST",
    }
    for flag in flags:
        name = own.get((command, flag), flag.upper().replace("-", "_"))
        assert f"BATCHDIGITS_{name};" in text or f"BATCHDIGITS_{name}]" in text, flag


def test_the_first_command_prints_what_the_readme_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (command,) = [line for line in block_after("first command") if line.startswith("batchdigits classify")]
    arguments = shlex.split(command, comments=True)[1:]
    result = runner.invoke(app, [*arguments, "--output", str(tmp_path / "predictions.csv")])
    assert result.exit_code == 4  # as the README says: two samples are damaged
    rows = (tmp_path / "predictions.csv").read_text(encoding="utf-8").split("\n")
    for line in block_after("first rows"):
        if line != "...":
            assert any(alike(line, row) for row in rows), line
    (summary,) = [line for line in block_after("first summary") if "rows:" in line]
    assert summary.split(" -> ")[0] in result.stderr


def alike(shown, row):
    """Tell equal rows, the last digits of a confidence apart: they differ between processors."""
    numbers = r"\d+\.\d{6}"
    if re.sub(numbers, "#", shown) != re.sub(numbers, "#", row):
        return False
    pairs = zip(re.findall(numbers, shown), re.findall(numbers, row), strict=True)
    return all(abs(float(a) - float(b)) < 0.02 for a, b in pairs)


def test_the_library_example_runs(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    exec("\n".join(block_after("library")), {})
    assert len(capsys.readouterr().out.splitlines()) >= 4


def test_public_names_exist_and_are_described():
    for name in batchdigits.__all__:
        assert getattr(batchdigits, name).__doc__, name
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = batchdigits.nothing_like_it


def test_reason_codes_are_documented():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "batchdigits").rglob("*.py"))
    reasons = set(re.findall(r'PageError\(\s*"(\w+)"', code)) | set(re.findall(r'reason = "(\w+)"', code))
    assert len(reasons) > 5
    reasons |= {
        "too_small",
        "faint",
        "blurred",
        "several_lines",
        "low_confidence",
        "not_a_digit",
        "no_ink",
        "several_digits",
        "cut_off",
        "too_many_marks",
        "truncated",
        "unreadable_folder",
        *PASSING,
        *PROBLEMS,
    }
    for reason in reasons:
        assert f"`{reason}`" in README, reason


def test_the_table_of_models_is_what_their_cards_say():
    table = README.split("<!-- models table -->", 1)[1].split("\n\n", 1)[0]
    shown = {cells[0]: cells for cells in ([c.strip() for c in row.split("|")[1:-1]] for row in table.split("\n")[3:])}
    assert set(shown) == set(MODEL_NAMES)
    described, _ = describe(ROOT / "models")
    for line in format_table(described, "md").splitlines()[2:]:
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert shown[cells[0]] == cells[: len(shown[cells[0]])]


def test_every_sample_is_described():
    table = (SAMPLES / "README.md").read_text(encoding="utf-8")
    for path in (SAMPLES / "images").rglob("*"):
        if path.is_file():
            assert f"`{path.relative_to(SAMPLES / 'images').as_posix()}`" in table, path


def test_no_path_of_a_developers_machine():
    patterns = ("*.md", "docs/**/*.*", "batchdigits/**/*.py", "models/**/*.json")
    for path in [path for pattern in patterns for path in ROOT.glob(pattern)]:
        assert not re.search(r"/(home|root|Users)/\w", path.read_text(encoding="utf-8")), path


COMMANDS = get_command(app).commands
FLAGS = {name: {flag for option in command.params for flag in option.opts} for name, command in COMMANDS.items()}
VARIABLES = {str(option.envvar) for command in COMMANDS.values() for option in command.params if option.envvar}


def commands_in(text):
    """Return the commands of our own that a text shows, each as its words, up to a pipe or the like."""
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, flags=re.DOTALL):
        for found in re.findall(r"\bbatchdigits ([a-z]+ .*)", block):
            yield words_of(found)


def words_of(command):
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    return words[: next((at for at, word in enumerate(words) if set(word) <= set("|&;<>()")), len(words))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_shown_has_these_flags(page):
    shown = list(commands_in(page.read_text(encoding="utf-8")))
    assert len(shown) > 5
    for command, *words in shown:
        flags = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert flags <= FLAGS[command] | {"-h", "--help"}, (command, words)


@pytest.mark.parametrize("page", [*PAGES, *sorted(EXAMPLES.iterdir())], ids=lambda page: page.name)
def test_every_flag_and_variable_named_exists(page):
    text = page.read_text(encoding="utf-8")
    elsewhere = {"--help", "--psm", "--now"}  # the last two of Tesseract and systemctl
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - elsewhere
    assert flags <= set().union(*FLAGS.values())
    assert set(re.findall(r"BATCHDIGITS_[A-Z_]+", text)) <= VARIABLES | {"BATCHDIGITS_TEST_DATA"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.*)", text, flags=re.MULTILINE)
    places = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in places, target
        elif "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_exit_code_has_its_advice():
    table = UNATTENDED.split("## Exit codes", 1)[1].split("\n## ", 1)[0]
    advised = {int(code) for cell in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in cell.split(",")}
    assert {int(code) for code in ExitCode} - advised == {ExitCode.BELOW_TARGET}
    assert f"({int(ExitCode.BELOW_TARGET)} is of `evaluate --fail-under`.)" in table


def test_what_is_tried_again_is_what_the_program_tries_again():
    table = UNATTENDED.split("**It is tried again**", 1)[1].split("A file that could be opened", 1)[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, flags=re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == PASSING | set(PROBLEMS)


def test_the_record_and_the_log_shown_are_what_a_run_writes(tmp_path):
    output, log = tmp_path / "predictions.csv", tmp_path / "run.log"
    inputs = [str(SAMPLES / "images" / name) for name in ("pencil.jpg", "truncated.jpg")]
    arguments = ["classify", *inputs, "--resume", "--output", str(output), "--log-file", str(log)]
    assert runner.invoke(app, arguments).exit_code == 4
    found = json.loads((tmp_path / "predictions.csv.run.json").read_text(encoding="utf-8"))
    shown = json.loads("\n".join(block_after("run.json", UNATTENDED)))
    assert list(shown) == list(found)
    for key, value in shown.items():
        if isinstance(value, dict) and key != "outputs":
            assert set(value) <= set(found[key]), key
            assert key in ("settings", "libraries") or set(value) == set(found[key]), key
    table = UNATTENDED.split("| field | |", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) <= set(found)
    written = {(line["stage"], line["level"], *line) for line in map(json.loads, log.read_text().splitlines())}
    shown_lines = [json.loads(line) for line in block_after("log", UNATTENDED)]
    assert {(line["stage"], line["level"], *line) for line in shown_lines} == written


@pytest.mark.parametrize("block", [1, 2])
def test_runs_on_the_samples_print_what_is_shown(block, tmp_path, monkeypatch):
    command, *shown = block_after(f"on the samples {block}", UNATTENDED)
    shutil.copytree(SAMPLES / "images", tmp_path / "scans")
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, shlex.split(command)[2:])
    assert result.stderr.splitlines() == shown


# The examples: their paths are replaced, the rest runs as it stands.


@pytest.fixture
def place(tmp_path):
    """A machine as the examples have it, below a folder: scans, an empty folder for the output, the program."""
    for folder in ("srv/scans", "srv/digits", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("pencil.jpg", "marker.jpg", "truncated.jpg"):
        shutil.copy(SAMPLES / "images" / name, tmp_path / "srv" / "scans" / name)
        os.utime(tmp_path / "srv" / "scans" / name, (1e9, 1e9))  # nobody is writing it any more
    program = tmp_path / "bin" / "batchdigits"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m batchdigits "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return tmp_path


def moved(text, place):
    """Return a text of the examples with the paths of another place."""
    return text.replace(PROGRAM, str(place / "bin" / "batchdigits")).replace("/srv/", f"{place}/srv/")


def environment(place, **more):
    return {**os.environ, "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}", **more}


def rows_in(place):
    table = place / "srv" / "digits" / "predictions.csv"
    return table.read_text(encoding="utf-8").splitlines()[1:] if table.exists() else []


needs_a_shell = pytest.mark.skipif(os.name == "nt", reason="no POSIX shell")


@needs_a_shell
def test_the_cron_line_runs_and_speaks_only_of_what_is_wrong(place):
    lines = [line for line in (EXAMPLES / "batchdigits.cron").read_text(encoding="utf-8").splitlines() if line]
    lines = [moved(line, place) for line in lines if not line.startswith("#")]
    assigned = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    (job,) = [line for line in lines if not re.match(r"[A-Z_]+=", line)]
    *fields, command = job.split(None, 5)
    assert len(fields) == 5
    for field, most in zip(fields, (59, 23, 31, 12, 7), strict=True):
        assert field == "*" or 0 <= int(field) <= most
    assert "%" not in command  # cron takes it for the end of a line
    for spoken in (["batchdigits ended with 4"], []):
        ran = subprocess.run(
            ["/bin/sh", "-c", command], cwd=place, env=environment(place, **assigned), capture_output=True, text=True
        )
        assert ran.stderr == ""
        assert [line.split(":")[0] for line in ran.stdout.splitlines()] == spoken
        (place / "srv" / "scans" / "truncated.jpg").unlink(missing_ok=True)
    assert len(rows_in(place)) == 2
    assert (place / "srv" / "digits" / "run.log").exists()


def unit(name, place):
    """Return the settings of a unit of systemd: lists, for a key may come twice."""
    settings = {}
    for line in moved((EXAMPLES / name).read_text(encoding="utf-8"), place).splitlines():
        if line and line[0] not in "#[":
            key, value = line.split("=", 1)
            settings.setdefault(key, []).append(value)
    return settings


def started(settings, place):
    assigned = dict(word.split("=", 1) for value in settings["Environment"] for word in shlex.split(value))
    (command,), (folder,) = settings["ExecStart"], settings["WorkingDirectory"]
    return subprocess.Popen(
        shlex.split(command), cwd=folder, env=environment(place, **assigned), stderr=subprocess.PIPE, text=True
    )


@needs_a_shell
def test_the_service_runs_and_a_damaged_file_is_no_failure(place):
    settings = unit("batchdigits.service", place)
    process = started(settings, place)
    _, spoken = process.communicate(timeout=120)
    assert process.returncode == 4, spoken
    assert settings["SuccessExitStatus"] == ["4 143"]
    assert len(rows_in(place)) == 3
    written = {path.name for path in (place / "srv" / "digits").iterdir()}
    assert written == {"predictions.csv", "predictions.csv.state", "predictions.csv.run.json", "run.log"}


@needs_a_shell
def test_the_watching_service_runs_and_to_stop_it_is_no_failure(place):
    settings = unit("batchdigits-watch.service", place)
    process = started(settings, place)
    try:
        end = time.monotonic() + 120
        while len(rows_in(place)) < 3 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, spoken = process.communicate(timeout=60)
    finally:
        process.kill()
    assert len(rows_in(place)) == 3, spoken
    assert settings["SuccessExitStatus"] == [str(process.returncode)] == ["143"]


def test_systemd_takes_the_units(place):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    units = []
    for name in ("batchdigits.service", "batchdigits.timer", "batchdigits-watch.service"):
        units.append(place / name)
        text = (EXAMPLES / name).read_text(encoding="utf-8").replace(PROGRAM, str(place / "bin" / "batchdigits"))
        units[-1].write_text(text, encoding="utf-8")
    ran = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)
    about_ours = [line for line in ran.stderr.splitlines() if "batchdigits" in line]  # it looks at others, too
    assert about_ours == []


@needs_a_shell
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_the_pipeline_passes_rows_on_and_tells_how_both_ended(place):
    result = place / "sure.jsonl"

    def run(folder, **more):
        command = ["bash", EXAMPLES / "pipeline.sh", folder, result]
        return subprocess.run(command, cwd=place, env=environment(place, **more), capture_output=True, text=True)

    ran = run("srv/scans")
    assert ran.returncode == 4, ran.stderr
    rows = [json.loads(line) for line in result.read_text(encoding="utf-8").splitlines()]
    assert [row["file"] for row in rows] == ["marker.jpg", "pencil.jpg"]
    assert ran.stderr.splitlines() == ["error truncated.jpg truncated"]

    before = result.read_bytes()
    assert run("srv/nothing").returncode == 3
    assert run("srv/scans", BATCHDIGITS_MODEL="nothing").returncode == 7
    broken = place / "bin" / "python3"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    assert run("srv/scans").returncode == 1  # the filter's
    assert result.read_bytes() == before
    assert not Path(f"{result}.part").exists()


def test_every_example_is_named():
    for path in EXAMPLES.iterdir():
        assert f"(examples/{path.name})" in UNATTENDED, path
