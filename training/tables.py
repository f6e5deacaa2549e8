"""Results in cells: figures with intervals, costs, hyperparameters; and tables in Markdown."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from training.compare import Interval
from training.prequential_runs import Group
from training.runs import Result

MISSING: Final = "-"
COSTS: Final = ("model", "fit", "memory", "size", "chosen")

_ABBREVIATED: Final = ("ndcg", "map", "mrr", "rmse", "mae")
_MEGABYTE: Final = 2**20
_NUMERIC: Final = tuple("0123456789+-<*")  # what a number begins with, bold ones and bounds too


class Cell(NamedTuple):
    """A text, and its confidence interval if it has one; in short, half of its width."""

    value: str
    interval: str = ""
    margin: str = ""

    @classmethod
    def of(cls, found: Interval, form: str) -> "Cell":
        """An estimate in that format: NaN is `MISSING`, an end that is NaN no interval."""
        if math.isnan(found.value):
            return cls(MISSING)
        if math.isnan(found.low):
            return cls(f"{found.value:{form}}")
        value, low, high = (f"{number:{form}}" for number in found)
        margin = f"±{(found.high - found.low) / 2:{form.lstrip('+')}}"
        return cls(value, f"{low} to {high}", margin)


def interval(result: Result, name: str) -> Interval:
    """A figure of a result with the ends it has; NaN where there is no such figure."""
    value = result.figures.get(name, math.nan)
    low, high = result.details["intervals"].get(name, (math.nan, math.nan))
    return Interval(value, low, high)


def costs(result: Result) -> list[str]:
    """A row of `COSTS`: what the model took, and the hyperparameters chosen for it."""
    return [
        result.question.model,
        f"{result.figures['fit_seconds']:.1f} s",
        f"{result.figures['peak_bytes'] / _MEGABYTE:,.0f} MB",
        f"{result.figures['model_bytes'] / _MEGABYTE:,.1f} MB",
        _chosen(result),
    ]


def called(name: str) -> str:
    """``fresh/hit_rate@10`` as people write it: without the state."""
    metric, at, k = name.rpartition("/")[2].partition("@")
    metric = metric.upper() if metric in _ABBREVIATED else metric.replace("_", " ")
    return f"{metric}{at}{k}"


def bounds_of(group: Group) -> str:
    """What is in a group of ages or days: ``0``, ``3-4`` or ``50+``."""
    if group.end is None:
        return f"{group.first}+"
    return str(group.first) if group.end == group.first + 1 else f"{group.first}-{group.end - 1}"


def markdown(columns: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> str:
    """A table in Markdown: words to the left, numbers to the right, intervals below them."""
    texts = [[_text(cell) for cell in row] for row in rows]
    numeric = [
        bool(texts) and all(row[at].startswith(_NUMERIC) for row in texts)
        for at in range(len(columns))
    ]
    lines = [list(columns), ["---:" if right else "---" for right in numeric], *texts]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _text(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else "<br>".join(filter(None, cell[:2]))


def _chosen(result: Result) -> str:
    choices = result.details.get("choices") or [result.details["choice"]]
    folds = [
        ", ".join(f"{name} {value}" for name, value in choice["hyperparameters"].items())
        for choice in choices
    ]
    return "; ".join(dict.fromkeys(filter(None, folds))) or MISSING
