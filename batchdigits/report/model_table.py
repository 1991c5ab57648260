"""The table of models: what their cards say."""

from __future__ import annotations

import json
from pathlib import Path

from batchdigits.classifiers.card import read_card, read_weights
from batchdigits.classifiers.runner import load_model
from batchdigits.classifiers.store import find_all
from batchdigits.errors import ModelError
from batchdigits.report.tables import aligned, markdown

_HEADINGS = {
    "name": "model",
    "test_accuracy": "test",
    "test_ece": "ECE",
    "simulated_accuracy": "photos",
    "simulated_ok_share": "marked ok",
    "simulated_ok_accuracy": "of these right",
    "others_flagged": "no digit, flagged",
    "megabytes": "MB",
    "tiles_per_second": "tiles/s",
    "fit_seconds": "fit, s",
    "created": "trained",
    "digest": "digest",
    "folder": "folder",
}
_PERCENT = (
    "test_accuracy",
    "test_ece",
    "simulated_accuracy",
    "simulated_ok_share",
    "simulated_ok_accuracy",
    "others_flagged",
)


def describe(models_dir: Path | None) -> tuple[list[dict[str, str | float]], list[str]]:
    """Describe every model found.

    Returns
    -------
    models : list of dict
        The keys are those of the table.
    damaged : list of str
        A message for each model that cannot be used.
    """
    found: list[dict[str, str | float]] = []
    damaged: list[str] = []
    for folder in find_all(models_dir):
        try:
            card = read_card(folder)
            if card.members:
                load_model(folder, models_dir)  # its members must be there, and the right ones
            else:
                read_weights(folder, card)
        except ModelError as error:
            damaged.append(str(error))
            continue
        extra: dict[str, str | float] = {
            # an ensemble stores nothing: its members have their own lines
            "megabytes": "" if card.members else round(card.weights_bytes / 1e6, 2),
            "created": card.created,
            "digest": card.digest,
        }
        values: dict[str, str | float] = {"name": card.name, **card.scores, **extra, "folder": str(folder)}
        found.append({key: values.get(key, "") for key in _HEADINGS})
    return found, damaged


def format_table(models: list[dict[str, str | float]], form: str) -> str:
    """Return the table as text: ``json``, ``md``, or aligned for a terminal."""
    if form == "json":
        return json.dumps(models, indent=2, ensure_ascii=False) + "\n"
    cells = [list(_HEADINGS.values())]
    cells += [[_cell(key, model[key]) for key in _HEADINGS] for model in models]
    return markdown(cells) if form == "md" else aligned(cells)


def _cell(key: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    if key in _PERCENT:
        return f"{value:.2%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
