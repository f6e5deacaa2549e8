"""Which movies, from which source: near the user, like what they rated, trending or popular."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from api.lists.deadline import NEVER, Deadline, DeadlinePassed
from api.lists.everybody import Candidate, Retrieved, popular, trending
from api.lists.ranking import Person, Ranked, how_many_near, rank
from api.lists.wanted import Wanted
from api.schemas.recommendations import DegradedReason
from api.serving.live import LiveMovies
from api.serving.models import ServedModel
from api.serving.watcher import Movie, Serving
from api.stages import stage
from stream.contracts.errors import ArtifactError, IndexUnavailable
from stream.records import UserRecord
from training.ranking import Ranking
from training.repertoire import Repertoire
from training.standing import standing_of

T = TypeVar("T")


async def retrieve(
    serving: Serving, record: UserRecord, wanted: Wanted, deadline: Deadline = NEVER
) -> Retrieved:
    """Movies for a user, without those they rated.

    From the first rating on, the ranker's order of what is near the user's vector, like what they
    rated, hot, and new; before it, trending. Trending too where there is no model, or where it
    learnt none of the movies rated.

    What fails is done without, and so is what would be late. The user tower: near the pooled vector
    of what they rated instead. The index: what the others propose is ranked alone. The ranker: the
    nearest movies as they are.

    Args:
        serving: what to answer from.
        record: of the user.
        wanted: how long the list is, and which movies are in it.
        deadline: a search on a server is given up then; nothing that takes time begins after it.
    """
    seen = frozenset(record.state.movie_ids().tolist())
    model, movies = serving.model, serving.repertoire
    if wanted.strategy == "popular":
        return popular(serving, wanted, without=seen)
    if not seen or wanted.strategy == "trending":
        return trending(serving, seen, wanted)
    if model is None or movies is None:
        return trending(serving, seen, wanted, "model_unavailable")
    with model.use():
        return await _personal(serving, model, movies, record, seen, wanted, deadline)


async def _personal(
    serving: Serving,
    model: ServedModel,
    movies: Repertoire,
    record: UserRecord,
    seen: Collection[int],
    wanted: Wanted,
    deadline: Deadline,
) -> Retrieved:
    items, ranking = movies.items, model.artifact.ranking
    standing = standing_of([record.state], items.rows)
    if not ((standing.rows >= 0) & (standing.rows < movies.learnt)).any():
        return trending(serving, seen, wanted)
    found = Retrieved("two_tower", [])
    try:
        vector = _tower(model, record)
    except ArtifactError as error:
        _missing(model, found, "model_unavailable", error)
        found.strategy = "cold_start"
        pooled = _pooled(model, record)
        if pooled is None:
            return trending(serving, seen, wanted, *found.degraded)
        vector = pooled
    nearest: list[tuple[int, float]] = []
    count = how_many_near(ranking, wanted.limit)
    try:
        with stage("index"):
            nearest = await ask(
                model, lambda: model.index.search(vector, count, seen, wanted.filter), deadline
            )
    except DeadlinePassed:
        found.degraded.append("index_late")
    except IndexUnavailable as error:
        _missing(model, found, "index_unavailable", error)
    near = items.rows(np.array([movie_id for movie_id, _ in nearest], np.uint32))
    known = near >= 0  # another process may have put a movie there that this one has not seen yet
    person = Person(standing, vector, near[known], found.strategy)
    ranked = None
    if wanted.ranker and deadline.passed:
        found.degraded.append("ranker_late")
    elif wanted.ranker:
        try:
            ranked = _ranked(ranking, movies, serving.live, person, wanted)
        except ArtifactError as error:
            _missing(model, found, "ranker_unavailable", error)
    if ranked is None:
        scores = np.array([score for _, score in nearest], np.float32)
        pairs = zip(near[known].tolist(), scores[known].tolist(), strict=True)
        ranked = [Ranked(row, score, found.strategy) for row, score in pairs][: wanted.limit]
        if not ranked:
            return trending(serving, seen, wanted, *found.degraded)
    ids = items.movie_ids[[movie.row for movie in ranked]].tolist()
    await _describe(serving, model, found, dict(zip(ids, ranked, strict=True)), deadline)
    return found


def _missing(
    model: ServedModel, found: Retrieved, reason: DegradedReason, error: Exception
) -> None:
    model.note_failure(reason, error)
    if reason not in found.degraded:
        found.degraded.append(reason)


def _tower(model: ServedModel, record: UserRecord) -> npt.NDArray[np.float32]:
    """What the user tower makes of the history."""
    try:
        with stage("tower"):
            vector: npt.NDArray[np.float32] = model.artifact.user_vectors([record.state])[0]
    except Exception as error:  # ONNX Runtime's errors share no base but this
        raise ArtifactError(f"the user tower failed: {error}") from error
    return vector


def _ranked(
    ranking: Ranking, movies: Repertoire, live: LiveMovies, person: Person, wanted: Wanted
) -> list[Ranked]:
    try:
        with stage("rank"):
            return rank(ranking, movies, live, person, wanted)
    except Exception as error:  # whatever it is, there is an answer without it
        raise ArtifactError(f"the ranker failed: {error}") from error


def _pooled(model: ServedModel, record: UserRecord) -> npt.NDArray[np.float32] | None:
    """The pooled vector of the served version, computed where Redis has another version's."""
    cold_start = record.cold_start
    if cold_start is None or cold_start.tag != model.artifact.items.tag:
        cold_start = model.artifact.items.pool([record.state])[0]
    return None if cold_start is None else cold_start.vector.astype(np.float32)


async def _describe(
    serving: Serving,
    model: ServedModel,
    found: Retrieved,
    ranked: Mapping[int, Ranked],
    deadline: Deadline,
) -> None:
    """Add what the catalogue says of the movies, or else the index; without both there is none."""
    known = serving.catalogue
    movies: dict[int, Movie] = {id_: known[id_] for id_ in ranked if id_ in known}
    strangers = [id_ for id_ in ranked if id_ not in movies]
    if strangers:
        try:
            movies |= await ask(model, lambda: model.index.movies(strangers), deadline)
        except DeadlinePassed:
            found.degraded.append("index_late")
        except IndexUnavailable as error:
            _missing(model, found, "index_unavailable", error)
    found.candidates = [
        Candidate(movies[id_], movie.score, movie.source)
        for id_, movie in ranked.items()
        if id_ in movies
    ]


async def ask(model: ServedModel, question: Callable[[], T], deadline: Deadline = NEVER) -> T:
    """The index's answer. Raises IndexUnavailable, and DeadlinePassed where it would be late."""
    if deadline.passed:
        raise DeadlinePassed
    if model.index.in_process:
        return question()
    asked = asyncio.create_task(_ask_server(model, question))
    done, _ = await asyncio.wait([asked], timeout=deadline.left_or_none())
    if not done:
        asked.add_done_callback(asyncio.Task.exception)  # its answer is of no use any more
        raise DeadlinePassed
    return asked.result()


async def _ask_server(model: ServedModel, question: Callable[[], T]) -> T:
    with model.use():  # the thread goes on after the request has given up
        return await asyncio.to_thread(question)
