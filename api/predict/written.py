"""Predictions as they are written: by the thousand, in a quarter of the time that pydantic takes.

What is here has the fields of the schema, by its names and in its order: a test holds it to that.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from api.predict.predictor import Answers
from api.schemas.predictions import MovieBasis, UserBasis
from training.tower_inputs import Ints

_DECIMALS: Final = 4  # of stars: what is behind them depends on the order of sums


class WrittenBasis(msgspec.Struct, gc=False):
    """`schemas.predictions.Basis`."""

    user: UserBasis
    user_ratings: int
    movie: MovieBasis
    movie_ratings: int


class Written(msgspec.Struct, gc=False):
    """`schemas.predictions.Prediction`."""

    user_id: int
    movie_id: int
    stars: float
    low: float
    high: float
    basis: WrittenBasis
    rated: float | None


def written(
    ids: Sequence[tuple[int, int]], ratings: Ints, answers: Answers, stateless: bool
) -> list[Written]:
    """The predictions for k pairs.

    Args:
        ids: of each pair's person and movie.
        ratings: i64[k] how many movies its person has rated.
        answers: to them.
        stateless: whether nothing is known of the people, for the store does not answer.
    """
    own = answers.rated.own
    rated = (answers.others + (own > 0)).tolist()
    counts = ratings.tolist()
    users: list[UserBasis] = (
        ["unavailable"] * len(counts)
        if stateless
        else ["ratings" if count else "new" for count in counts]
    )
    bounds = (of.astype(np.float64).round(_DECIMALS).tolist() for of in answers.stars)
    given = [half_stars / 2 if half_stars else None for half_stars in own.tolist()]
    bases = map(WrittenBasis, users, counts, answers.movies, rated)
    return list(map(Written, *zip(*ids, strict=True), *bounds, bases, given))


def rounded(stars: float) -> float:
    """As answers say it."""
    return round(float(stars), _DECIMALS)
