from __future__ import annotations

import numpy as np
import pytest

from batchdigits.imaging.ranks import percentile


@pytest.mark.parametrize("percent", [0, 25, 75, 90, 100])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 10, 41, 1000, 4097])
def test_a_percentile_is_numpys_to_the_last_bit(size, percent):
    values = np.random.default_rng(size).random(size).astype(np.float32)
    before = values.copy()
    assert percentile(values, percent) == float(np.percentile(values, percent))
    assert (values == before).all()
