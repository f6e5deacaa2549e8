"""Which movies, from which source: the user tower, pooled vectors, trends, or plain popularity."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from api.schemas import DegradedReason, Strategy
from api.serving import Movie, ServedModel, Serving
from stream.contracts.errors import ArtifactError, IndexUnavailable
from stream.records import UserRecord

# Ratings from which the user tower knows a person better than the pooled vectors of a few movies.
TOWER_RATINGS: Final = 5

T = TypeVar("T")


class Candidate(NamedTuple):
    movie: Movie
    score: float
    source: Strategy


@dataclass(slots=True)
class Retrieved:
    """Candidates, best first; how they were found, and what was missing for a better way."""

    strategy: Strategy
    candidates: list[Candidate]
    degraded: list[DegradedReason] = field(default_factory=list)


async def retrieve(serving: Serving, record: UserRecord, limit: int) -> Retrieved:
    """Movies for a user, without those they rated.

    By number of ratings: none, trending; 1 to 4, near the pooled vectors of what they rated; 5 or
    more, near what the user tower makes of their history. Trending too where the model is missing,
    or its index, or where it knows none of the movies rated.
    """
    rated = len(record.state)
    seen = frozenset(record.state.movie_ids().tolist())
    model = serving.model
    if not rated:
        return trending(serving, seen, limit)
    if model is None:
        return trending(serving, seen, limit, "model_unavailable")
    with model.use():
        strategy: Strategy = "two_tower" if rated >= TOWER_RATINGS else "cold_start"
        try:
            vector = (_tower if strategy == "two_tower" else _pooled)(model, record)
            if vector is None:
                return trending(serving, seen, limit)
            candidates = await _nearest(serving, model, vector, seen, limit, strategy)
        except ArtifactError as error:
            model.note_failure("model_unavailable", error)
            return trending(serving, seen, limit, "model_unavailable")
        except IndexUnavailable as error:
            model.note_failure("index_unavailable", error)
            return trending(serving, seen, limit, "index_unavailable")
    return Retrieved(strategy, candidates)


def trending(
    serving: Serving, seen: Collection[int], limit: int, *degraded: DegradedReason
) -> Retrieved:
    """The hottest movies, filled up with popular ones where too few are hot."""
    candidates = list(islice(_trending(serving, seen), limit))
    taken = {candidate.movie.movie_id for candidate in candidates}
    candidates += islice(_popular(serving, taken | set(seen)), limit - len(candidates))
    return Retrieved("trending", candidates, list(degraded))


def popular(serving: Serving, limit: int, *degraded: DegradedReason) -> Retrieved:
    """The most rated movies of the training data: needs neither Redis nor the index."""
    return Retrieved("popular", list(islice(_popular(serving, ()), limit)), list(degraded))


def _trending(serving: Serving, without: Collection[int]) -> Iterable[Candidate]:
    for movie_id, heat in serving.trending:
        movie = serving.movie(movie_id)
        if movie is not None and movie_id not in without:
            yield Candidate(movie, 2.0 ** (heat - serving.trending[0][1]), "trending")


def _popular(serving: Serving, without: Collection[int]) -> Iterable[Candidate]:
    if serving.model is None:
        return
    most = serving.model.most_ratings
    for movie_id, movie in serving.model.popular.items():
        if movie_id not in without:
            known = serving.catalogue.get(movie_id, movie)
            yield Candidate(known, movie.popularity / most, "popular")


def _tower(model: ServedModel, record: UserRecord) -> npt.NDArray[np.float32] | None:
    """What the user tower makes of the history, None where it knows none of the movies."""
    if (model.artifact.items.rows(record.state.movie_ids()) < 0).all():
        return None
    try:
        vector: npt.NDArray[np.float32] = model.artifact.user_vectors([record.state])[0]
    except Exception as error:  # ONNX Runtime's errors share no base but this
        raise ArtifactError(f"the user tower failed: {error}") from error
    return vector


def _pooled(model: ServedModel, record: UserRecord) -> npt.NDArray[np.float32] | None:
    """The cold-start vector of the served version, computed where Redis has another version's."""
    cold_start = record.cold_start
    if cold_start is None or cold_start.tag != model.artifact.items.tag:
        cold_start = model.artifact.items.pool([record.state])[0]
    return None if cold_start is None else cold_start.vector.astype(np.float32)


async def _nearest(
    serving: Serving,
    model: ServedModel,
    vector: npt.NDArray[np.float32],
    seen: Collection[int],
    limit: int,
    source: Strategy,
) -> list[Candidate]:
    hits = await _ask(model, lambda: model.index.search(vector, limit, seen))
    strangers = [movie_id for movie_id, _ in hits if movie_id not in serving.catalogue]
    payloads = await _ask(model, lambda: model.index.movies(strangers)) if strangers else {}
    return [
        Candidate(serving.catalogue.get(movie_id) or payloads[movie_id], score, source)
        for movie_id, score in hits
    ]


async def _ask(model: ServedModel, question: Callable[[], T]) -> T:
    return question() if model.index.in_process else await asyncio.to_thread(question)
