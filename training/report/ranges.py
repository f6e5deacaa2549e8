"""Ranges of figures that were stated for a larger data set, beside what a smaller one gives."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np

from training.metrics import Values
from training.runs import Result
from training.tables import Cell, called, interval, markdown

K: Final = 10
BELOW: Final = "**below**"


class Range(NamedTuple):
    low: float
    high: float


# As stated for MovieLens 25M.
RANGES: Final[Mapping[str, Range]] = {
    "recall@10": Range(0.20, 0.28),
    "precision@10": Range(0.35, 0.45),
    "ndcg@10": Range(0.35, 0.48),
    "hit_rate@10": Range(0.75, 0.85),
    "map@10": Range(0.22, 0.32),
    "coverage@10": Range(0.30, 0.40),
}
HELD_OUT_OF_25M: Final = 31  # ratings in a fifth of a user's, 25,000,095 by 162,541 users


def ceilings(result: Result, movies: int) -> dict[str, float]:
    """The most that any model could reach, by figure, where all held-out ratings are relevant.

    Args:
        result: of an offline evaluation.
        movies: of the catalogue.
    """
    held = result.lists["held_out"]
    found = np.minimum(held, K)
    return {
        "recall@10": float((found / held).mean()),
        "precision@10": float((found / K).mean()),
        "ndcg@10": 1.0,
        "hit_rate@10": 1.0,
        "map@10": 1.0,
        "coverage@10": min(1.0, len(held) * K / movies),
    }


def place(value: float, stated: Range) -> str:
    """Where a figure is by its range, as it would be written there."""
    if round(value, 2) < stated.low:
        return BELOW
    return "above" if round(value, 2) > stated.high else "within"


def beside(result: Result, movies: int) -> Iterator[str]:
    """The figures of a model beside the ranges, and what the data set's size has to do with it.

    Args:
        result: of an offline evaluation, a random fifth held out and all of it relevant.
        movies: of the catalogue.
    """
    held = result.lists["held_out"]
    most = ceilings(result, movies)
    rows: list[list[Cell | str]] = []
    reasons = []
    for name, stated in RANGES.items():
        value = interval(result, name)
        where = place(value.value, stated)
        if where == BELOW:
            reasons.append(f"{called(name)} {_why(name, most[name], held, movies)}.")
        text = f"{stated.low:.2f} to {stated.high:.2f}"
        rows.append([called(name), Cell.of(value, ".4f"), text, where, f"{most[name]:.2f}"])
    yield (
        "Ranges that were stated for MovieLens 25M, without a word on the split and on what was "
        "relevant. They are those of a random fifth of which the liked ratings are relevant: a "
        "precision of 0.40 is four hits, which beside a recall of 0.24 makes some 17 relevant "
        f"movies a user, about half of the {HELD_OUT_OF_25M} that a fifth is there. Here all that "
        f"is held out is relevant, {held.mean():.0f} ratings a user on average and "
        f"{np.median(held):.0f} at the median. The last column is what a list would have that "
        "knew them all."
    )
    yield markdown(["figure", result.question.model, "range", "", "possible"], rows)
    if reasons:
        yield " ".join(reasons)


def _why(name: str, most: float, held: Values, movies: int) -> str:
    """Why a figure is below its range, as far as the data set's size says."""
    if most < RANGES[name].low:
        return "is below because no list could reach the range here"
    if name == "coverage@10":
        return (
            f"is below where {len(held):,} lists have {len(held) * K:,} places for {movies:,} "
            f"movies, {len(held) * K / movies:.1f} a movie; those of 25M have 26"
        )
    few = float((held < K).mean())
    if name == "precision@10" and few > 0:
        return f"is below where {few:.0%} of the users have fewer than {K} movies to be found"
    return "is below, and the size of the data set does not explain it"
