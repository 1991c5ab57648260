"""The documentation says what the program does."""

from __future__ import annotations

import re
import shlex

import pytest
from conftest import ROOT, SAMPLES
from typer.testing import CliRunner

import batchdigits
from batchdigits.classifiers.store import MODEL_NAMES
from batchdigits.cli import app
from batchdigits.report.model_table import describe, format_table

README = (ROOT / "README.md").read_text(encoding="utf-8")
runner = CliRunner()


def block_after(marker):
    """Return the lines of the fenced block after a marker."""
    return README.split(f"<!-- {marker} -->", 1)[1].split("```", 2)[1].split("\n", 1)[1].rstrip("\n").split("\n")


def test_the_command_table_is_the_help():
    table = README.split("## Commands", 1)[1].split("```", 1)[0]
    listed = set(re.findall(r"^\| `(\w+)[^`]*` \|", table, flags=re.MULTILINE))
    commands = {command.callback.__name__ for command in app.registered_commands}
    assert listed == commands
    text = runner.invoke(app, ["--help"]).output
    assert all(command in text for command in commands)


@pytest.mark.parametrize("command", ["classify", "evaluate", "inspect", "train", "models"])
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
    reasons = set(re.findall(r'PageError\("(\w+)"', code)) | set(re.findall(r'reason = "(\w+)"', code))
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
    for path in [*ROOT.glob("*.md"), *ROOT.glob("batchdigits/**/*.py"), *ROOT.glob("models/**/*.json")]:
        assert not re.search(r"/(home|root|Users)/\w", path.read_text(encoding="utf-8")), path
