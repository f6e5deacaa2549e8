"""Answers to how many stars: state is read, pairs are asked about, and what was done is said."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from api import metrics
from api.lists.freshness import LogPosition, UserView, view_user
from api.predict.predictor import Answers, predict
from api.predict.questions import NOBODY, Pairs
from api.schemas.freshness import Freshness
from api.schemas.predictions import (
    BatchPredicted,
    BatchQuestion,
    Pair,
    PredictionDegraded,
    RatingPredicted,
    RatingQuestion,
)
from api.serving.watcher import Serving
from api.stages import stage
from stream.contracts.errors import StoreUnavailable
from stream.contracts.topics import partition_of
from stream.features import UserState
from stream.store import StateStore
from training.blocks import runs

# Ratings of all pairs' people that are looked at together: some 200 MB. Each pair that its person
# has rated takes a history of its own, and somebody may have rated ten thousand movies.
TOGETHER: Final = 1 << 21

_DECIMALS = 4  # of stars: what is behind them depends on the order of sums


class Asked(NamedTuple):
    """A question about one person and one movie, and what it was answered from.

    Attributes:
        view: None where the state could not be read.
        state: the person's, empty without one.
        at: the moment that was asked about, ms.
    """

    view: UserView | None
    state: UserState
    at: int


async def predict_rating(
    store: StateStore, serving: Serving, asked: RatingQuestion
) -> RatingPredicted:
    """For one pair. Raises ProblemError where there is nothing to predict from (503)."""
    about = await read(store, serving, asked)
    with stage("predict"):
        answers = predict(serving, [about.state], pair_of(asked), asked.coverage, about.at)
    return RatingPredicted(**answer_of(asked, about, answers))


async def predict_batch(
    store: StateStore, serving: Serving, asked: BatchQuestion
) -> BatchPredicted:
    """For many pairs, each distinct one of which is asked about once. Raises as for one."""
    users = list(dict.fromkeys(pair.user_id for pair in asked.pairs))
    with stage("state"):
        states, positions = await _read_many(store, serving, users)
    pairs = list(dict.fromkeys((pair.user_id, pair.movie_id) for pair in asked.pairs))
    place = {user: at for at, user in enumerate(users)}
    about = Pairs(
        np.array([place[user] for user, _ in pairs], np.int64),
        np.array([movie for _, movie in pairs], np.uint32),
    )
    at = _moment(asked.at)
    of_users = [(states or {}).get(user, NOBODY) for user in users]
    lengths = np.array([len(of_users[person]) for person in about.of], np.int64)
    predictions: list[dict[str, Any]] = []
    with stage("predict"):
        for some in runs(lengths, TOGETHER):
            people, of = np.unique(about.of[some], return_inverse=True)
            theirs, these = [of_users[it] for it in people], Pairs(of, about.movies[some])
            # A thousand take tens of milliseconds, in which others are to be answered.
            answers = await asyncio.to_thread(predict, serving, theirs, these, asked.coverage, at)
            predictions += _predictions(pairs[some], theirs, these, answers, states is None)
    found = dict(zip(pairs, predictions, strict=True))
    return BatchPredicted.model_validate(
        {
            **_common(asked.coverage, at, answers, states is None),
            "predictions": [found[pair.user_id, pair.movie_id] for pair in asked.pairs],
            "positions": positions,
        }
    )


async def read(store: StateStore, serving: Serving, asked: RatingQuestion) -> Asked:
    """The person's state, as far as there is one."""
    view = None
    if serving.partitions is not None:
        with stage("state"):
            try:
                view = await view_user(store, serving.partitions, asked.user_id, None, 0)
            except StoreUnavailable:
                view = None
    return Asked(view, NOBODY if view is None else view.record.state, _moment(asked.at))


def pair_of(asked: Pair) -> Pairs:
    """The one pair."""
    return Pairs(np.zeros(1, np.int64), np.array([asked.movie_id], np.uint32))


def answer_of(asked: RatingQuestion, about: Asked, answers: Answers) -> dict[str, Any]:
    """The fields of `RatingPredicted`."""
    view = about.view
    [prediction] = _predictions(
        [(asked.user_id, asked.movie_id)], [about.state], pair_of(asked), answers, view is None
    )
    return {
        **_common(asked.coverage, about.at, answers, view is None),
        "prediction": prediction,
        "freshness": Freshness() if view is None else view.freshness(),
    }


def rounded(stars: float) -> float:
    """As answers say it."""
    return round(float(stars), _DECIMALS)


async def _read_many(
    store: StateStore, serving: Serving, users: Sequence[int]
) -> tuple[Mapping[int, UserState] | None, list[str]]:
    """States of those who have one, and how far their partitions had got; None where the store
    does not answer."""
    if serving.partitions is None:
        return None, []
    of: dict[int, list[int]] = {}
    for user in users:
        of.setdefault(partition_of(user, serving.partitions), []).append(user)
    try:
        found = await store.read_users(of)
    except StoreUnavailable:
        return None, []
    states = {user: state for _, some in found.values() for user, state in some.items()}
    applied = {
        partition: position.next_offset - 1
        for partition, (position, _) in sorted(found.items())
        if position is not None and position.next_offset > 0
    }
    return states, [str(LogPosition(*position)) for position in applied.items()]


def _moment(at: int | None) -> int:
    return int(time.time() * 1_000) if at is None else at


def _common(coverage: float, at: int, answers: Answers, stateless: bool) -> dict[str, Any]:
    degraded: list[PredictionDegraded] = []
    if stateless:
        degraded.append("state_unavailable")
    if answers.model_version is None:
        degraded.append("model_unavailable")
    for reason in degraded:
        metrics.DEGRADED.labels(reason).inc()
    return {
        "coverage": coverage,
        "calibrated": answers.model_version is not None,
        "at": at,
        "degraded": degraded,
        "model_version": answers.model_version,
    }


def _predictions(
    ids: Sequence[tuple[int, int]],
    states: Sequence[UserState],
    pairs: Pairs,
    answers: Answers,
    stateless: bool,
) -> list[dict[str, Any]]:
    """The fields of `Prediction`: pydantic makes a thousand in one go faster than one at a time."""
    bounds = zip(
        *(of.astype(np.float64).round(_DECIMALS).tolist() for of in answers.stars), strict=True
    )
    known = zip(pairs.of.tolist(), answers.others.tolist(), answers.movies, strict=True)
    counts = [len(state) for state in states]
    return [
        {
            "user_id": user,
            "movie_id": movie,
            "stars": stars,
            "low": low,
            "high": high,
            "basis": {
                "user": "unavailable" if stateless else "ratings" if counts[person] else "new",
                "user_ratings": counts[person],
                "movie": basis,
                "movie_ratings": others + (own > 0),
            },
            "rated": own / 2 if own else None,
        }
        for (user, movie), (stars, low, high), (person, others, basis), own in zip(
            ids, bounds, known, answers.rated.own.tolist(), strict=True
        )
    ]
