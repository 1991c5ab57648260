"""Shared fixtures. Real photos are found through BATCHDIGITS_TEST_DATA; without it their tests skip, saying so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from batchdigits.classifiers.runner import Classifier, load_model
from batchdigits.classifiers.store import shipped_models

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "samples"

settings.register_profile("any machine", deadline=None)  # a busy one is no failure
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--runslow", action="store_true", help="run slow tests")
    parser.addoption("--update-golden", action="store_true", help="rewrite samples/expected.csv")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--runslow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: give --runslow"))


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the models and settings of whoever runs the tests out of them."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
    for name in list(os.environ):
        if name.startswith("BATCHDIGITS_") and name != "BATCHDIGITS_TEST_DATA":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def knn() -> Classifier:
    return load_model(shipped_models() / "knn")


@pytest.fixture(scope="session")
def cnn() -> Classifier:
    return load_model(shipped_models() / "cnn")


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = os.environ.get("BATCHDIGITS_TEST_DATA")
    if not folder:
        pytest.skip("BATCHDIGITS_TEST_DATA is not set: no real photos to test with")
    return Path(folder)
