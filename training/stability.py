"""Whether a distribution has moved, and how much of that a small sample would show by itself.

The population stability index of shares p before and q now is sum((q - p) ln(q / p)), the symmetric
Kullback-Leibler divergence (Siddiqi: Credit risk scorecards, 2006). Where nothing has moved it is
still above 0: near p it is sum((q - p)^2 / p), which for independent events is a multiple of a
chi-square (Yurdakul and Naranjo: Statistical properties of the population stability index, 2020).
Ratings of one person are alike, so it is a sum of chi-squares weighted by the eigenvalues of
M = diag(1/p) V, V being the covariance over people of q - p (Rao and Scott: The analysis of
categorical data from complex sample surveys, 1981). That sum is taken for the one multiple of a
chi-square that has its mean tr(M) and its variance 2 tr(M^2) (Satterthwaite, 1946).
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from training.tower_inputs import Ints

Numbers = npt.NDArray[np.float64]

BINS: Final = 10  # of a number: tenths of the reference, as is usual
CERTAINTY: Final = 0.999  # a dozen checks every quarter of an hour are 1,200 a day

# Of each sample: variances of shares over fewer people than this say too little of themselves.
MIN_USERS: Final = 20


@dataclass(frozen=True)
class Sample:
    """What some people did, by bin.

    Attributes:
        counts: f64[users, B], how much of each user's is in each bin.
    """

    counts: Numbers

    @classmethod
    def of(cls, users: Ints, bins: Ints, of: int, weights: Numbers | None = None) -> "Sample":
        """From events.

        Args:
            users: i64[n] whose each event is.
            bins: i64[n] which bin it is in, below `of`.
            of: bins there are.
            weights: f64[n] what each counts, 1 unless told.
        """
        rows = np.unique(users, return_inverse=True)[1]
        size = int(rows.max(initial=-1)) + 1
        places = rows * of + bins
        return cls(np.bincount(places, weights, size * of).astype(np.float64).reshape(size, of))

    @property
    def users(self) -> int:
        return len(self.counts)

    @property
    def shares(self) -> Numbers:
        """f64[B], smoothed by half a count in every bin: none of them is 0."""
        total = self.counts.sum(axis=0) + 0.5
        return np.asarray(total / total.sum(), np.float64)

    @property
    def covariance(self) -> Numbers:
        """f64[B, B]: of the shares, were as many other people drawn, two at least.

        The linearised one of a ratio of two sums over people.
        """
        n = self.counts.sum()
        apart = self.counts - np.outer(self.counts.sum(axis=1), self.counts.sum(axis=0) / n)
        return np.asarray(self.users / (self.users - 1) * (apart.T @ apart) / n**2, np.float64)


class Shift(NamedTuple):
    """How far a distribution has moved.

    Attributes:
        amount: the population stability index; NaN where one of the samples is of fewer than
            MIN_USERS people.
        noise: what it stays below with a chance of CERTAINTY where nothing has moved.
    """

    amount: float
    noise: float


def shift(reference: Sample, newest: Sample) -> Shift:
    """From the one to the other, both with the same bins."""
    if min(reference.users, newest.users) < MIN_USERS:
        return Shift(np.nan, np.nan)
    before, now = reference.shares, newest.shares
    amount = float(((now - before) * np.log(now / before)).sum())
    spread = (reference.covariance + newest.covariance) / ((before + now) / 2)[:, None]
    mean, half_variance = np.trace(spread), np.sum(spread * spread.T)
    if not mean:  # everybody is alike
        return Shift(amount, 0.0)
    degrees = mean**2 / half_variance
    return Shift(amount, float(mean / degrees * stats.chi2.ppf(CERTAINTY, degrees)))


def edges(values: Numbers) -> Numbers:
    """f64[at most BINS - 1], ascending: what parts these numbers, NaN left out, into tenths.

    A number that many of them share is in one bin, so there may be fewer.
    """
    known = values[~np.isnan(values)]
    return np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else known


def binned(values: Numbers, of: Numbers) -> tuple[Ints, int]:
    """i64[n], and how many there are: the bin of each number between these `edges`.

    The lowest bin ends with its edge; NaN is in a bin of its own, the last.
    """
    bins = np.searchsorted(of, values, side="left").astype(np.int64)
    bins[np.isnan(values)] = len(of) + 1
    return bins, len(of) + 2
