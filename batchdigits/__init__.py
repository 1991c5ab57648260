"""Handwritten digits in photos and scans to rows of data.

>>> from batchdigits import classify
>>> for row in classify("samples/images/scans"):
...     print(row.page.file, row.prediction, row.status)  # doctest: +SKIP
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchdigits.batch import classify, classify_array
    from batchdigits.classifiers.runner import Classifier, load_model
    from batchdigits.errors import BatchdigitsError, ExitCode
    from batchdigits.types import Box, Digit, PageId, Row, Status

__version__ = "0.1.0"

# Microsoft's builds of onnxruntime (1.31) report their use to a server, unless told not to before their import
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "classify": "batch",
    "classify_array": "batch",
    "Classifier": "classifiers.runner",
    "load_model": "classifiers.runner",
    "BatchdigitsError": "errors",
    "ExitCode": "errors",
    "Box": "types",
    "Digit": "types",
    "PageId": "types",
    "Row": "types",
    "Status": "types",
}

__all__ = [
    "BatchdigitsError",
    "Box",
    "Classifier",
    "Digit",
    "ExitCode",
    "PageId",
    "Row",
    "Status",
    "classify",
    "classify_array",
    "load_model",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line's help must not wait for OpenCV."""
    if name not in _HOMES:
        raise AttributeError(f"module 'batchdigits' has no attribute {name!r}")
    return getattr(import_module(f"batchdigits.{_HOMES[name]}"), name)
