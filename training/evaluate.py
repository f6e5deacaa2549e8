"""How good recommendations are, measured on ratings that the model has not seen.

Two protocols are on the part of the ratings after a moment in time, and ask for movies that the
user then liked:

- `frozen`: one list a user, from their state at that moment, against all they liked afterwards.
  What a nightly batch would deliver.
- `live`: one list an event, from the state right before it, against that one movie. What Freshet
  delivers, where the state takes in every rating at once.

A third fills in what was held out of the histories, wherever it was: `filled_in`.

All are over the whole catalogue less what the user has rated by then. Users without any rating by
then are left out: they are shown what is trending.
"""

from typing import Final, NamedTuple

import numpy as np

from stream.contracts.errors import DatasetError
from training.dataset import LIKED, Ratings
from training.histories import Histories
from training.metrics import Judged, hit_rate, judge, ndcg, recall
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
    return _quality(judge(top, np.arange(len(events)), ratings.rows[events]))


def frozen(ratings: Ratings, model: Scores, events: Ints, max_lists: int = MAX_LISTS) -> Quality:
    """Predict all movies liked among `events` from the user's state before the first of them.

    Args:
        ratings: where the events are.
        model: the model.
        events: i64[] all events after a moment in time, in order.
        max_lists: where there are more users, evenly spaced ones stand for all.
    """
    users, starts = np.unique(ratings.users[events], return_index=True)
    liked = events[ratings.half_stars[events] >= LIKED]
    before = ratings.first[events[starts]] < events[starts]
    chosen = _evenly(np.flatnonzero(before & np.isin(users, ratings.users[liked])), max_lists)
    top = _lists(model, Histories.before(ratings, events[starts[chosen]]))
    asked = np.isin(ratings.users[liked], users[chosen])
    held = np.searchsorted(users[chosen], ratings.users[liked[asked]])
    return _quality(judge(top, held, ratings.rows[liked[asked]]))


def filled_in(
    ratings: Ratings, model: Scores, known: Ints, events: Ints, max_lists: int = MAX_LISTS
) -> Quality:
    """Predict all movies rated in `events`, liked or not, from what their users did in `known`.

    Args:
        ratings: where the events are.
        model: the model.
        known: i64[] what histories are made of, ascending.
        events: i64[] held-out events, ascending.
        max_lists: where there are more users, evenly spaced ones stand for all.
    """
    log = ratings.take(known)
    users = np.unique(ratings.users[events])
    users = _evenly(users[np.isin(users, log.users)], max_lists)
    asked = events[np.isin(ratings.users[events], users)]
    held = np.searchsorted(users, ratings.users[asked])
    return _quality(judge(_lists(model, Histories.of_users(log, users)), held, ratings.rows[asked]))


def _lists(model: Scores, histories: Histories) -> Ints:
    if len(histories.log.movies) < K:
        raise DatasetError(
            f"a list of {K} movies needs more than {len(histories.log.movies)} of them"
        )
    return recommend(model, histories, K)


def _evenly(events: Ints, limit: int) -> Ints:
    return events[:: -(-len(events) // limit)] if len(events) > limit else events


def _quality(judged: Judged) -> Quality:
    values = [metric(judged, K) for metric in (recall, ndcg, hit_rate)]
    means = (float(of_lists.mean()) if len(of_lists) else 0.0 for of_lists in values)
    return Quality(len(judged.relevant), *means)
