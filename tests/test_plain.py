"""Flags are read in a plain way of our own: with what Typer would make of them, and its complaints."""

import pytest
from typer.core import TyperCommand
from typer.main import get_command
from typer.testing import CliRunner

from batchdigits.cli import app, plain

LINES = [
    ["a", "b/é"],
    [],
    ["", "."],
    ["x", "-o", "-", "-j", "3", "--max-pixels", "12", "--max-pages=0012", "--strict", "-q"],
    ["x", "--layout", "page", "--format", "jsonl", "--review-below", "0.25", "--models-dir", "."],
    ["x", "--review-below", "1"],
    ["x", "--review-below", ".5"],
    ["x", "--review-below", "1e-3"],
    ["x", "--exclude", "a", "--exclude", "", "--region", "1,2,3,4", "--labels", "nowhere.csv"],
    ["x", "-j", " 3 "],
    ["x", "-j", "+3"],
    ["x", "-j", "1_0"],
    ["x", "-j", "2.0"],
    ["x", "-j", "99999999999999999999"],
    ["x", "-j", "0"],
    ["x", "-j", "-1"],
    ["x", "-j", "three"],
    ["x", "-j", "٣"],
    ["x", "--review-below", "1.01"],
    ["x", "--review-below", "nan"],
    ["x", "--layout", "Page"],
    ["x", "--format", ""],
    ["x", "--nonsense"],
    ["x", "-o"],
]
SETTINGS = [
    {"BATCHDIGITS_STRICT": "yes", "BATCHDIGITS_JOBS": "2", "BATCHDIGITS_EXCLUDE": "a b"},
    {"BATCHDIGITS_STRICT": "", "BATCHDIGITS_LAYOUT": "number", "BATCHDIGITS_OUTPUT": "o.csv"},
    {"BATCHDIGITS_STRICT": "perhaps"},
    {"BATCHDIGITS_JOBS": "many"},
]


def understood(line, monkeypatch, *, plainly):
    """Return the values of all flags, or the complaint."""
    with monkeypatch.context() as patch:
        if not plainly:
            patch.setattr(plain, "_make_plain", lambda params: params)
        command = get_command(app).commands["classify"]
        assert isinstance(command, TyperCommand)
        try:
            found = command.make_context("classify", list(line)).params
        except Exception as error:
            return type(error).__name__, error.format_message()
        return {name: (type(value), value) for name, value in found.items()}


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_flags_mean_what_typer_makes_of_them(line, monkeypatch):
    assert understood(line, monkeypatch, plainly=True) == understood(line, monkeypatch, plainly=False)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_settings_from_outside_mean_what_typer_makes_of_them(settings, monkeypatch):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert understood(["x"], monkeypatch, plainly=True) == understood(["x"], monkeypatch, plainly=False)


def test_a_path_that_may_not_be_read_is_left_to_typer(tmp_path, monkeypatch):
    monkeypatch.setattr(plain.os, "access", lambda path, mode: False)
    given = str(tmp_path)
    assert understood([given], monkeypatch, plainly=True) == understood([given], monkeypatch, plainly=False)
    assert "not readable" in CliRunner().invoke(app, ["classify", given]).output


def test_a_typer_that_makes_no_validators_is_left_alone():
    class Flag:
        pass

    flags = [Flag()]
    assert plain._make_plain(flags) == flags and not vars(flags[0])
