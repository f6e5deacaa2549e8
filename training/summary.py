"""What came of an offline evaluation, for people and for programs: a table, Markdown, JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from training.compare import Difference, Interval
from training.exam import RMSE
from training.offline import MAE, compared
from training.runs import Result

MISSING: Final = "-"
_MEGABYTE: Final = 2**20
_OF_LISTS: Final = {RMSE: "squared_error", MAE: "absolute_error"}  # what errors are called there

COSTS: Final = ("model", "fit", "memory", "size", "chosen")


class Cell(NamedTuple):
    """A text, and its confidence interval if it has one; in short, half of its width."""

    value: str
    interval: str = ""
    margin: str = ""

    @classmethod
    def of(cls, found: Interval, form: str) -> "Cell":
        """An estimate in that format: `MISSING` if it is NaN, no interval if an end is."""
        if math.isnan(found.value):
            return cls(MISSING)
        if math.isnan(found.low):
            return cls(f"{found.value:{form}}")
        value, low, high = (f"{number:{form}}" for number in found)
        margin = f"±{(found.high - found.low) / 2:{form.lstrip('+')}}"
        return cls(value, f"{low} to {high}", margin)


@dataclass(frozen=True)
class Summary:
    """Models side by side.

    Attributes:
        results: of one protocol on one data set.
        reference: the model that the others are compared with, by the first figure in the table.
        figures: names of those in the table, one at least; what a model does not have is `MISSING`.
    """

    results: Sequence[Result]
    reference: str
    figures: Sequence[str]

    @cached_property
    def differences(self) -> dict[str, dict[str, Difference]]:
        """`offline.compared`, of these figures as far as lists have them."""
        names = [_OF_LISTS.get(name, name) for name in self.figures]
        return compared(self.results, self.reference, names)

    @property
    def title(self) -> str:
        """The data set and the protocol, in words."""
        question = self.results[0].question
        split = dict(question.settings["split"])
        kind = split.pop("kind")
        options = ", ".join(f"{name} {value}" for name, value in split.items())
        stars = question.settings["relevant_from"] / 2
        return f"{question.dataset}, split {kind} ({options}), relevant from {stars:g} stars"

    @property
    def columns(self) -> list[str]:
        return ["model", *self.figures, f"{self._first} beside {self.reference}"]

    @property
    def rows(self) -> list[list[Cell]]:
        """A row for each model, as `columns`."""
        return [
            [
                Cell(result.question.model),
                *(_figure(result, name) for name in self.figures),
                self._difference(result.question.model),
            ]
            for result in self.results
        ]

    @property
    def costs(self) -> list[list[str]]:
        """A row for each model, as `COSTS`: what it took, and the hyperparameters chosen for it."""
        return [
            [
                result.question.model,
                f"{result.figures['fit_seconds']:.1f} s",
                f"{result.figures['peak_bytes'] / _MEGABYTE:,.0f} MB",
                f"{result.figures['model_bytes'] / _MEGABYTE:,.1f} MB",
                _chosen(result),
            ]
            for result in self.results
        ]

    def markdown(self) -> str:
        """Figures and costs as tables in Markdown, under the title."""
        figures = [["<br>".join(filter(None, cell[:2])) for cell in row] for row in self.rows]
        tables = (_table(self.columns, figures), _table(COSTS, self.costs))
        return "\n".join((f"{self.title}\n", *tables))

    def document(self) -> dict[str, Any]:
        """All of it as JSON values; null where a number is not finite."""
        return {
            "models": [_finite(result.summary) for result in self.results],
            "reference": self.reference,
            "differences": _finite(self.differences),
        }

    @property
    def _first(self) -> str:
        return _OF_LISTS.get(self.figures[0], self.figures[0])

    def _difference(self, model: str) -> Cell:
        found = self.differences.get(model, {}).get(self._first)
        return Cell(MISSING) if found is None else Cell.of(found.relative, "+.1%")


def _figure(result: Result, name: str) -> Cell:
    value = result.figures.get(name, math.nan)
    low, high = result.details["intervals"].get(name, (math.nan, math.nan))
    return Cell.of(Interval(value, low, high), ".4f")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (columns, ["---"] * len(columns), *rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _chosen(result: Result) -> str:
    folds = [
        ", ".join(f"{name} {value}" for name, value in choice["hyperparameters"].items())
        for choice in result.details["choices"]
    ]
    return "; ".join(dict.fromkeys(filter(None, folds))) or MISSING


def _finite(value: Any) -> Any:
    match value:
        case float():
            return float(value) if math.isfinite(value) else None
        case Mapping():
            return {name: _finite(inner) for name, inner in value.items()}
        case tuple() if hasattr(value, "_asdict"):
            return _finite(value._asdict())
        case list() | tuple():
            return [_finite(inner) for inner in value]
    return value
