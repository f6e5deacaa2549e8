"""What is known of an experiment: its variants' sums, made into rates and comparisons."""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from api.experiments import statistics
from api.experiments.described import described
from api.experiments.statistics import (
    ALPHA,
    MISMATCH,
    Ratio,
    Values,
    compare,
    estimate,
    mismatch,
    preference,
)
from api.schemas.experiments import (
    Comparison,
    Counts,
    Metric,
    Mismatch,
    Report,
)
from stream.contracts.experiments import ExperimentEvent
from stream.experiments.assignment import INTERLEAVED
from stream.experiments.outcomes import FIGURES, Sums


class _Rate(NamedTuple):
    """Figures by their coefficients: what is divided by what."""

    y: Mapping[str, float]
    x: Mapping[str, float]


_RATES: Final[dict[Metric, _Rate]] = {
    "click_rate": _Rate({"clicked": 1}, {"impressions": 1}),
    "watch_rate": _Rate({"watched": 1}, {"impressions": 1}),
    "skip_rate": _Rate({"skipped": 1}, {"impressions": 1}),
    "mean_rating": _Rate({"half_stars": 0.5}, {"ratings": 1}),
}
_PREFERENCE: Final = _Rate({"won": 1, "lost": -1}, {"won": 1, "lost": 1})


def report(event: ExperimentEvent, sums: Sums, now: int) -> Report:
    """What is known at a time in ms.

    Args:
        event: the definition, in the round that the sums are of.
        sums: of its variants.
    """
    if event.kind == "interleaving":
        return _interleaved(event, sums, now)
    squares = {variant.name: _squares(sums, variant.name) for variant in event.variants}
    people = np.array([squares[variant.name][0, 0] for variant in event.variants])
    p = mismatch(people, np.array([variant.weight for variant in event.variants]))
    others = [variant.name for variant in event.variants if variant.name != event.control]
    alpha = ALPHA / len(others)  # Bonferroni: that any of them seems to differ
    control = squares[event.control]
    return Report(
        experiment=described(event, now),
        trustworthy=p >= MISMATCH,
        sample_ratio=Mismatch(p=p, alarm=p < MISMATCH),
        variants=[_counts(name, found) for name, found in squares.items()],
        comparisons=[
            _compared(name, metric, control, squares[name], event.effect, alpha)
            for name in others
            for metric in _RATES
        ],
    )


def _interleaved(event: ExperimentEvent, sums: Sums, now: int) -> Report:
    """Everybody has both variants, so nothing can be mismatched, and one number says it all."""
    squares = _squares(sums, INTERLEAVED)
    found = preference(_ratio(squares, _PREFERENCE), event.effect)
    other = next(it.name for it in event.variants if it.name != event.control)
    rates = 0.0, _known(found.difference)
    return Report(
        experiment=described(event, now),
        trustworthy=True,
        sample_ratio=Mismatch(p=1.0, alarm=False),
        variants=[_counts(INTERLEAVED, squares)],
        comparisons=[_comparison(other, "preference", rates, found, ALPHA)],
    )


def _compared(
    variant: str, metric: Metric, control: Values, treatment: Values, effect: float, alpha: float
) -> Comparison:
    one, other = (_ratio(squares, _RATES[metric]) for squares in (control, treatment))
    rates = _known(estimate(one).rate), _known(estimate(other).rate)
    return _comparison(variant, metric, rates, compare(one, other, effect, alpha), alpha)


def _comparison(
    variant: str,
    metric: Metric,
    rates: tuple[float | None, float | None],
    found: statistics.Comparison,
    alpha: float,
) -> Comparison:
    return Comparison(
        variant=variant,
        metric=metric,
        control=rates[0],
        treatment=rates[1],
        difference=_known(found.difference),
        interval=_between(found.low, found.high),
        p=_known(found.p),
        anytime_interval=_between(found.always_low, found.always_high),
        anytime_p=_known(found.always_p),
        uplift=_known(found.uplift),
        uplift_interval=_between(found.uplift_low, found.uplift_high),
        significant=bool(found.always_p <= alpha),
    )


def _counts(name: str, squares: Values) -> Counts:
    impressions = squares[0, 1 + FIGURES.index("impressions")]
    return Counts(
        variant=name,
        users=int(squares[0, 0]),
        impressions=int(impressions),
        rates={
            metric: _known(ratio.y / ratio.x) if ratio.x else None
            for metric, rate in _RATES.items()
            for ratio in [_ratio(squares, rate)]
        },
    )


def _squares(sums: Sums, variant: str) -> Values:
    """f64[1 + n, 1 + n]: a variant's sums of products of two figures, the first of which is 1."""
    found = np.zeros((len(FIGURES) + 1, len(FIGURES) + 1))
    for (key, a, b), value in sums.items():
        if key.variant == variant:
            found[a, b] = found[b, a] = value
    return found


def _ratio(squares: Values, rate: _Rate) -> Ratio:
    y, x = (
        np.array([coefficients.get(name, 0.0) for name in FIGURES])
        for coefficients in (rate.y, rate.x)
    )
    return Ratio.of(squares, y, x)


def _known(value: Values) -> float | None:
    return float(value) if math.isfinite(value) else None


def _between(low: Values, high: Values) -> tuple[float, float] | None:
    return (float(low), float(high)) if math.isfinite(low) and math.isfinite(high) else None
