"""Short ways to make ratings, and data whose right answer is known."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from scipy import sparse

from producers.tables import MOVIES, RATINGS
from tests.planted_ratings import planted_predictor
from training.config import Config
from training.dataset import Ratings
from training.ranking import TOWERS, Links, Ranking
from training.rating_model import RatingModel
from training.tower_inputs import Ints
from training.user_towers import TowerConfig

HOUR = 3_600_000  # ms
DAY = 24 * HOUR
START = 1_000_000_000_000  # ms: September 2001

# Towers large enough for the data below, which train in a second.
SMALL = Config(towers=TowerConfig(dimensions=16, hidden=16, content_hidden=8), learning_rate=2e-2)


def tables(
    events: Sequence[tuple[int, int, float, int]], movie_ids: Sequence[int] | None = None
) -> tuple[pa.Table, pa.Table]:
    """From (user, movie, stars, ms after START); every movie has a genre and a year by its id."""
    users, movies, stars, times = zip(*events, strict=True) if events else ((),) * 4
    ids = sorted(set(movies)) if movie_ids is None else movie_ids
    return (
        pa.table([users, movies, stars, [START + time for time in times]], schema=RATINGS),
        pa.table(
            [
                ids,
                [f"Movie {movie}" for movie in ids],
                [1980 + movie % 40 if movie % 5 else None for movie in ids],
                [[("Drama", "Comedy", "Western")[movie % 3]] for movie in ids],
            ],
            schema=MOVIES,
        ),
    )


def ratings(
    events: Sequence[tuple[int, int, float, int]], movie_ids: Sequence[int] | None = None
) -> Ratings:
    return Ratings.from_tables(*tables(events, movie_ids))


def everything(of: Ratings) -> Ints:
    """All of its events."""
    return np.arange(len(of))


def a_ranking(of: Ratings) -> Ranking:
    """Weights of all kinds of features; each movie is linked to the two after it."""
    movies = len(of.movies)
    links = sparse.csr_array(sum(np.eye(movies, k=k, dtype=np.float32) / k for k in (1, 2)))
    return Ranking(
        links={"next": Links(links, recency=0.5, liked_from=7, scaled=True)},
        weights={
            name: np.array(weights, np.float32)
            for name, weights in (
                (TOWERS, (4, 0.1, 1)),
                ("next", (1, 0, 0.5)),
                ("heat_30", (1, 0, 0)),
            )
        },
        newcomers={"new_30": np.array([1, 0, 0.25], np.float32)},
        proposed={TOWERS: 20, "next": 5, "heat_30": 5},
        trade_off=0.25,
    )


def a_predictor(of: Ratings) -> RatingModel:
    """See `planted_predictor`."""
    return planted_predictor(of.movies)


def clubs(
    users: int = 400, clubs: int = 6, movies: int = 12, loyal: float = 0.9, seed: int = 0
) -> list[tuple[int, int, float, int]]:
    """Each user likes eight movies, an hour apart, mostly those of one club of movies.

    Any ten of the 72 movies are the right ones a seventh of the time.
    """
    chance = np.random.default_rng(seed)
    events = []
    for user in range(1, users + 1):
        club = chance.integers(clubs)
        own = chance.permutation(movies) + club * movies
        others = chance.permutation(np.setdiff1d(np.arange(clubs * movies), own))
        liked = np.where(chance.random(8) < loyal, own[:8], others[:8])
        begin = int(chance.integers(1000)) * DAY
        events += [(user, int(m) + 1, 4.0, begin + i * HOUR) for i, m in enumerate(liked)]
    return events


def strides(users: int = 300, movies: int = 40, seed: int = 0) -> list[tuple[int, int, float, int]]:
    """Each user goes round the movies by steps of 1, 3, 7 or 11, eight movies in all.

    The two latest movies tell the next one, always; one alone leaves four. Which movies are watched
    together tells less, and the latest ones of those more, but less than their order. The best
    possible NDCG is 0.949: of seven movies to predict, the first one is at ranks 1 to 4.
    """
    chance = np.random.default_rng(seed)
    events = []
    for user in range(1, users + 1):
        first, begin = int(chance.integers(movies)), int(chance.integers(1000)) * DAY
        step = int(chance.choice([1, 3, 7, 11]))
        events += [(user, (first + i * step) % movies + 1, 4.0, begin + i * HOUR) for i in range(8)]
    return events


def chains(users: int = 300, movies: int = 40, seed: int = 0) -> list[tuple[int, int, float, int]]:
    """Each user watches a run of eight movies in the order of their ids, round and round.

    The next movie is the latest one's successor, always.
    """
    chance = np.random.default_rng(seed)
    events = []
    for user in range(1, users + 1):
        first, begin = int(chance.integers(movies)), int(chance.integers(1000)) * DAY
        events += [(user, (first + i) % movies + 1, 4.0, begin + i * HOUR) for i in range(8)]
    return events
