"""How good recommendations are, measured on ratings that the model has not seen.

Two protocols, both on the part of the ratings after a moment in time, both over the whole
catalogue less what the user has rated by then, and both asking for movies the user then liked:

- `frozen`: one list a user, from their state at that moment, against all they liked afterwards.
  What a nightly batch would deliver.
- `live`: one list an event, from the state right before it, against that one movie. What Freshet
  delivers, where the state takes in every rating at once.

Users without any rating by then are left out of both: they are shown what is trending.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.contracts.errors import DatasetError
from training.dataset import LIKED, Ratings
from training.histories import Histories
from training.metrics import hit_rate, ndcg, recall
from training.recommender import Scores, recommend
from training.tower_inputs import Ints

K: Final = 10  # movies in a list: what a first screen shows
MAX_LISTS: Final = 20_000  # with so many the standard error of a hit rate of 0.2 is 0.003


class Quality(NamedTuple):
    """Mean over `lists` lists of K movies."""

    lists: int
    recall: float
    ndcg: float
    hit_rate: float


def live(ratings: Ratings, model: Scores, events: Ints, max_lists: int = MAX_LISTS) -> Quality:
    """Predict each liked movie among `events` from the user's state right before.

    Args:
        ratings: where the events are.
        model: the model.
        events: i64[] held-out events.
        max_lists: where there are more, evenly spaced ones stand for all.
    """
    events = events[(ratings.half_stars[events] >= LIKED) & (ratings.first[events] < events)]
    events = _evenly(events, max_lists)
    top = _lists(model, Histories.before(ratings, events))
    return _quality(top == ratings.rows[events][:, None], np.ones(len(events), np.int64))


def frozen(ratings: Ratings, model: Scores, events: Ints, max_lists: int = MAX_LISTS) -> Quality:
    """Predict all movies liked among `events` from the user's state before the first of them.

    Args:
        ratings: where the events are.
        model: the model.
        events: i64[] all events after a moment in time, in order.
        max_lists: where there are more users, evenly spaced ones stand for all.
    """
    _, starts, users = np.unique(ratings.users[events], return_index=True, return_inverse=True)
    liked = ratings.half_stars[events] >= LIKED
    relevant = np.bincount(users[liked], minlength=len(starts))
    before = ratings.first[events[starts]] < events[starts]
    chosen = _evenly(np.flatnonzero(before & (relevant > 0)), max_lists)
    top = _lists(model, Histories.before(ratings, events[starts[chosen]]))
    pairs = users[liked] * len(ratings.movies) + ratings.rows[events[liked]]
    hits = np.isin(chosen[:, None] * len(ratings.movies) + top, pairs)
    return _quality(hits, relevant[chosen])


def _lists(model: Scores, histories: Histories) -> Ints:
    if len(histories.log.movies) < K:
        raise DatasetError(
            f"a list of {K} movies needs more than {len(histories.log.movies)} of them"
        )
    return recommend(model, histories, K)


def _evenly(events: Ints, limit: int) -> Ints:
    return events[:: -(-len(events) // limit)] if len(events) > limit else events


def _quality(hits: npt.NDArray[np.bool_], relevant: Ints) -> Quality:
    return Quality(len(hits), recall(hits, relevant), ndcg(hits, relevant), hit_rate(hits))
