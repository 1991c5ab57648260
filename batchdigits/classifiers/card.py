"""The model folder: `model.onnx`, and `card.json` that says what it is and how far to trust it."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from batchdigits.errors import ModelError
from batchdigits.imaging.settings import IMAGING_VERSION, ImagingSettings

CARD_FORMAT = 2
"""2 added `members` and `curves`; a card of format 1 reads as one without them."""

CARD_FILE = "card.json"
WEIGHTS_FILE = "model.onnx"

_LARGEST = 1e9  # of the numbers that decide: larger ones are damage
_MOST = 1e15  # of those that are only shown


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a graph's scores become probabilities.

    The ten scores z give P(c | a digit) = softmax(z / temperature), and, by their energy E = log sum exp(z), how much
    the tile is like anything seen in training: P(a digit) = 1 / (1 + exp(-(E - energy_middle) / energy_scale)).
    """

    temperature: float
    energy_middle: float
    energy_scale: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on a reading is marked ``ok``."""

    review_below: float  #: confidence
    not_a_digit_below: float = 0.5  #: P(a digit)


@dataclass(frozen=True, slots=True)
class Member:
    """A model that votes in an ensemble."""

    name: str  #: a folder beside the ensemble's own, or wherever models are found by name
    digest: str  #: of exactly the model that the weight was fitted for
    weight: float  #: factor of its calibrated log odds


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a model."""

    name: str
    recipe: Mapping[str, Any]  #: what was trained and how, seed included
    imaging: ImagingSettings  #: what its tiles must be made with
    data: Mapping[str, Any]  #: names and digests of the training data, with their attribution
    calibration: Calibration
    thresholds: Thresholds
    scores: Mapping[str, float]  #: measured, see `batchdigits.training.train`
    weights_sha256: str  #: empty for an ensemble, which has no graph of its own
    weights_bytes: int
    created: str  #: ISO date
    libraries: Mapping[str, str] = field(default_factory=dict)
    limits: str = ""  #: where it fails, for people
    members: tuple[Member, ...] = ()  #: of an ensemble
    curves: Mapping[str, Any] = field(default_factory=dict)  #: see `batchdigits.training.measure`
    format: int = CARD_FORMAT

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits of all that decides a row: weights, imaging, calibration, thresholds."""
        parts = [
            self.weights_sha256,
            self.imaging.to_dict(),
            asdict(self.calibration),
            asdict(self.thresholds),
            *(asdict(member) for member in self.members),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """Name and digest, as in the rows."""
        return f"{self.name}@{self.digest}"

    def to_json(self) -> str:
        """Return the text of `card.json`."""
        values = {"format": self.format} | {f.name: getattr(self, f.name) for f in fields(self) if f.name != "format"}
        for name in ("imaging", "calibration", "thresholds"):
            values[name] = asdict(values[name])
        values["members"] = [asdict(member) for member in self.members]
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def read_card(folder: Path) -> Card:
    """Read the card of a model folder.

    Raises
    ------
    ModelError
        If there is none, it is damaged, or it was written by a newer version.
    """
    try:
        values = json.loads(_read(folder / CARD_FILE).decode())
    except FileNotFoundError as error:
        raise ModelError(f"{folder} holds no {CARD_FILE}: it is no model folder.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder / CARD_FILE} cannot be read: {error}. Train the model again.") from error
    found = values.get("format") if isinstance(values, dict) else None
    if isinstance(found, int) and found > CARD_FORMAT:
        raise ModelError(
            f"{folder} has format {found}, newer than {CARD_FORMAT}. Upgrade batchdigits, or train the model again."
        )
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ModelError(f"{folder / CARD_FILE} is damaged: no valid format number. Train the model again.")
    try:
        settings = values.pop("imaging")
        missing = {f.name for f in fields(ImagingSettings)} - set(settings)
        if missing and settings.get("version") in (None, IMAGING_VERSION):
            # a setting left out must not silently become this version's own
            raise ValueError(f"its imaging settings lack {', '.join(sorted(missing))}")
        imaging = ImagingSettings(**settings)
        card = Card(
            imaging=imaging,
            calibration=Calibration(**{key: float(value) for key, value in values.pop("calibration").items()}),
            thresholds=Thresholds(**{key: float(value) for key, value in values.pop("thresholds").items()}),
            members=tuple(_read_member(member) for member in values.pop("members", ())),
            **values,
        )
        figures = [card.weights_bytes, *card.scores.values()]
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise ModelError(f"{folder / CARD_FILE} is damaged: {error}. Train the model again.") from error
    if imaging.version != IMAGING_VERSION:
        raise ModelError(
            f"{folder} was trained with imaging version {imaging.version}, this is version {IMAGING_VERSION}. "
            f"Train it again: batchdigits train {card.name}"
        )
    numbers = {**asdict(card.imaging), **asdict(card.calibration), **asdict(card.thresholds)}
    for name, value in numbers.items():
        if not isinstance(value, int | float) or not abs(value) < _LARGEST:  # not a number is not less, either
            raise ModelError(f"{folder / CARD_FILE} is damaged: {name} is {value!r}. Train the model again.")
        if value <= 0 and name in ("temperature", "energy_scale", "work_size", "min_work_size"):
            raise ModelError(f"{folder / CARD_FILE} is damaged: {name} must be positive. Train the model again.")
    for name in ("name", "created"):
        text = getattr(card, name)
        if not isinstance(text, str) or not text.isprintable():
            raise ModelError(f"{folder / CARD_FILE} is damaged: its {name} is {text!r}. Train the model again.")
    if not all(isinstance(figure, int | float) and not abs(figure) > _MOST for figure in figures):
        raise ModelError(f"{folder / CARD_FILE} is damaged: its figures are no numbers. Train the model again.")
    return card


def _read(path: Path) -> bytes:
    """Read a file; a pipe would have us wait for ever, and a device never ends."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no file")
    return path.read_bytes()


def _read_member(values: dict[str, Any]) -> Member:
    member = Member(values["name"], values["digest"], float(values["weight"]))
    if not (isinstance(member.name, str) and member.name == Path(member.name).name and member.name.strip(".")):
        raise ValueError(f"{member.name!r} is no name of a model")  # never a path: a card comes from anywhere
    if not (math.isfinite(member.weight) and member.weight > 0):
        raise ValueError(f"the weight of {member.name} is {member.weight}")
    return member


def read_weights(folder: Path, card: Card) -> bytes:
    """Read the graph of a model folder, proved to be the one its card describes.

    Raises
    ------
    ModelError
        If it is missing or is another.
    """
    path = folder / WEIGHTS_FILE
    try:
        weights = _read(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. Train the model again, or restore it.") from error
    if hashlib.sha256(weights).hexdigest() != card.weights_sha256:
        raise ModelError(f"{path} is damaged: it does not match the SHA-256 in its {CARD_FILE}. Restore or retrain it.")
    return weights
