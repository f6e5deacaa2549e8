"""A predictor of ratings whose answers can be worked out by hand."""

from collections.abc import Sequence

import numpy as np

from training.baselines.linear_features import Prior, eras_of, group_shares, movie_years
from training.rating_features import FEATURES, Known
from training.rating_model import GROUPS, RatingModel
from training.tower_inputs import Content

MEAN, DEVIATION, RATINGS = 3.5, 1.0, 5.0  # of its prior
ERROR = 0.5  # stars that every prediction is expected to be wrong by

# Of the errors divided by 0.5, 1/100 to 1, so that 90% are within 0.91: ceil(101 * 0.9) of them.
SIZES = (np.arange(1, 101) / 100).astype(np.float32)


def planted_predictor(movies: Sequence[Content]) -> RatingModel:
    """Stars are what the movie has on average, and how generous the person is.

    Mean and generosity begin from five ratings of 3.5 stars. An interval of 90% reaches 0.455 stars
    to either side. In its population every feature is 0, but for the movie's mean, which is 3.5.
    """
    decades = eras_of(movies)
    genres = tuple(sorted({genre for movie in movies for genre in movie.genres}))
    shares = group_shares(movies, genres, decades)
    content = np.column_stack([movie_years(movies), shares[:, : len(genres)] > 0, shares])
    nobody = np.zeros((1, 0), np.float32)
    known = Known(
        prior=np.array(Prior(MEAN, DEVIATION, RATINGS)),
        genres=np.array(genres, np.str_),
        decades=decades,
        content=np.vstack([content, np.zeros((1, content.shape[1]))]).astype(np.float32),
        groups=np.vstack([np.ceil(shares), np.zeros((1, shares.shape[1]))]).astype(np.float32),
        places=np.full(len(movies) + 1, -1),
        spreads=np.zeros(1, np.float32),
        alike=nobody.reshape(0, 0).astype(np.float16),
        lifts=nobody.reshape(0, 0).astype(np.float16),
        mean=np.array([MEAN], np.float32),
        biases=np.zeros(len(movies) + 1, np.float32),
        factors=np.eye(1, 2, dtype=np.float32).repeat(len(movies) + 1, axis=0),
        penalties=np.ones(2, np.float32),
    )
    features = len(FEATURES) + len(genres)
    terms = known.expand(np.zeros((1, features), np.float32)).shape[1]
    weights, doubts = np.zeros(1 + terms, np.float32), np.zeros(13, np.float32)
    weights[[1 + FEATURES.index(name) for name in ("user generosity", "movie mean")]] = 1
    doubts[0] = ERROR
    population = np.zeros((7, features), np.float32)
    population[:, FEATURES.index("movie mean")] = MEAN
    return RatingModel(
        known,
        weights,
        doubts,
        least=np.full(1, 0.01, np.float32),
        sizes={f"then/{group}": SIZES for group in range(len(GROUPS))},
        bounds=np.array([[-np.inf], [np.inf]], np.float32).repeat(features, axis=1),
        population=population,
    )
