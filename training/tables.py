"""Results in cells: figures with intervals, costs, hyperparameters; and tables in Markdown."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from training.compare import Interval
from training.runs import Result

MISSING: Final = "-"
_MEGABYTE: Final = 2**20
_NUMERIC: Final = tuple("0123456789+-<*")  # what a number begins with, bold ones and bounds too

# How a cost is called and written.
COSTS: Final[Mapping[str, tuple[str, Callable[[float], str]]]] = {
    "fit_seconds": ("fit", lambda seconds: f"{seconds:.1f} s"),
    "peak_bytes": ("memory", lambda size: f"{size / _MEGABYTE:,.0f} MB"),
    "model_bytes": ("size", lambda size: f"{size / _MEGABYTE:,.1f} MB"),
}


class Cell(NamedTuple):
    """A text, and a confidence interval if it has one."""

    value: str
    interval: str = ""


def figure(result: Result, name: str) -> Cell:
    """A figure of a result with its interval; `MISSING` where it has none of that name."""
    value = result.figures.get(name, math.nan)
    low, high = result.details["intervals"].get(name, (math.nan, math.nan))
    return ranged(Interval(value, low, high), "{:.4f}")


def ranged(interval: Interval, form: str) -> Cell:
    """A value with the ends of its interval, each in this format; what is NaN is left out."""
    value, low, high = interval
    if math.isnan(value):
        return Cell(MISSING)
    ends = "" if math.isnan(low) else f"{form.format(low)} to {form.format(high)}"
    return Cell(form.format(value), ends)


def cost(result: Result, name: str) -> Cell:
    """One of `COSTS`."""
    return Cell(COSTS[name][1](result.figures[name]))


def chosen(result: Result) -> Cell:
    """The hyperparameters that a tuning chose, of each fold if they differ."""
    choices = result.details.get("choices") or [result.details["choice"]]
    folds = [
        ", ".join(f"{name} {value}" for name, value in choice["hyperparameters"].items())
        for choice in choices
    ]
    return Cell("; ".join(dict.fromkeys(filter(None, folds))) or MISSING)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> str:
    """A table in Markdown: names to the left, numbers to the right, intervals below them."""
    texts = [[_text(cell) for cell in row] for row in rows]
    numeric = [
        bool(texts) and all(row[at][:1] in _NUMERIC for row in texts) for at in range(len(columns))
    ]
    lines = [list(columns), ["---:" if right else "---" for right in numeric], *texts]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _text(cell: Cell | str) -> str:
    text = cell if isinstance(cell, str) else "<br>".join(filter(None, cell))
    return text.replace("|", "\\|")
