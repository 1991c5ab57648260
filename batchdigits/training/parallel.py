"""Work shared out among processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed

from batchdigits.training.progress import Progress

T = TypeVar("T")


def run_chunks(
    work: Callable[..., T], tasks: Sequence[tuple[Any, ...]], *, jobs: int, progress: Progress, title: str
) -> list[T]:
    """Call `work` with every task's arguments; return the results in the tasks' order."""
    results = Parallel(n_jobs=jobs, return_as="generator")(delayed(work)(*task) for task in tasks)
    return list(progress(results, total=len(tasks), title=title))
