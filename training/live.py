"""Live features of the movies: how much each is rated, of late and over the years.

A movie's heat is the log2 of its decayed number of ratings, sum 2^(t/h) with t the event times and
h the half-life, both in days: all decay alike, so that heats compare at any later time without
being touched. The stream keeps them by partition (`stream.features.MovieState`), the lab for a
whole log here. Torch-free, because serving reads it too.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.features import DAY, HALF_LIVES
from training.tower_inputs import Floats, Ints

Heats = npt.NDArray[np.float64]  # [half-lives, movies], -inf where nobody has rated

# Halvings below the hottest movie from which a movie counts as not rated at all: a millionth.
COLDEST: Final = 20.0


def no_heats(movies: int) -> Heats:
    """Of movies that nobody has rated."""
    return np.full((len(HALF_LIVES), movies), -np.inf)


def heat_up(heats: Heats, rows: Ints, times: Ints) -> None:
    """Add ratings to the heats in place, in any order.

    Args:
        heats: of the movies.
        rows: i64[n] the movie of each rating.
        times: i64[n] ms since the epoch.
    """
    for half_life, heat in zip(HALF_LIVES, heats, strict=True):
        np.logaddexp2.at(heat, rows, times / DAY / half_life)


def live_features(heats: Heats) -> Mapping[str, Floats]:
    """By name, f32[movies]: halvings below the hottest movie as a number of 0 at most.

    A difference of heats needs no clock, so a log that is replayed years later gives the same.
    """
    features = {}
    for half_life, heat in zip(HALF_LIVES, heats, strict=True):
        hottest = heat.max(initial=-np.inf)
        below = heat - hottest if hottest > -np.inf else np.zeros_like(heat)
        features[f"heat_{half_life:g}"] = np.maximum(below, -COLDEST).astype(np.float32)
    return features
