"""Bootstrap intervals of means over images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

FEWEST = 3
"""Images; of fewer no interval is stated."""
_LEVEL = 0.95
_RESAMPLES = 2000
_SEED = 0


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of the mean; None of fewer than three values.

    Images are drawn, not patients or trainings: what another patient or another training would
    have given is not in it.
    """
    if len(values) < FEWEST:
        return None
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = stats.bootstrap(
        (np.asarray(values, float),),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=_LEVEL,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(found.low), float(found.high)
