"""How sure one may be that variants differ, at any time and as often as one looks.

People are what chance has assigned, so people are what is compared, though rates are of
impressions: the variance of a ratio of two sums over people comes from the delta method (Deng et
al., "Applying the Delta Method in Metric Analytics", 2018).

Who looks at a fixed test whenever there is news, and stops once it says "significant", is wrong far
more often than in 5% of the cases. What is said here beside it holds at all times at once: the
mixture sequential probability ratio test (Johari et al., "Always Valid Inference", 2017), with the
estimate's variance in the place of the number of people, which for means of independent people is
the same as the asymptotic confidence sequence of Waudby-Smith et al. (2021). It takes the estimate
for normal, as it soon is, so nothing is said of variants with fewer than `ENOUGH` people behind it.

All functions take numbers or arrays of them, elementwise.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, ndtri

Values = npt.NDArray[np.float64]

ALPHA: Final = 0.05  # how often a difference may be seen where there is none

# People a variant behind an estimate (`behind`), from which on its distribution is normal enough.
# With fewer, one person's many impressions decide, or a few people's ratings of thousands who were
# shown something, and an estimated variance may be far from the true one.
ENOUGH: Final = 50

# Probability below which the numbers of people are not what the weights ask for (Fabijan et al.,
# 2019): lower than `ALPHA`, for a report is looked at often and a mismatch condemns all of it.
MISMATCH: Final = 0.001


class Ratio(NamedTuple):
    """Sums over the people of a variant, for the rate of their y's to their x's.

    Attributes:
        people: how many.
        y, x: sums of the two.
        yy, xy, xx: sums of their products.
    """

    people: Values
    y: Values
    x: Values
    yy: Values
    xy: Values
    xx: Values

    @classmethod
    def of(cls, sums: Values, y: Values, x: Values) -> "Ratio":
        """That of two linear combinations of figures.

        Args:
            sums: f64[..., 1 + n, 1 + n] of products of figures, the first of which is 1.
            y: f64[n] coefficients of the figures.
            x: likewise; of nothing but zeros, for a mean over people: x is 1 then.
        """
        above = np.concatenate([[0.0], y])
        below = np.concatenate([[0.0 if np.any(x) else 1.0], x])
        first = sums[..., 0, :]
        return cls(
            first[..., 0],
            first @ above,
            first @ below,
            (sums @ above) @ above,
            (sums @ above) @ below,
            (sums @ below) @ below,
        )


class Estimate(NamedTuple):
    """A rate, and the variance that chance gives it; NaN where nothing was counted."""

    rate: Values
    variance: Values


class Comparison(NamedTuple):
    """What is known of a difference; all of it NaN where there is not enough to say anything.

    Attributes:
        difference: treatment less control.
        low, high: its confidence interval, for whoever looks once, at a time set before.
        always_low, always_high: its confidence sequence, for whoever looks at any time.
        p: the probability of a difference as large, for whoever looks once.
        always_p: the always-valid p-value.
        uplift: the difference as a share of the control's rate.
        uplift_low, uplift_high: the interval of that, for whoever looks once.
    """

    difference: Values
    low: Values
    high: Values
    always_low: Values
    always_high: Values
    p: Values
    always_p: Values
    uplift: Values
    uplift_low: Values
    uplift_high: Values


def estimate(ratio: Ratio) -> Estimate:
    """y / x, with the variance n / (n - 1) * sum (y_i - r x_i)^2 / (sum x_i)^2 over n people."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = ratio.y / ratio.x
        squares = ratio.yy - 2 * rate * ratio.xy + rate**2 * ratio.xx
        variance = np.maximum(squares, 0) * ratio.people / (ratio.people - 1) / ratio.x**2
    known = (ratio.people > 1) & (ratio.x > 0)
    return Estimate(np.where(known, rate, np.nan), np.where(known, variance, np.nan))


def behind(ratio: Ratio) -> Values:
    """How many people a rate rests on: (sum x)^2 / sum x^2, Kish's effective sample size.

    Of n people who have the same x, and others who have none, it is n. 0 where nothing was counted.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ratio.xx > 0, ratio.x**2 / ratio.xx, 0.0)


def compare(control: Ratio, treatment: Ratio, effect: float, alpha: float = ALPHA) -> Comparison:
    """Treatment against control.

    Args:
        effect: the uplift that is looked for: the test is most powerful for one about as large.
        alpha: how often a difference may be seen where there is none.
    """
    one, other = estimate(control), estimate(treatment)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference, variance = other.rate - one.rate, one.variance + other.variance
        whole = (control.y + treatment.y) / (control.x + treatment.x)
        enough = np.minimum(behind(control), behind(treatment)) >= ENOUGH
        variance = np.where(enough & (variance > 0), variance, np.nan)
        always_p, around = always_valid(difference, variance, effect * np.abs(whole), alpha)
        z = float(ndtri(1 - alpha / 2))
        deviation = np.sqrt(variance)
        ratio = other.rate / one.rate
        relative = np.sqrt(other.variance + ratio**2 * one.variance) / np.abs(one.rate)
        relative = np.where(np.isnan(variance), np.nan, relative)
        return Comparison(
            difference,
            difference - z * deviation,
            difference + z * deviation,
            difference - around,
            difference + around,
            chdtrc(1, difference**2 / variance),
            always_p,
            ratio - 1,
            ratio - 1 - z * relative,
            ratio - 1 + z * relative,
        )


def preference(ratio: Ratio, effect: float, alpha: float = ALPHA) -> Comparison:
    """A rate against 0, such as how many more chose one of two; without an uplift."""
    found = estimate(ratio)
    with np.errstate(divide="ignore", invalid="ignore"):
        sure = (behind(ratio) >= ENOUGH) & (found.variance > 0)
        variance = np.where(sure, found.variance, np.nan)
        always_p, around = always_valid(found.rate, variance, np.asarray(effect), alpha)
        around_once = float(ndtri(1 - alpha / 2)) * np.sqrt(variance)
        none = np.full_like(found.rate, np.nan)
        return Comparison(
            found.rate,
            found.rate - around_once,
            found.rate + around_once,
            found.rate - around,
            found.rate + around,
            chdtrc(1, found.rate**2 / variance),
            always_p,
            none,
            none,
            none,
        )


def always_valid(
    estimate: Values, variance: Values, scale: Values, alpha: float = ALPHA
) -> tuple[Values, Values]:
    """(p-value, half width of the confidence sequence) of an estimate that is 0 under the null.

    With the true value drawn from N(0, scale^2) under the alternative the likelihood ratio is
    sqrt(V / (V + s^2)) exp(d^2 s^2 / (2 V (V + s^2))); it exceeds 1/a under the null, ever, with
    probability a at most.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        more = scale**2
        both = variance + more
        log_ratio = 0.5 * np.log(variance / both) + estimate**2 * more / (2 * variance * both)
        p = np.exp(-np.maximum(log_ratio, 0.0))
        half = np.sqrt(variance * both / more * (2 * np.log(1 / alpha) + np.log(both / variance)))
    return p, half


def mismatch(counts: Values, weights: Values) -> float:
    """The probability of numbers of people so far from the weights: Pearson's chi-square test.

    Args:
        counts: f64[k] people of each variant.
        weights: f64[k] of each, in proportion to the chance of it.

    Returns 1 where nobody was counted.
    """
    if not counts.sum():
        return 1.0
    expected = counts.sum() * weights / weights.sum()
    return float(chdtrc(len(counts) - 1, ((counts - expected) ** 2 / expected).sum()))
