"""What results say, in sentences: who is ahead, by how much, and whether that may be chance."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from training import offline
from training.compare import CONFIDENCE, Difference, Interval
from training.prequential import State
from training.prequential_runs import by_age, difference
from training.runs import Result
from training.tables import called

BASELINE: Final = "popularity"  # what every model has to beat
_CHANCE: Final = 1 - CONFIDENCE


class Behind(NamedTuple):
    """A model beside the best one.

    Attributes:
        model: its name.
        difference: how much better than the best one it is: less than 0, or the order is chance.
        p_value: of the difference, corrected for how many models are compared.
    """

    model: str
    difference: Difference
    p_value: float

    @property
    def level(self) -> bool:
        """Whether nothing says that it is worse than the best."""
        return not self.p_value < _CHANCE


def ordered(results: Sequence[Result], name: str) -> list[Result]:
    """By a figure that they all have, best first."""
    return sorted(results, key=lambda result: -result.figures[name])


def behind(results: Sequence[Result], metric: str) -> list[Behind]:
    """All but the best of an offline evaluation by a metric of lists, beside it, best first."""
    best, *others = ordered(results, metric)
    found = offline.compared(results, best.question.model, [metric])
    names = [result.question.model for result in others]
    return _behind({name: found[name][metric] for name in names})


def behind_live(results: Sequence[Result], state: State, metric: str) -> list[Behind]:
    """The same of a prequential evaluation."""
    best, *others = ordered(results, f"{state}/{metric}")
    return _behind(
        {result.question.model: difference(result, state, best, state, metric) for result in others}
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected for their number: Holm, A simple sequentially rejective test procedure (1979).

    What is NaN stays so and counts for nothing.
    """
    p = np.array(p_values, np.float64)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    corrected = np.full(len(p), np.nan)
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return [float(value) for value in corrected]


def who_leads(results: Sequence[Result], name: str, others: Sequence[Behind]) -> str:
    """Who is best by a figure, who may be as good, and how that compares with popularity.

    Args:
        results: of one evaluation.
        name: of the figure.
        others: from `behind` or `behind_live`.
    """
    best = ordered(results, name)[0]
    text = [f"**{best.question.model}** is best with {called(name)} {_value(best, name)}"]
    level = [other.model for other in others if other.level]
    if not others:
        text.append("; nothing was measured beside it.")
    elif level:
        text.append(f". That may be chance beside {_listed(level)}: the differences are within it.")
    else:
        second = others[0]
        text.append(
            f", significantly ahead of all others: the next one, {second.model}, is "
            f"{_lower(second.difference.relative)}."
        )
    base = next((other for other in others if other.model == BASELINE), None)
    if base is not None:
        verdict = ", which may be chance" if base.level else ""
        text.append(f" {BASELINE.capitalize()} is {_lower(base.difference.relative)}{verdict}.")
        figures = {result.question.model: result.figures[name] for result in results}
        losers = [model for model, value in figures.items() if value < figures[BASELINE]]
        if losers:
            text.append(f" Below popularity: {_listed(losers)}.")
    return "".join(text)


def who_is_fresh(results: Sequence[Result], metric: str) -> str:
    """What the best fresh model gains by being fresh, over all users and the newest.

    Args:
        results: of a prequential evaluation with the states fresh, daily and frozen.
        metric: such as ``hit_rate@10``.
    """
    best = ordered(results, f"fresh/{metric}")[0]
    name = best.question.model
    text = []
    for state in ("daily", "frozen"):
        found = difference(best, "fresh", best, state, metric)
        text.append(
            f"Its {state} state reaches {_value(best, f'{state}/{metric}')}: fresh is "
            f"{_higher(found.relative)} ({_chance(found.p_value)})."
        )
    gains = [
        result.question.model
        for result in results
        if not difference(result, "fresh", result, "frozen", metric).p_value < _CHANCE
    ]
    if gains:
        text.append(f"Fresh state makes no significant difference to {_listed(gains)}.")
    new, *_, old = by_age(best, "fresh", metric)
    if new.mean.lists and old.mean.lists:
        text.append(
            f"With a first rating to predict, {name} finds {new.mean.interval.value:.3f} "
            f"({new.mean.lists} lists); of users with {old.first} ratings and more, "
            f"{old.mean.interval.value:.3f} ({old.mean.lists:,} lists)."
        )
    return " ".join(text)


def _behind(differences: Mapping[str, Difference]) -> list[Behind]:
    corrected = holm([found.p_value for found in differences.values()])
    return [
        Behind(model, found, p)
        for (model, found), p in zip(differences.items(), corrected, strict=True)
    ]


def _value(result: Result, name: str) -> str:
    low, high = result.details["intervals"][name]
    return f"{result.figures[name]:.4f} ({low:.4f} to {high:.4f})"


def _lower(relative: Interval) -> str:
    return f"{-relative.value:.1%} lower ({-relative.high:.1%} to {-relative.low:.1%})"


def _higher(relative: Interval) -> str:
    word = "higher" if relative.value >= 0 else "lower"
    return f"{abs(relative.value):.0%} {word} ({relative.low:+.0%} to {relative.high:+.0%})"


def _chance(p_value: float) -> str:
    if np.isnan(p_value):
        return "of one user: nothing can be said"
    return "significant" if p_value < _CHANCE else "which may be chance"


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
