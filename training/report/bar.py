"""What this project set out to reach, beside what it has reached, from results alone."""

import sys
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from training import compare, offline
from training.baselines.catalogue import OURS
from training.compare import Difference, Interval
from training.offline import RETRIEVED
from training.prequential_runs import values
from training.report.parts import PREQUENTIAL, RANDOM, Measured
from training.report.reading import ordered
from training.runs import Result
from training.tables import Cell, called, interval, markdown

LIST: Final = "two-stage"  # the model whose list is served
RETRIEVAL: Final = "towers-rest"  # the one whose vectors find candidates for it
TEACHER: Final = "ease"  # what retrieval alone is measured by
LIVE_METRICS: Final = ("hit_rate@10", "ndcg@10")
EVERYONE: Final = range(sys.maxsize)
FEW: Final = range(1, 11)  # ratings of someone who is hardly known
BESIDE_FEW: Final = ("popularity", "item-knn")

INTRODUCTION: Final = f"""\
What was to be reached. `{LIST}` is the list that is served, `{RETRIEVAL}` its retrieval alone where
a random fifth is asked; each
of their figures stands beside the highest of all other models, chosen by the very lists that are
compared, or beside that of the model which is named. Gains are relative and on the same lists."""

COLUMNS: Final = ("asked", "figure", "model", "value", "beside", "value", "gain", "p", "bar", "")
_CHANCE: Final = 1 - compare.CONFIDENCE

By: TypeAlias = Mapping[str, Result]  # the model


class Goal(NamedTuple):
    """How much better to be than a baseline.

    Attributes:
        gain: at least, relative; 0.03 is 3%.
        significantly: whether the gain must not be chance.
    """

    gain: float
    significantly: bool = False

    def verdict(self, found: Difference) -> str:
        """In a word. A gain that is not known is none."""
        if not found.relative.value >= self.gain:
            return "missed"
        if self.significantly and not found.p_value < _CHANCE:
            return "may be chance"
        return "**reached**"


AT_RANDOM: Final = Goal(0.03, significantly=True)
AT_RETRIEVAL: Final = Goal(-0.03)
LIVE: Final = Goal(0.15)
AT_FEW: Final = Goal(0.25)


class Compared(NamedTuple):
    """A row of `COLUMNS`.

    Attributes:
        asked: how, in words.
        figure: its name.
        model: ours.
        value: of ours.
        base: the model beside it.
        base_value: of that one.
        difference: between both, on the same lists.
        goal: what is to be reached.
    """

    asked: str
    figure: str
    model: str
    value: Interval
    base: str
    base_value: Interval
    difference: Difference
    goal: Goal

    @property
    def cells(self) -> list[Cell | str]:
        p = self.difference.p_value
        return [
            self.asked,
            called(self.figure),
            self.model,
            Cell.of(self.value, ".4f"),
            self.base,
            Cell.of(self.base_value, ".4f"),
            Cell.of(self.difference.relative, "+.1%"),
            "<0.001" if p < 0.001 else f"{p:.3f}",
            f"{self.goal.gain:+.0%}",
            self.goal.verdict(self.difference),
        ]


def compared(measured: Mapping[str, Measured]) -> tuple[list[Compared], list[str]]:
    """What there is of the bar on a data set, and who is missing where.

    Args:
        measured: by part, see `parts.parts`.
    """
    rows: list[Compared] = []
    missing: list[str] = []

    def pair(asked: str, found: By, model: str, base: str | None) -> tuple[Result, Result] | None:
        absent = [name for name in (model, base or "a baseline") if name not in found]
        missing.extend(f"{name} ({asked})" for name in absent)
        return None if absent or base is None else (found[model], found[base])

    at_random, live = _by_model(measured, RANDOM), _by_model(measured, PREQUENTIAL)
    asked = "random fifth"
    for metric in ("ndcg@10", "recall@10", "map@10"):
        if both := pair(asked, at_random, LIST, _best(at_random, metric)):
            rows.append(_offline(asked, *both, metric, AT_RANDOM))
    asked = "random fifth, retrieval alone"
    if both := pair(asked, at_random, RETRIEVAL, TEACHER):
        rows.append(_offline(asked, *both, f"recall@{RETRIEVED}", AT_RETRIEVAL))
    asked = "prequential, fresh"
    for metric in LIVE_METRICS:
        if both := pair(asked, live, LIST, _best(live, f"fresh/{metric}")):
            rows.append(_live(asked, *both, metric, EVERYONE, LIVE))
    asked = f"prequential, fresh, users with {FEW[0]}-{FEW[-1]} ratings"
    for base in BESIDE_FEW:
        if both := pair(asked, live, LIST, base):
            rows += [_live(asked, *both, metric, FEW, AT_FEW) for metric in LIVE_METRICS]
    return rows, list(dict.fromkeys(missing))


def beaten(measured: Mapping[str, Measured]) -> Iterator[str]:
    """A data set's table, and what it lacks.

    Args:
        measured: by part, see `parts.parts`.
    """
    rows, missing = compared(measured)
    if rows:
        yield markdown(COLUMNS, [row.cells for row in rows])
    if missing:
        yield f"**Not measured**: {'; '.join(missing)}."


def _by_model(measured: Mapping[str, Measured], part: str) -> By:
    results = measured[part].results if part in measured else ()
    return {result.question.model: result for result in results}


def _best(found: By, figure: str) -> str | None:
    """The model to beat, if any was measured."""
    others = [result for name, result in found.items() if name not in OURS]
    return ordered(others, figure)[0].question.model if others else None


def _offline(asked: str, ours: Result, base: Result, metric: str, goal: Goal) -> Compared:
    names = (ours.question.model, base.question.model)
    difference = offline.compared([ours, base], names[1], [metric])[names[0]][metric]
    value, beside = interval(ours, metric), interval(base, metric)
    return Compared(asked, metric, names[0], value, names[1], beside, difference, goal)


def _live(
    asked: str, ours: Result, base: Result, metric: str, known: range, goal: Goal
) -> Compared:
    """Of the questions about users with so many ratings."""
    ages = ours.lists["age"]
    some = (known.start <= ages) & (ages < known.stop)
    users = ours.users[some]
    value, beside = (values(result, "fresh", metric)[some] for result in (ours, base))
    return Compared(
        f"{asked} (n = {len(users):,})",
        metric,
        ours.question.model,
        compare.mean(value, users).interval,
        base.question.model,
        compare.mean(beside, users).interval,
        compare.difference(value, beside, users),
        goal,
    )
