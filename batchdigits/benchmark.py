"""How good models are on the test part of a benchmark such as MNIST, with the pictures of their mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from batchdigits.assessment import Assessment, assess_rows, judge_later
from batchdigits.classifiers.runner import Classifier, Scores
from batchdigits.reading import read_digit
from batchdigits.report.gallery import Shot, show_picture
from batchdigits.sources.labels import Matched
from batchdigits.training.datasets import Dataset
from batchdigits.training.progress import Progress, silent
from batchdigits.training.tiles import LabelledTiles, tile_pictures
from batchdigits.types import Box, PageId, Tiles


class TestPart:
    """The test part of a data set, as pages.

    Parameters
    ----------
    dataset : Dataset
        Its test part alone is looked at.
    name : str
        What its pages are pages of.
    """

    __test__ = False  # no test of pytest's

    def __init__(self, dataset: Dataset, name: str) -> None:
        self._pictures, self._labels = dataset.x_test, dataset.y_test
        self._pages = [PageId(name, number) for number in range(1, len(self._labels) + 1)]
        self._tiles: LabelledTiles | None = None

    def assess(self, classifiers: Sequence[Classifier], *, jobs: int = 1, progress: Progress = silent) -> Assessment:
        """Read every picture with every model.

        Parameters
        ----------
        classifiers : sequence of Classifier
            The models, whose tiles must be made alike.
        jobs : int
            Processes that make tiles.
        progress : Progress
            Told how far it is.
        """
        settings = classifiers[0].card.imaging
        self._tiles = tile_pictures(self._pictures, self._labels, settings, jobs=jobs, progress=progress)
        height, width = self._pictures.shape[1:]
        rows = {}
        for classifier in classifiers:
            scores, card = classifier(self._tiles.pixels), classifier.card
            rows[card.label] = [
                judge_later(
                    read_digit(
                        Tiles(page, (Box(0, 0, width, height),), self._tiles.pixels[number : number + 1]),
                        Scores(scores.probabilities[number : number + 1], scores.known[number : number + 1]),
                        card.thresholds,
                        card.label,
                    )
                )
                for number, page in enumerate(self._pages)
            ]
        truth = {page: str(label) for page, label in zip(self._pages, self._labels, strict=True)}
        return assess_rows(rows, lambda pages: Matched(truth, (), ()))

    def take_shots(self, pages: Iterable[PageId]) -> dict[PageId, Shot]:
        """Return the pictures of some pages that `assess` has read."""
        if self._tiles is None:
            return {}
        return {
            page: show_picture(np.uint8(255) - self._pictures[page.number - 1], self._tiles.pixels[page.number - 1])
            for page in pages
        }
