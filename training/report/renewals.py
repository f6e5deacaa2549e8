"""What renewing the models is worth, from a result of `training.renewal` alone."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from training.plots import draw_groups
from training.prequential_runs import Group
from training.renewal import FIGURES, WAYS, Way, by_period, difference
from training.runs import Result
from training.tables import Cell, bounds_of, called, interval, markdown

COMMAND: Final = "python -m benchmarks.refresh"

# Periods put together where they are shown over time: a week of a small data set is four people.
TOGETHER: Final = 8

WEEK: Final = 7  # days

_CHANCE: Final = 0.05
_PAIRS: Final[tuple[tuple[Way, Way], ...]] = (
    ("refreshed", "first"),
    ("first", "frozen"),
    ("refreshed", "frozen"),
)


def renewals(result: Result, picture: Path) -> Iterator[str]:
    """The section.

    Args:
        result: of `renewal.evaluate`.
        picture: to write to.
    """
    figures, settings = result.figures, result.question.settings
    hit, _ = FIGURES
    days = settings["days"]
    yield "### What renewing the models is worth"
    yield f"`{COMMAND}`"
    yield (
        f"The last {settings['share']:.0%} of the ratings replayed in event time, with a refresh "
        f"every {days} days in which anything happened, {figures['refreshes']:,.0f} in all. Each "
        "begins from the weights of the one before and trains them for "
        f"{settings['epochs']} more epoch{'s' if settings['epochs'] > 1 else ''} on all that is "
        "known by then; links and the ranker's weights are learnt anew. It is taken as it comes, "
        f"without a gate. On one core a refresh took {figures['refresh_seconds']:.0f} s, the first "
        f"model {figures['first_seconds']:.0f} s. Asked is what the prequential protocol asks, "
        f"{figures['lists']:,.0f} liked movies of {figures['users']:,.0f} users: of `refreshed`, "
        "the model of the last refresh with fresh state; of `first`, the model of the training "
        "moment with fresh state; of `frozen`, that model with the state of that moment."
    )
    yield _figures(result)
    yield _gains(result)
    yield " ".join(_verdict(result, way, base) for way, base in _PAIRS)
    unit = "weeks" if days == WEEK else f"periods of {days} days"
    groups: dict[str, list[Group]] = {way: by_period(result, way, hit, TOGETHER) for way in WAYS}
    draw_groups(groups, hit, f"{unit} since the training moment", picture)
    yield f"![{called(hit)} over time]({picture.parent.name}/{picture.name})"
    yield f"{called(hit)} by {unit} since the training moment:"
    yield _over_time(groups)


def _figures(result: Result) -> str:
    rows = []
    for way in WAYS:
        figures = (Cell.of(interval(result, f"{way}/{name}"), ".4f") for name in FIGURES)
        rows.append([Cell(way), *figures])
    return markdown(["served", *map(called, FIGURES)], rows)


def _gains(result: Result) -> str:
    rows = []
    for way, base in _PAIRS:
        found = [difference(result, way, base, name) for name in FIGURES]
        gains = (Cell.of(one.relative, "+.1%") for one in found)
        chances = (Cell("<0.001" if one.p_value < 0.001 else f"{one.p_value:.3f}") for one in found)
        rows.append([Cell(f"{way} beside {base}"), *gains, *chances])
    heads = [*map(called, FIGURES), *(f"p of {called(name)}" for name in FIGURES)]
    return markdown(["gain", *heads], rows)


def _over_time(groups: Mapping[str, Sequence[Group]]) -> str:
    some = next(iter(groups.values()))
    heads = [f"{bounds_of(group)}<br>n = {group.mean.lists:,}" for group in some]
    rows = []
    for way, line in groups.items():
        cells = (Cell.of(group.mean.interval, ".3f") for group in line)
        rows.append([Cell(way), *(Cell(cell.value, cell.margin) for cell in cells)])
    return markdown(["served", *heads], rows)


def _verdict(result: Result, way: Way, base: Way) -> str:
    """Whether one beats the other, in words."""
    words = []
    for name in FIGURES:
        found = difference(result, way, base, name)
        sure = "significantly" if found.p_value < _CHANCE else "which may be chance"
        word = "higher" if found.absolute.value > 0 else "lower"
        words.append(f"{called(name)} {word} ({sure})")
    return f"`{way}` beside `{base}`: {' and '.join(words)}."
