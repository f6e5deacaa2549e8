"""The sections of the report: tables, pictures, and what they say, from results alone."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from training.compare import Interval
from training.plots import draw_curves, draw_groups, draw_intervals
from training.prequential import STATES, State
from training.prequential_runs import Group, by_age, by_day, difference
from training.report.parts import BENCHMARK, OTHER_SPLITS, Measured
from training.report.reading import (
    Behind,
    behind,
    behind_live,
    ordered,
    who_is_fresh,
    who_leads,
)
from training.runs import Result
from training.tables import COSTS, Cell, bounds_of, called, costs, interval, markdown

NDCG: Final = "ndcg@10"
HIT: Final = "hit_rate@10"
ACCURACY: Final = (NDCG, "recall@10", "precision@10", HIT, "map@10", "mrr@10")
BESIDE: Final = (
    "coverage@10",
    "novelty@10",
    "intra_list_diversity@10",
    "serendipity@10",
    "gini@10",
)
ERRORS: Final = ("rmse", "mae")
PICTURES: Final = "evaluation"  # folder beside the page

_LESS: Final = (*ERRORS, "gini@10")  # of which less is better
_NOTHING: Final = Interval(math.nan, math.nan, math.nan)
_SPLITS_APART: Final = 0.01  # NDCG@10 of one model on two random splits of MovieLens 100K
_LINES: Final = 5  # models in a picture by age


def random(results: Sequence[Result], pictures: Path) -> Iterator[str]:
    """All there is to say of an offline evaluation.

    Args:
        results: of it.
        pictures: what their paths begin with.
    """
    order, others = ordered(results, NDCG), behind(results, NDCG)
    yield who_leads(order, NDCG, others)
    yield _figures(order, ACCURACY)
    draw_intervals(order, {f"{called(NDCG)}, all ratings relevant": NDCG}, _at(pictures, "ndcg"))
    yield _picture(pictures, "ndcg", f"{called(NDCG)} of each model, with its interval")
    draw_curves(order, ("ndcg", "recall"), _at(pictures, "curves"))
    yield _picture(pictures, "curves", "NDCG and recall by the length of the list")
    yield from _beside_the_best(order[0].question.model, NDCG, others)
    yield (
        "What lists are like beside being right: the share of the catalogue that is in any of "
        "them, bits of surprise in a movie, how little its movies have in common, the share of "
        "relevant movies that popularity would not show, and how unequally movies are shown (0 "
        "all alike, 1 only one)."
    )
    yield _figures(order, BESIDE)
    predicting = [result for result in order if ERRORS[0] in result.figures]
    if predicting:
        yield "Ratings predicted, in stars, over all held-out ratings:"
        yield _figures(ordered(predicting, ERRORS[0])[::-1], ERRORS)
    yield "What it took, and what was chosen on the validation part:"
    yield markdown(COSTS, [costs(result) for result in order])


def other_splits(measured: Mapping[str, Measured]) -> Iterator[str]:
    """One figure of each model on each of the splits that are there for comparison."""
    splits = {name: measured[name] for name in OTHER_SPLITS if name in measured}
    there = {
        name: {result.question.model: interval(result, NDCG) for result in one.results}
        for name, one in splits.items()
    }
    models = list(dict.fromkeys(model for found in there.values() for model in found))
    if splits:
        yield "### Offline, other splits"
        yield "<br>".join(f"`{one.part.command}`" for one in splits.values())
    if models:
        yield (
            f"{called(NDCG)} by what is held out: the latest ratings of all, the last one of each "
            "user, a fifth of the ratings of users whom the model has not met. The columns do not "
            "compare with each other: a list with one movie to find cannot have as many hits as "
            "one with fifty."
        )
        rows = [
            [Cell(name), *(Cell.of(found.get(name, _NOTHING), ".4f") for found in there.values())]
            for name in models
        ]
        yield markdown(["model", *there], rows)
    for one in splits.values():
        yield from failures(one)


def failures(measured: Measured) -> Iterator[str]:
    """Who is missing, and why."""
    for model, why in measured.failed.items():
        yield f"**{model} is not in here**: {why}"


def prequential(results: Sequence[Result], pictures: Path) -> Iterator[str]:
    """The same of a prequential evaluation in all states."""
    fresh = f"fresh/{HIT}"
    order, others = ordered(results, fresh), behind_live(results, "fresh", HIT)
    best = order[0]
    yield (
        f"{best.figures['lists']:,.0f} liked movies of {best.figures['users']:,.0f} users, each "
        f"asked for right before it came."
    )
    yield f"With fresh state, {who_leads(order, fresh, others)} {who_is_fresh(order, HIT)}"
    yield (
        "A model that is the same for everyone gains too: its frozen list still has what the user "
        "has rated since."
    )
    yield _figures(order, [*(f"{state}/{HIT}" for state in reversed(STATES)), f"fresh/{NDCG}"])
    draw_intervals(
        order, {state: f"{state}/{HIT}" for state in reversed(STATES)}, _at(pictures, "states")
    )
    yield _picture(pictures, "states", f"{called(HIT)} of each model in each state")
    yield from _beside_the_best(best.question.model, HIT, others)
    yield from _gains(order)
    yield from _by_age(order, pictures)
    yield from _by_day(best, pictures)
    yield "What it took, and what was chosen on the validation part:"
    yield markdown(COSTS, [costs(result) for result in order])


def _gains(order: Sequence[Result]) -> Iterator[str]:
    yield f"What each model's {called(HIT)} gains from a fresher state:"
    pairs: Sequence[tuple[State, State]] = (("fresh", "frozen"), ("fresh", "daily"))
    rows = [
        [
            _name(result),
            *(
                Cell.of(difference(result, state, result, base, HIT).relative, "+.0%")
                for state, base in pairs
            ),
        ]
        for result in order
    ]
    yield markdown(["model", *(f"{state} beside {base}" for state, base in pairs)], rows)


def _by_age(order: Sequence[Result], pictures: Path) -> Iterator[str]:
    ages = {result.question.model: by_age(result, "fresh", HIT) for result in order}
    yield (
        f"By how many ratings the user had given before, {called(HIT)} with fresh state; n is the "
        "number of lists:"
    )
    yield _groups(ages, "model")
    shown = {model: ages[model] for model in [*ages][:_LINES]}
    draw_groups(shown, HIT, "ratings that the user had given before", _at(pictures, "ages"))
    yield _picture(pictures, "ages", f"{called(HIT)} by the age of the user")


def _by_day(best: Result, pictures: Path) -> Iterator[str]:
    days: dict[str, Sequence[Group]] = {
        state: by_day(best, state, HIT) for state in reversed(STATES)
    }
    yield (
        f"By whole days since the training moment, {called(HIT)} of {best.question.model}, days "
        "put together where there is little of each:"
    )
    yield _groups(days, "state")
    draw_groups(days, HIT, "days since the training moment", _at(pictures, "days"))
    yield _picture(pictures, "days", f"{called(HIT)} by days since the training moment")


def published(results: Sequence[Result]) -> Iterator[str]:
    """Ours among the figures of the literature, best first."""
    rows = [
        (value, [Cell(name), Cell(f"{value:.3f}"), Cell("published")])
        for name, value in BENCHMARK.items()
    ]
    for result in results:
        found = interval(result, NDCG)
        rows.append((found.value, [_name(result), Cell.of(found, ".3f"), Cell("here")]))
    rows.sort(key=lambda row: -row[0])
    best, top = ordered(results, NDCG)[0], max(BENCHMARK, key=BENCHMARK.__getitem__)
    ahead = best.figures[NDCG] - BENCHMARK[top]
    place = "level with" if abs(ahead) < _SPLITS_APART else "above" if ahead > 0 else "below"
    yield (
        "A benchmark of the literature splits MovieLens 100K 75/25 per user, takes all ratings for "
        f"relevant and reports {called(NDCG)}. Splits are random and not the same, so a difference "
        f"below {_SPLITS_APART} is none. Our best here, {best.question.model} with "
        f"{best.figures[NDCG]:.3f}, is {place} the best published one, {top} with "
        f"{BENCHMARK[top]:.3f}."
    )
    yield markdown(["model", called(NDCG), "from"], [row for _, row in rows])


def _figures(results: Sequence[Result], names: Sequence[str]) -> str:
    """A table with the best value of each column in bold, where more is better or less is."""
    best = {}
    for name in names:
        values = [result.figures.get(name, math.nan) for result in results]
        known = [value for value in values if not math.isnan(value)]
        best[name] = (min if name in _LESS else max)(known, default=math.nan)

    def cell(result: Result, name: str) -> Cell:
        found = Cell.of(interval(result, name), ".4f")
        bold = result.figures.get(name) == best[name]
        return found._replace(value=f"**{found.value}**") if bold else found

    rows = [[_name(result), *(cell(result, name) for name in names)] for result in results]
    states = (name.rpartition("/")[0] for name in names)
    heads = [f"{state} {called(name)}".strip() for state, name in zip(states, names, strict=True)]
    return markdown(["model", *heads], rows)


def _beside_the_best(best: str, metric: str, others: Sequence[Behind]) -> Iterator[str]:
    if not others:
        return
    yield f"Each model's {called(metric)} beside that of {best}, on the same lists:"
    rows = [
        [
            Cell(other.model),
            Cell.of(other.difference.absolute, "+.4f"),
            Cell.of(other.difference.relative, "+.1%"),
            Cell("<0.001" if other.p_value < 0.001 else f"{other.p_value:.3f}"),
        ]
        for other in others
    ]
    yield markdown(["model", "difference", "relative", "p"], rows)


def _groups(lines: Mapping[str, Sequence[Group]], first: str) -> str:
    """Means with half the width of their intervals; the head says what is counted."""
    some = next(iter(lines.values()))
    heads = [f"{bounds_of(group)}<br>n = {group.mean.lists:,}" for group in some]
    rows = []
    for name, groups in lines.items():
        cells = [Cell.of(group.mean.interval, ".3f") for group in groups]
        rows.append([Cell(name), *(Cell(cell.value, cell.margin) for cell in cells)])
    return markdown([first, *heads], rows)


def _name(result: Result) -> Cell:
    return Cell(result.question.model)


def _at(pictures: Path, name: str) -> Path:
    return pictures.with_name(f"{pictures.name}-{name}.svg")


def _picture(pictures: Path, name: str, words: str) -> str:
    return f"![{words}]({PICTURES}/{_at(pictures, name).name})"
