"""Statistics that outliers do not change."""

from __future__ import annotations

import numpy as np

# Of a normal distribution, the standard deviation is so many times the median magnitude.
MEDIAN_TO_DEVIATION = 1.4826


def quantile(values: np.ndarray, share: float) -> float:
    """The value above that share of (n,) values, not interpolated: several times faster than numpy's."""
    place = int(share * len(values))
    return float(np.partition(values, place)[place])
