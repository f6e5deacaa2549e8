"""Answers to how many stars: state is read, pairs are asked about, and what was done is said."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np

from api import metrics
from api.lists.freshness import LogPosition, UserView, view_user
from api.predict.predictor import Answers, predict
from api.predict.questions import NOBODY, Pairs
from api.predict.waiting import all_included
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
from stream.contracts.keys import Position
from stream.contracts.topics import partition_of
from stream.features import UserState
from stream.store import StateStore
from training.blocks import runs

# Ratings of all pairs' people that are looked at together: some 200 MB. Each pair that its person
# has rated takes a history of its own, and somebody may have rated ten thousand movies.
TOGETHER: Final = 1 << 21

# By partition: how far it had got, and the states of those who have one.
Found: TypeAlias = Mapping[int, tuple[Position | None, Mapping[int, UserState]]]


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
    store: StateStore, serving: Serving, asked: RatingQuestion, after: Sequence[LogPosition] = ()
) -> RatingPredicted:
    """For one pair; `after`: what `wait` gave.

    Raises ProblemError where there is nothing to predict from (503).
    """
    about = await read(store, serving, asked, after)
    with stage("predict"):
        answers = predict(serving, [about.state], pair_of(asked), asked.coverage, about.at)
    return RatingPredicted(**answer_of(asked, about, answers))


async def predict_batch(
    store: StateStore, serving: Serving, asked: BatchQuestion, after: Sequence[LogPosition] = ()
) -> bytes:
    """The JSON of `BatchPredicted`: each distinct pair is asked about once. Raises as for one."""
    users = list(dict.fromkeys(pair.user_id for pair in asked.pairs))
    with stage("state"):
        found = await _read_many(store, serving, users)
    with stage("predict"):
        # A thousand take tens of milliseconds, in which others are to be answered.
        return await asyncio.to_thread(_answered, serving, asked, users, found, after)


async def read(
    store: StateStore, serving: Serving, asked: RatingQuestion, after: Sequence[LogPosition]
) -> Asked:
    """The person's state, as far as there is one."""
    view = None
    if serving.partitions is not None:
        with stage("state"):
            it = next(iter(after), None)
            try:
                view = await view_user(store, serving.partitions, asked.user_id, it, 0)
            except StoreUnavailable:
                view = None
    return Asked(view, NOBODY if view is None else view.record.state, _moment(asked.at))


def pair_of(asked: Pair) -> Pairs:
    """The one pair."""
    return Pairs(np.zeros(1, np.int64), np.array([asked.movie_id], np.uint32))


def answer_of(asked: RatingQuestion, about: Asked, answers: Answers) -> dict[str, Any]:
    """The fields of `RatingPredicted`."""
    view = about.view
    unknown = Freshness(included=False if asked.after else None)
    ratings = np.array([len(about.state)])
    [prediction] = written([(asked.user_id, asked.movie_id)], ratings, answers, view is None)
    return {
        **_common(asked.coverage, about.at, answers.model_version, view is None),
        "prediction": msgspec.to_builtins(prediction),
        "freshness": unknown if view is None else view.freshness(),
    }


def _answered(
    serving: Serving,
    asked: BatchQuestion,
    users: Sequence[int],
    found: Found | None,
    after: Sequence[LogPosition],
) -> bytes:
    applied, states = None, None
    if found is not None:
        applied = {partition: position for partition, (position, _) in sorted(found.items())}
        states = {user: state for _, some in found.values() for user, state in some.items()}
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
    versions: set[str | None] = set()
    for some in runs(lengths, TOGETHER):
        people, of = np.unique(about.of[some], return_inverse=True)
        theirs = [of_users[person] for person in people.tolist()]
        these = Pairs(of, about.movies[some])
        answers = predict(serving, theirs, these, asked.coverage, at)
        predictions += written(pairs[some], lengths[some], answers, states is None)
        versions.add(answers.model_version)
    version = None if None in versions else versions.pop()  # it may have failed for a portion
    of_pair = dict(zip(pairs, predictions, strict=True))
    return msgspec.json.encode(
        {
            **_common(asked.coverage, at, version, states is None),
            "predictions": [of_pair[pair.user_id, pair.movie_id] for pair in asked.pairs],
            "positions": [
                str(LogPosition(partition, position.next_offset - 1))
                for partition, position in (applied or {}).items()
                if position is not None and position.next_offset > 0
            ],
            "included": all_included(after, applied),
        }
    )


async def _read_many(store: StateStore, serving: Serving, users: Sequence[int]) -> Found | None:
    """What is known of these users; None where the store does not answer."""
    if serving.partitions is None:
        return None
    of: dict[int, list[int]] = {}
    for user in users:
        of.setdefault(partition_of(user, serving.partitions), []).append(user)
    try:
        return await store.read_users(of)
    except StoreUnavailable:
        return None


def _moment(at: int | None) -> int:
    return int(time.time() * 1_000) if at is None else at


def _common(coverage: float, at: int, version: str | None, stateless: bool) -> dict[str, Any]:
    degraded: list[PredictionDegraded] = []
    if stateless:
        degraded.append("state_unavailable")
    if version is None:
        degraded.append("model_unavailable")
    for reason in degraded:
        metrics.DEGRADED.labels(reason).inc()
    return {
        "coverage": coverage,
        "calibrated": version is not None,
        "at": at,
        "degraded": degraded,
        "model_version": version,
    }
