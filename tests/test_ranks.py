from __future__ import annotations

import numpy as np
import pytest

from batchdigits.imaging.ranks import median, percentile


@pytest.mark.parametrize("percent", [0, 25, 75, 90, 100])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 10, 41, 1000, 4097])
def test_a_percentile_is_numpys_to_the_last_bit(size, percent):
    values = np.random.default_rng(size).random(size).astype(np.float32)
    before = values.copy()
    assert percentile(values, percent) == float(np.percentile(values, percent))
    assert (values == before).all()


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 10, 41, 1000])
def test_a_median_is_numpys_to_the_last_bit(size, dtype):
    values = (1000 * np.random.default_rng(size).random(size)).astype(dtype)
    before = values.copy()
    assert median(values) == float(np.median(values))
    assert (values == before).all()
