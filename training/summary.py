"""What came of an offline evaluation, for people and for programs: a table, Markdown, JSON."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stream.contracts.errors import ConfigurationError
from training.compare import Difference
from training.runs import Result

MISSING: Final = "-"
_MEGABYTE: Final = 2**20


class Cell(NamedTuple):
    """A figure, and its confidence interval if it has one."""

    value: str
    interval: str = ""


_COSTS: Final[Mapping[str, tuple[str, Callable[[float], str]]]] = {
    "fit_seconds": ("fit", lambda seconds: f"{seconds:.1f} s"),
    "peak_bytes": ("memory", lambda size: f"{size / _MEGABYTE:,.0f} MB"),
    "model_bytes": ("size", lambda size: f"{size / _MEGABYTE:,.1f} MB"),
}


def check_metrics(metrics: Sequence[str], known: Sequence[str]) -> None:
    """Raises ConfigurationError that lists the figures there are."""
    for name in metrics:
        if name not in known:
            raise ConfigurationError(f"no figure {name!r}: there are {', '.join(known)}")


def table(
    results: Sequence[Result],
    metrics: Sequence[str],
    reference: str,
    differences: Mapping[str, Mapping[str, Difference]],
) -> tuple[list[str], list[list[Cell]]]:
    """Columns, and a row for each model: figures, what the first of them is beside the reference's,
    what the model costs, and the hyperparameters that were chosen.

    Args:
        results: a model each.
        metrics: names of figures; one that a model does not have is `MISSING`.
        reference: that was compared with.
        differences: `offline.compared`.
    """
    columns = ["model", *metrics, f"{metrics[0]} beside {reference}"]
    columns += [title for title, _ in _COSTS.values()] + ["chosen"]
    rows = []
    for result in results:
        model = result.question.model
        row = [Cell(model), *(_figure(result, name) for name in metrics)]
        row.append(_difference(differences.get(model, {}).get(metrics[0])))
        row += [Cell(text(result.figures[name])) for name, (_, text) in _COSTS.items()]
        rows.append([*row, Cell(_chosen(result))])
    return columns, rows


def markdown(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """The table in Markdown."""
    lines = [columns, ["---"] * len(columns)]
    lines += [["<br>".join(filter(None, cell)) for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def document(
    results: Sequence[Result],
    reference: str,
    differences: Mapping[str, Mapping[str, Difference]],
) -> dict[str, Any]:
    """All of it as JSON values, null where a number is not finite."""
    return {
        "models": [_finite(result.summary) for result in results],
        "reference": reference,
        "differences": {
            model: {name: _finite(found) for name, found in by_metric.items()}
            for model, by_metric in differences.items()
        },
    }


def _figure(result: Result, name: str) -> Cell:
    value = result.figures.get(name, math.nan)
    low, high = result.details["intervals"].get(name, (math.nan, math.nan))
    if math.isnan(value):
        return Cell(MISSING)
    return Cell(f"{value:.4f}", "" if math.isnan(low) else f"{low:.3f} to {high:.3f}")


def _difference(found: Difference | None) -> Cell:
    if found is None or math.isnan(found.relative.value):
        return Cell(MISSING)
    value, low, high = found.relative
    return Cell(f"{value:+.1%}", "" if math.isnan(low) else f"{low:+.1%} to {high:+.1%}")


def _chosen(result: Result) -> str:
    folds = [
        ", ".join(f"{name} {value}" for name, value in choice["hyperparameters"].items())
        for choice in result.details["choices"]
    ]
    return "; ".join(dict.fromkeys(filter(None, folds))) or MISSING


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if hasattr(value, "_asdict"):
        return _finite(value._asdict())
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
