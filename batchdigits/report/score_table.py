"""The scores of models as a table: for a terminal, or in Markdown for a summary."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from batchdigits.report.tables import aligned, markdown

HEADINGS = ("model", "right", "95 % interval", "marked ok", "wrong of these", "ECE", "digit errors")


def format_scores(scores: Mapping[str, Any], form: str) -> str:
    """Return the scores of every model: a line each, then what sets them apart; or all there is, as JSON.

    Parameters
    ----------
    scores : mapping
        As `Assessment.scores` returns them.
    form : str
        ``table``, ``md`` or ``json``.
    """
    if form == "json":
        return json.dumps(scores, indent=2, ensure_ascii=False) + "\n"
    lines = [HEADINGS, *(_cells(model) for model in scores["models"])]
    table = markdown(lines) if form == "md" else aligned(lines)
    notes = [_describe(pair) for pair in scores["comparisons"]]
    notes += [_advise(model) for model in scores["models"] if "target_error" in model]
    if scores["unlabelled"]:
        notes.append(f"{len(scores['unlabelled']):,} pages have no label: {_some(scores['unlabelled'])}")
    if scores["unused"]:
        notes.append(f"{len(scores['unused']):,} labels have no page: {_some(scores['unused'])}")
    return table + "".join(f"\n{'- ' if form == 'md' else ''}{note}" for note in notes) + "\n" * bool(notes)


def format_csv(scores: Mapping[str, Any]) -> str:
    """Return every figure in a line of its own: model, what it is of, its name, its value."""
    lines = ["model,of,name,value"]
    for model in scores["models"]:
        label = model["model"]
        for of, name, value in _figures({key: value for key, value in model.items() if key not in ("model", "schema")}):
            lines.append(f"{label},{of},{name},{'' if value is None else value}")
    return "\n".join(lines) + "\n"


def _figures(scores: Mapping[str, Any], of: str = "") -> Iterator[tuple[str, str, float | None]]:
    for name, value in scores.items():
        if isinstance(value, Mapping):
            yield from _figures(value, name)
        elif name == "each":
            for digit, own in enumerate(value):
                yield from _figures(own, f"digit {digit}")
        elif name == "confusion":
            for digit, counts in enumerate(value):
                yield from (
                    (f"written {digit}", f"read {'no digit' if n == 10 else n}", c) for n, c in enumerate(counts)
                )
        elif not isinstance(value, list):
            yield of, name, value


def _cells(model: Mapping[str, Any]) -> tuple[str, ...]:
    ok = model["status"]["ok"]
    return (
        model["model"],
        f"{model['right']:,} of {model['count']:,} = {model['accuracy']:.2%}",
        f"{model['accuracy_low']:.1%} to {model['accuracy_high']:.1%}",
        f"{model['ok_share']:.1%}",
        f"{ok['count'] - ok['right']:,} of {ok['count']:,}",
        _percent(model["calibration"]["ece"]),
        _percent(model["text"]["digit_error_rate"]),
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def _describe(pair: Mapping[str, Any]) -> str:
    one, other = pair["models"]
    return (
        f"{one} alone is right on {pair['first_alone']:,}, {other} alone on {pair['second_alone']:,} "
        f"(McNemar's exact test: p = {pair['p_value']:.3g})"
    )


def _advise(model: Mapping[str, Any]) -> str:
    target, threshold = model["target_error"], model["review_below"]
    if threshold is None:
        return f"{model['model']}: no confidence is high enough for {target:.2%} wrong"
    # rounded up: what is not quite as sure must not pass
    below = math.ceil(threshold * 1e6) / 1e6
    return f"{model['model']}: with classify --review-below {below:.6f}, at most {target:.2%} of these were wrong"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
