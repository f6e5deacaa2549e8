"""What every recommender of the lab can do, and the lists that come of it.

A recommender scores the whole catalogue; ranking, and leaving out what somebody has rated, is done
here for all of them alike.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np

from training.dataset import Ratings
from training.histories import Histories
from training.tower_inputs import Floats, Ints

# Metadata of a hyperparameter that a fit does not look at, only the questions after it: one fit
# serves all its values, see `asked_with`.
WHEN_ASKED: Final[Mapping[str, bool]] = {"when asked": True}

# Told how far a fit has got: steps done, of so many.
OnProgress: TypeAlias = Callable[[int, int], None]

# Told after an epoch of a fit: its number, from 1.
OnEpoch: TypeAlias = Callable[[int], None]

NOTHING: Final = -1  # row where a list has no more movies
NOWHERE: Final = 2**31 - 1  # rank of a movie that is in no list, however long
_BATCH: Final = 256  # lists at once: 60 MB of scores at 62,000 movies


class Scores(Protocol):
    def score(self, histories: Histories) -> Floats:
        """f32[B, movies]: higher is better. The caller may write to it."""
        ...


class Recommender(Scores, Protocol):
    """Scores movies for people, from their histories.

    A recommender is a dataclass whose init fields are its hyperparameters; those that a fit does
    not look at have the metadata `WHEN_ASKED`. After a fit it has an answer for any history over
    the catalogue that it was fitted on, an empty one included, and none of them is NaN. Scores
    compare within a list only.
    """

    def fit(self, train: Ratings, on_progress: OnProgress = ...) -> None:
        """Learn from these ratings alone, forgetting what was learnt before.

        Raises:
            DatasetError: there is nothing in them that this model could learn.
        """
        ...


@runtime_checkable
class FitsInEpochs(Recommender, Protocol):
    """A recommender that has answers after each epoch already, so that a fit can be given up."""

    def fit_epochs(self, train: Ratings, on_epoch: OnEpoch, on_progress: OnProgress = ...) -> None:
        """Fit as `fit` does.

        Args:
            train: all that it may know.
            on_epoch: called when the recommender answers as after that epoch. What it raises ends
                the fit.
            on_progress: as of `fit`.
        """
        ...


@runtime_checkable
class KnowsUsers(Protocol):
    """A recommender that learns something of each user that their history does not give back."""

    def score_users(self, users: Ints) -> Floats:
        """f32[B, movies] for users as the fit saw them; who was not in it is new."""
        ...


@runtime_checkable
class Observes(Protocol):
    """A recommender that knows more of the present than the user's history, such as trends."""

    def observe(self, events: Ratings) -> None:
        """Take in what happened since the fit, or since the last call. Tags are not among it."""
        ...


@runtime_checkable
class PredictsRatings(Protocol):
    """A recommender that says how many stars somebody would give."""

    def predict(self, histories: Histories, rows: Ints, times: Ints) -> Floats:
        """f32[B] stars, 0.5..5, that each user would give one movie.

        Args:
            histories: of B users.
            rows: i64[B] the movie that each is asked about.
            times: i64[B] when, ms since the epoch.
        """
        ...


@runtime_checkable
class PredictsOfUsers(PredictsRatings, Protocol):
    """A recommender that knows users, and says more of their stars than their history does."""

    def predict_users(self, users: Ints, rows: Ints) -> Floats:
        """f32[B] stars, 0.5..5, that each would give one movie; who was not in the fit is new.

        Args:
            users: i64[B] as the fit saw them.
            rows: i64[B] the movie that each is asked about.
        """
        ...


class Reason(NamedTuple):
    """What one thing added to a score.

    Attributes:
        kind: ``movie`` in the history, ``user`` alike, or ``feature``.
        name: the movie's row, the user's id, or the feature's name.
        amount: what the score would lack without it.
    """

    kind: str
    name: int | str
    amount: float


@runtime_checkable
class Explains(Protocol):
    """A recommender whose scores are sums of reasons."""

    def explain(self, histories: Histories, rows: Ints) -> list[list[Reason]]:
        """Of B users and one movie each: what adds up to the score, largest amount first."""
        ...


_Model = TypeVar("_Model", bound=Recommender)


def when_asked(model: Recommender) -> frozenset[str]:
    """Names of the hyperparameters that a fit does not look at."""
    hyperparameters = fields(model)  # type: ignore[arg-type]
    return frozenset(one.name for one in hyperparameters if one.metadata == WHEN_ASKED)


def asked_with(model: _Model, **hyperparameters: object) -> _Model:
    """The fitted model with other values of some `when_asked`, as if it had been fitted so.

    What it has learnt is shared with the model.
    """
    twin = copy.copy(model)
    for name, value in hyperparameters.items():
        setattr(twin, name, value)
    return twin


def score_users(model: Recommender, train: Ratings, users: Ints) -> Floats:
    """f32[B, movies] for these users as the fit on `train` saw them."""
    if isinstance(model, KnowsUsers):
        return model.score_users(users)
    return model.score(Histories.of_users(train, users))


def without_rated(scores: Floats, histories: Histories) -> Floats:
    """f32[B, movies]: the same array, with -inf for what each user has rated."""
    lists, events = histories.events()
    scores[lists, histories.log.rows[events]] = -np.inf
    return scores


def top(scores: Floats, k: int) -> Ints:
    """i64[B, k]: the rows with the best scores, best first; NOTHING where no more are to be had.

    -inf is never in a list. Among equal scores a fixed random order of the movies decides, the
    same as in `ranks`: the order of the catalogue would favour old movies.
    """
    lists, movies = scores.shape
    shown = min(k, movies)
    chosen = np.full((lists, k), NOTHING, np.int64)
    if not shown or not lists:
        return chosen
    order = _tie_order(movies)
    best = np.argpartition(-scores, shown - 1, axis=1)[:, :shown]
    edge = np.take_along_axis(scores, best[:, -1:], axis=1)
    # Where more movies than have room share the last score, the partition took any of them.
    for row in np.flatnonzero((scores >= edge).sum(axis=1) > shown):
        above = np.flatnonzero(scores[row] > edge[row])
        level = np.flatnonzero(scores[row] == edge[row])
        level = level[np.argsort(order[level])]
        best[row] = np.concatenate([above, level])[:shown]
    values = np.take_along_axis(scores, best, axis=1)
    sorting = np.lexsort((order[best], -values), axis=1)
    best = np.take_along_axis(best, sorting, axis=1)
    values = np.take_along_axis(values, sorting, axis=1)
    chosen[:, :shown] = np.where(values == -np.inf, NOTHING, best)
    return chosen


def ranks(scores: Floats, rows: Ints) -> Ints:
    """i64[B]: the place of one movie in each list, 1 the best, ties as in `top`.

    NOWHERE for a movie with -inf, which is in no list. With NaN too: a model that fails shall not
    look perfect.
    """
    lists = np.arange(len(rows))
    own = scores[lists, rows][:, None]
    order = _tie_order(scores.shape[1])
    before = (~(scores <= own)).sum(axis=1)
    level = scores == own
    tied = level.sum(axis=1) > 1
    if tied.any():
        earlier = order[None, :] < order[rows[tied]][:, None]
        before[tied] += (level[tied] & earlier).sum(axis=1)
    return np.where(own[:, 0] > -np.inf, before + 1, NOWHERE)


def recommend(model: Scores, histories: Histories, k: int) -> Ints:
    """i64[B, k]: the best movies that each user has not rated, as `top` gives them."""
    lists = [top(without_rated(model.score(some), some), k) for some in batches(histories)]
    return np.concatenate(lists) if lists else np.zeros((0, k), np.int64)


def batches(histories: Histories, size: int = _BATCH) -> Iterator[Histories]:
    """The histories, so many at a time."""
    for start in range(0, len(histories), size):
        yield histories[start : start + size]


@lru_cache(maxsize=4)  # it takes longer than to rank a single list
def _tie_order(movies: int) -> Ints:
    """i64[movies]: each movie's place in a random order that is always the same. Read-only."""
    order = np.random.default_rng(movies).permutation(movies)
    order.flags.writeable = False
    return order
