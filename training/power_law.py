"""Is a tail a power law, from where on, how steep; and does a lognormal fit it better?

The method is that of Clauset, Shalizi and Newman: Power-law distributions in empirical data (2009).
A straight line through a log-log histogram, which is what is often shown, is biased and looks
convincing for tails of any shape.
"""

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr, zeta

from stream.contracts.errors import DatasetError
from training.tower_inputs import Ints

Doubles: TypeAlias = npt.NDArray[np.float64]

# Exponents tried. Those of counts in the world are between 1.5 and 4; the error is far above 0.005.
_EXPONENTS: Final = np.arange(1.01, 6.0, 0.005)
_MIN_TAIL: Final = 50  # values; fewer tell no shape from another
_STARTS: Final = 60  # beginnings of the tail tried, evenly spaced among the distinct values


class PowerLaw(NamedTuple):
    """P(X = x) = x ** -exponent / zeta(exponent, start), for x from `start` on.

    Attributes:
        exponent: of maximum likelihood.
        error: its standard error.
        start: where the tail begins: the value that brings law and data closest.
        tail: how many values are in it.
        distance: the largest difference between its distribution and the law's (Kolmogorov and
            Smirnov).
    """

    exponent: float
    error: float
    start: int
    tail: int
    distance: float

    def survival(self, at: Ints) -> Doubles:
        """f64[n]: P(X >= x) at each x, `start` and more."""
        chances: Doubles = zeta(self.exponent, at) / zeta(self.exponent, self.start)
        return chances


class Contest(NamedTuple):
    """A power law against a lognormal on the same tail.

    Attributes:
        advantage: mean log-likelihood of a value under the power law, less that under the
            lognormal; negative where the lognormal fits better.
        p: the chance of so large an advantage, either way, if both were as close to the truth.
    """

    advantage: float
    p: float


def fit_power_law(values: Ints) -> PowerLaw:
    """The power law that the largest of these counts follow most closely.

    Args:
        values: i64[n] counts, 1 and more.

    Raises:
        DatasetError: there are too few to speak of a tail.
    """
    if len(values) < _MIN_TAIL:
        raise DatasetError(f"{len(values)} values have no tail: give {_MIN_TAIL} or more")
    values = np.sort(values)
    distinct = np.unique(values[: len(values) - _MIN_TAIL + 1])
    chosen = np.linspace(0, len(distinct) - 1, min(_STARTS, len(distinct))).round().astype(int)
    return min((_fit_from(values, int(start)) for start in distinct[chosen]), key=_distance)


def against_lognormal(values: Ints, law: PowerLaw) -> Contest:
    """Vuong's test for models that are not nested (1989), the lognormal cut off and rounded alike.

    Args:
        values: i64[n] as the law was fitted to.
        law: from `fit_power_law`.
    """
    tail = values[values >= law.start]
    power = -law.exponent * np.log(tail) - np.log(zeta(law.exponent, law.start))
    logs = np.log(tail)
    found = minimize(
        lambda x: -_lognormal(tail, law.start, x[0], np.exp(x[1])).mean(),
        x0=(logs.mean(), np.log(max(logs.std(), 0.1))),
        method="Nelder-Mead",
        options={"maxiter": 2000, "xatol": 1e-6, "fatol": 1e-9},
    )
    difference = power - _lognormal(tail, law.start, found.x[0], np.exp(found.x[1]))
    spread = difference.std() / np.sqrt(len(tail))
    z = difference.mean() / spread if spread else 0.0
    return Contest(float(difference.mean()), float(2 * ndtr(-abs(z))))


def _fit_from(values: Ints, start: int) -> PowerLaw:
    tail = values[np.searchsorted(values, start) :]
    likelihood = -np.log(zeta(_EXPONENTS, start)) - _EXPONENTS * np.log(tail).mean()
    exponent = float(_EXPONENTS[likelihood.argmax()])
    law = PowerLaw(exponent, (exponent - 1) / np.sqrt(len(tail)), start, len(tail), 0.0)
    distinct = np.unique(tail)
    at = np.union1d(distinct, distinct + 1)  # between two values, only the law falls
    observed = 1 - np.searchsorted(tail, at) / len(tail)
    return law._replace(distance=float(np.abs(observed - law.survival(at)).max()))


def _distance(law: PowerLaw) -> float:
    return law.distance


def _lognormal(tail: Ints, start: int, mean: float, deviation: float) -> Doubles:
    """f64[n]: log P(x <= X < x + 1, given X >= start), each count taken as the middle of 1."""

    def log_survival(x: npt.NDArray[np.floating[Any]]) -> Doubles:
        logs: Doubles = log_ndtr((mean - np.log(x)) / deviation)
        return logs

    upper, lower = log_survival(tail + 0.5), log_survival(tail - 0.5)
    mass = lower + np.log(-np.expm1(np.minimum(upper - lower, -1e-300)))
    chances: Doubles = mass - log_survival(np.array([start - 0.5]))
    return chances
