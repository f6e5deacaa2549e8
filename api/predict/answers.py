"""Answers to how many stars: state is read, pairs are asked about, and what was done is said."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from api import metrics
from api.lists.freshness import LogPosition, UserView, view_user
from api.predict.predictor import Answers, predict
from api.predict.questions import NOBODY, Pairs
from api.predict.written import Written, written
from api.schemas.freshness import Freshness
from api.schemas.predictions import (
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


async def predict_batch(store: StateStore, serving: Serving, asked: BatchQuestion) -> bytes:
    """The JSON of `BatchPredicted`: each distinct pair is asked about once. Raises as for one."""
    users = list(dict.fromkeys(pair.user_id for pair in asked.pairs))
    with stage("state"):
        states, positions = await _read_many(store, serving, users)
    with stage("predict"):
        # A thousand take tens of milliseconds, in which others are to be answered.
        return await asyncio.to_thread(_answered, serving, asked, users, states, positions)


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
    ratings = np.array([len(about.state)])
    [prediction] = written([(asked.user_id, asked.movie_id)], ratings, answers, view is None)
    return {
        **_common(asked.coverage, about.at, answers, view is None),
        "prediction": msgspec.to_builtins(prediction),
        "freshness": Freshness() if view is None else view.freshness(),
    }


def _answered(
    serving: Serving,
    asked: BatchQuestion,
    users: Sequence[int],
    states: Mapping[int, UserState] | None,
    positions: list[str],
) -> bytes:
    pairs = list(dict.fromkeys((pair.user_id, pair.movie_id) for pair in asked.pairs))
    place = {user: at for at, user in enumerate(users)}
    about = Pairs(
        np.array([place[user] for user, _ in pairs], np.int64),
        np.array([movie for _, movie in pairs], np.uint32),
    )
    at = _moment(asked.at)
    of_users = [(states or {}).get(user, NOBODY) for user in users]
    lengths = np.array([len(state) for state in of_users], np.int64)[about.of]
    predictions: list[Written] = []
    for some in runs(lengths, TOGETHER):
        people, of = np.unique(about.of[some], return_inverse=True)
        theirs = [of_users[person] for person in people.tolist()]
        these = Pairs(of, about.movies[some])
        answers = predict(serving, theirs, these, asked.coverage, at)
        predictions += written(pairs[some], lengths[some], answers, states is None)
    found = dict(zip(pairs, predictions, strict=True))
    return msgspec.json.encode(
        {
            **_common(asked.coverage, at, answers, states is None),
            "predictions": [found[pair.user_id, pair.movie_id] for pair in asked.pairs],
            "positions": positions,
        }
    )


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
