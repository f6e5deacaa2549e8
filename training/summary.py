"""What came of an offline evaluation, for people and for programs: a table, Markdown, JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from training.compare import Difference
from training.exam import RMSE
from training.offline import MAE, compared
from training.runs import Result
from training.tables import COSTS, MISSING, Cell, costs, interval, markdown

_OF_LISTS: Final = {RMSE: "squared_error", MAE: "absolute_error"}  # what errors are called there


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
        options = "".join(f", {name} {value}" for name, value in split.items())
        stars = question.settings["relevant_from"] / 2
        return f"{question.dataset}: split {kind}{options}; relevant from {stars:g} stars"

    @property
    def columns(self) -> list[str]:
        return ["model", *self.figures, f"{self._first} beside {self.reference}"]

    @property
    def rows(self) -> list[list[Cell]]:
        """A row for each model, as `columns`."""
        return [
            [
                Cell(result.question.model),
                *(Cell.of(interval(result, name), ".4f") for name in self.figures),
                self._difference(result.question.model),
            ]
            for result in self.results
        ]

    @property
    def costs(self) -> list[list[str]]:
        """A row for each model, as `COSTS`: what it took, and the hyperparameters chosen for it."""
        return [costs(result) for result in self.results]

    def markdown(self) -> str:
        """Figures and costs as tables in Markdown, under the title."""
        tables = (markdown(self.columns, self.rows), markdown(COSTS, self.costs))
        return "\n".join((f"{self.title}\n", *tables))

    def document(self) -> dict[str, Any]:
        """All of it as JSON values; null where a number is not finite."""
        return {
            "models": [finite(result.summary) for result in self.results],
            "reference": self.reference,
            "differences": finite(self.differences),
        }

    @property
    def _first(self) -> str:
        return _OF_LISTS.get(self.figures[0], self.figures[0])

    def _difference(self, model: str) -> Cell:
        found = self.differences.get(model, {}).get(self._first)
        return Cell(MISSING) if found is None else Cell.of(found.relative, "+.1%")


def finite(value: Any) -> Any:
    """The same as JSON values; None where a number is not finite."""
    match value:
        case float():
            return float(value) if math.isfinite(value) else None
        case Mapping():
            return {name: finite(inner) for name, inner in value.items()}
        case tuple() if hasattr(value, "_asdict"):
            return finite(value._asdict())
        case list() | tuple():
            return [finite(inner) for inner in value]
    return value
