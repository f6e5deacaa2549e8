"""Several people at once: what is known of each, and what they think of movies."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from api.errors import unavailable
from api.lists.emptiness import impossible
from api.lists.everybody import trending
from api.lists.freshness import UserView
from api.lists.scoring import Opinions, opinions
from api.lists.wanted import Wanted
from api.schemas.several import Person
from api.serving.models import ServedModel
from api.serving.watcher import Movie, Serving
from stream.contracts.topics import partition_of
from stream.features import UserState
from stream.records import UserRecord
from stream.store import StateStore
from training.movie_filter import ALL_MOVIES, MovieFilter
from training.movie_table import Mask
from training.repertoire import Repertoire


class Reading(NamedTuple):
    """Somebody, what is known of them, and whether the model learnt any movie that they rated."""

    user_id: int
    view: UserView
    known: bool

    @property
    def state(self) -> UserState:
        return self.view.record.state

    def person(self) -> Person:
        """The same for an answer."""
        return Person(
            user_id=self.user_id,
            known=self.known,
            ratings=len(self.state),
            freshness=self.view.freshness(),
        )


async def read_people(
    store: StateStore, serving: Serving, user_ids: Sequence[int]
) -> list[Reading]:
    """What is known of distinct people, in this order.

    Raises:
        ProblemError: no worker has said yet how many partitions there are (503).
        StoreUnavailable: the store does not answer.
    """
    if serving.partitions is None:
        raise unavailable("no worker has said yet how many partitions there are: start one")
    partitions = {id_: partition_of(id_, serving.partitions) for id_ in user_ids}
    asked: dict[int, list[int]] = {}
    for id_, partition in partitions.items():
        asked.setdefault(partition, []).append(id_)
    found = await store.read_users(asked)
    readings = []
    for id_, partition in partitions.items():
        position, states = found[partition]
        state = states.get(id_, UserState())
        view = UserView(partition, position, UserRecord(state), None)
        readings.append(Reading(id_, view, _is_known(serving.repertoire, state)))
    return readings


async def their_opinions(
    serving: Serving,
    states: Sequence[UserState],
    seen: Iterable[int],
    wanted: MovieFilter,
    count: int,
) -> Opinions | None:
    """`opinions` of the wanted movies that are not among the seen ones.

    None where no model is served, or it fails.
    """
    model, movies = serving.model, serving.repertoire
    if model is None or movies is None:
        return None
    left_out = left_out_of(movies, seen, wanted)
    with model.use():
        return await asyncio.to_thread(
            _opinions_or_none, serving, model, movies, states, left_out, count
        )


def left_out_of(movies: Repertoire, seen: Iterable[int], wanted: MovieFilter) -> Mask:
    """bool[n + m]: what is seen or not wanted."""
    matching = movies.matching(wanted)
    left_out = np.zeros(len(movies.items.movie_ids), np.bool_) if matching is None else ~matching
    rows = movies.items.rows(np.fromiter(seen, np.uint32))
    left_out[rows[rows >= 0]] = True
    return left_out


def seen_by(people: Iterable[Reading]) -> set[int]:
    """The movies that any of them has rated."""
    return {movie_id for one in people for movie_id in one.state.movie_ids().tolist()}


def without_model(
    serving: Serving, seen: Iterable[int], wanted: MovieFilter, limit: int
) -> list[tuple[Movie, float]]:
    """What is trending, of the wanted movies that are not among the seen ones, with scores."""
    found = trending(serving, frozenset(seen), Wanted(limit, wanted), "model_unavailable")
    return [(candidate.movie, candidate.score) for candidate in found.candidates]


def why_none(serving: Serving, wanted: MovieFilter, left_out: str = "rated") -> str:
    """Why a list is empty: one sentence, for whoever chose the filters.

    Args:
        serving: what the list was made with.
        wanted: which movies.
        left_out: what the movies are that are in no such list.
    """
    if wanted == ALL_MOVIES:
        return f"everything that can be recommended is {left_out}, or nothing is known yet"
    reason = impossible(serving, wanted)
    return reason or f"no movie that is not {left_out} meets every filter"


def _opinions_or_none(
    serving: Serving,
    model: ServedModel,
    movies: Repertoire,
    states: Sequence[UserState],
    left_out: Mask,
    count: int,
) -> Opinions | None:
    try:
        return opinions(model.artifact, movies, serving.live, states, left_out, count)
    except Exception as error:  # noqa: BLE001 - towers or ranker: there is an answer without them
        model.note_failure("model_unavailable", error)
        return None


def _is_known(movies: Repertoire | None, state: UserState) -> bool:
    if movies is None or not len(state):
        return False
    rows = movies.items.rows(state.movie_ids())
    return bool(((rows >= 0) & (rows < movies.learnt)).any())
