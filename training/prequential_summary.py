"""What came of a prequential evaluation, for people and for programs: tables, Markdown, JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from training.compare import Difference
from training.prequential import State
from training.prequential_runs import Group, by_age, by_day, difference
from training.runs import Result
from training.summary import finite
from training.tables import COSTS, Cell, bounds_of, costs, interval, markdown


class Table(NamedTuple):
    """One of the tables that a summary is made of."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]


@dataclass(frozen=True)
class Summary:
    """Models and states side by side.

    Attributes:
        results: of one protocol on one data set.
        reference: the model among them that the others are compared with.
        metrics: in the table of figures; by the first one is compared and grouped.
    """

    results: Sequence[Result]
    reference: str
    metrics: Sequence[str]

    @property
    def title(self) -> str:
        """The data set and the protocol, in words."""
        question = self.results[0].question
        settings = question.settings
        return (
            f"{question.dataset}, each rating of {settings['relevant_from'] / 2:g} stars and up "
            f"in the last {settings['test']:.0%}: {self.results[0].figures['lists']:,.0f} questions"
        )

    @property
    def tables(self) -> list[Table]:
        """Figures, what fresh states are worth, figures by age and by day, costs."""
        metric = self.metrics[0]
        columns = ["model", "state", *self.metrics, f"{metric} beside {self.reference}"]
        found = [Table(self.title, columns, [self._row(*one) for one in self._asked])]
        if len(self._states) > 1:
            state, *others = self._states
            columns = ["model", *(f"{state} beside {other}" for other in others)]
            rows: list[list[Cell | str]] = [
                [_name(result), *self._gains(result, others)] for result in self.results
            ]
            found.append(Table(f"{metric} by state", columns, rows))
        for title, groups in (
            ("the user's ratings before", by_age),
            ("days since the training", by_day),
        ):
            bounds = [
                bounds_of(group) for group in groups(self.results[0], self._states[0], metric)
            ]
            rows = [
                [_name(result), state, *map(_cell, groups(result, state, metric))]
                for result, state in self._asked
            ]
            lists = [f"{group.mean.lists:,}" for group in groups(*self._asked[0], metric)]
            rows.append(["questions", "", *lists])
            found.append(Table(f"{metric} by {title}", ["model", "state", *bounds], rows))
        found.append(Table("Costs", COSTS, [costs(result) for result in self.results]))
        return found

    def markdown(self) -> str:
        """All tables, each under its title."""
        return "\n".join(
            f"{table.title}\n\n{markdown(table.columns, table.rows)}" for table in self.tables
        )

    def document(self) -> dict[str, Any]:
        """All of it as JSON values; null where a number is not finite."""
        return {
            "models": [finite(result.summary) for result in self.results],
            "groups": finite([self._groups(*one) for one in self._asked]),
            "reference": self.reference,
            "differences": finite(list(self._differences())),
        }

    @property
    def _states(self) -> list[State]:
        return list(self.results[0].question.settings["states"])

    @property
    def _asked(self) -> list[tuple[Result, State]]:
        return [(result, state) for result in self.results for state in self._states]

    @property
    def _base(self) -> Result:
        return next(result for result in self.results if _name(result) == self.reference)

    def _row(self, result: Result, state: State) -> list[Cell | str]:
        figures = (interval(result, f"{state}/{metric}") for metric in self.metrics)
        beside: Cell | str = ""
        if _name(result) != self.reference:
            found = difference(result, state, self._base, state, self.metrics[0])
            beside = Cell.of(found.relative, "+.1%")
        return [_name(result), state, *(Cell.of(figure, ".4f") for figure in figures), beside]

    def _gains(self, result: Result, others: Sequence[State]) -> Iterator[Cell]:
        for other in others:
            found = difference(result, self._states[0], result, other, self.metrics[0])
            yield Cell.of(found.relative, "+.1%")

    def _groups(self, result: Result, state: State) -> dict[str, Any]:
        return {
            "model": _name(result),
            "state": state,
            **{
                name: {metric: groups(result, state, metric) for metric in self.metrics}
                for name, groups in (("by_age", by_age), ("by_day", by_day))
            },
        }

    def _differences(self) -> Iterator[dict[str, Any]]:
        """Of every model between its states, and in every state beside the reference."""
        for metric in self.metrics:
            for result in self.results:
                for index, state in enumerate(self._states):
                    for other in self._states[index + 1 :]:
                        found = difference(result, state, result, other, metric)
                        yield _compared(metric, (result, state), (result, other), found)
                    if _name(result) != self.reference:
                        found = difference(result, state, self._base, state, metric)
                        yield _compared(metric, (result, state), (self._base, state), found)


def _name(result: Result) -> str:
    return result.question.model


def _cell(group: Group) -> Cell:
    return Cell.of(group.mean.interval, ".3f")


def _compared(
    metric: str, better: tuple[Result, State], base: tuple[Result, State], found: Difference
) -> dict[str, Any]:
    return {
        "metric": metric,
        "model": _name(better[0]),
        "state": better[1],
        "base": _name(base[0]),
        "base_state": base[1],
        "difference": found,
    }
