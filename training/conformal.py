"""Intervals that hold a stated share of what comes, whatever the model that they are around.

Split conformal prediction: Vladimir Vovk, Alexander Gammerman, Glenn Shafer: Algorithmic learning
in a random world, 2005. Locally weighted, so that they are wide where errors are large: Jing Lei,
Max G'Sell, Alessandro Rinaldo, Ryan Tibshirani, Larry Wasserman: Distribution-free predictive
inference for regression, JASA 113, 2018.

The size of an error is |error| / scale, its scale being how large it was expected to be. A new one
is within a quantile of n others with the stated probability. That takes no more than that it might
as well have been among those n: no scale has to be right.
"""

from math import ceil
from typing import Final

import numpy as np

from stream.contracts.errors import ConfigurationError
from training.tower_inputs import Floats

_ROUNDING: Final = 1e-9  # (n + 1) * coverage that is a whole number stays one


def within(sizes: Floats, coverage: float) -> float:
    """So many scales from its prediction a value lies with at least this probability.

    It is the ceil((n + 1) * coverage)-th smallest of n sizes: the new one is equally likely to have
    any place among n + 1. Infinite where n are too few to say.

    Args:
        sizes: f32[n], ascending.
        coverage: between 0 and 1.

    Raises:
        ConfigurationError: the coverage is not between 0 and 1.
    """
    if not 0 < coverage < 1:
        raise ConfigurationError(f"coverage = {coverage} is not between 0 and 1: give 0.9, 0.95 ..")
    place = ceil((len(sizes) + 1) * coverage - _ROUNDING)
    return float(sizes[place - 1]) if place <= len(sizes) else np.inf
