"""Whether an index holds its model: asked once before the promotion, as everybody asks it after.

1. It has as many movies as the model.
2. People of the log are asked about, less what they have rated, and so are canaries: for each genre
   somebody who likes its most rated movies, the same people whatever the log says.
3. Whatever is found must be a movie of the model, called as it is there, with the score that the
   model's vectors give it. A collection that another version filled fails here.
4. What is found is held against the exact answer, which is the best of all products: its recall.
   It is approximate, so it may miss some, if only a few.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isclose
from typing import Final

import numpy as np
from msgspec.structs import replace

from stream.contracts.errors import ArtifactError
from training.artifact import Artifact
from training.dataset import Movie, Ratings
from training.histories import Histories
from training.index import IndexedMovie, MovieIndex
from training.tower_inputs import PADDING, Floats, Ints

PREFIX: Final = "index/"  # of the metrics

PLACES: Final = 50  # of a list: nearly as many candidates as the towers propose
PEOPLE: Final = 200  # of the log: by 10,000 places a recall of 0.95 is known to 0.01
LIKED: Final = 5  # movies that a canary has rated, as many as the onboarding asks for

# An HNSW graph finds 97 % of what trained towers ask of 10,000 movies (`training.index.HNSW_EF`),
# and somewhat less of more. What finds fewer than this is not approximate but broken.
MIN_RECALL: Final = 0.8

# By how much a score may differ from the model's. Products of unit vectors in f32 differ by 1e-6
# from one order of adding up to another; those of another version's by tenths.
ROUNDING: Final = 1e-4

_LAST_BITS: Final = 1e-14  # by what share of it a number may differ that was written in decimals


@dataclass(frozen=True)
class IndexCheck:
    """What an index showed that is the model's.

    Attributes:
        movies: that it holds.
        recall: at `PLACES`, for people of the log; 1 where nobody is in it.
        canary_recall: the same, for the canaries.
    """

    movies: int
    recall: float
    canary_recall: float

    def figures(self) -> dict[str, float]:
        """As MLflow lists them, beside the gate's."""
        return {f"{PREFIX}{name}": float(value) for name, value in asdict(self).items()}


def check_index(index: MovieIndex, artifact: Artifact, log: Ratings) -> IndexCheck:
    """Hold an index against the model that it was built of.

    Args:
        index: that is to be served with it.
        artifact: the model.
        log: ratings of people to ask about.

    Raises:
        ArtifactError: it is not the model's, is not whole, or finds too little.
        IndexUnavailable: it does not answer.
    """
    expected = artifact.movies()
    movies = index.count()
    if movies != len(expected):
        raise _refused(artifact, f"holds {movies:,} movies, the model {len(expected):,}")
    users = np.unique(log.users)
    people = Histories.of_users(log, users[:: max(1, -(-len(users) // PEOPLE))])
    recalls = []
    for whose, histories in (("people", people), ("canaries", _canaries(expected))):
        recall = _recall(index, artifact, expected, histories)
        if recall < MIN_RECALL:
            said = f"finds {recall:.1%} of what is nearest to {whose}, not {MIN_RECALL:.0%}"
            raise _refused(artifact, said)
        recalls.append(recall)
    return IndexCheck(movies, *recalls)


def _recall(
    index: MovieIndex, artifact: Artifact, movies: Sequence[IndexedMovie], histories: Histories
) -> float:
    """The share of the places of the exact lists that the index fills with movies as near."""
    log = histories.log
    rows = artifact.items.rows(np.array([movie.movie_id for movie in log.movies], np.uint32))
    inputs = histories.tower_inputs(artifact.manifest.history)
    indices = np.concatenate([[PADDING], rows + 1])
    vectors = artifact.embed_users(inputs._replace(history=indices[inputs.history]))
    found = places = 0
    for vector, start, end in zip(vectors, histories.starts, histories.ends, strict=True):
        scores = artifact.items.vectors @ vector
        if np.isnan(scores).any():
            raise ArtifactError(f"model {artifact.manifest.version} gives NaN: train it again")
        rated = np.unique(log.rows[start:end])
        seen = [log.movies[row].movie_id for row in rated.tolist()]
        hits = index.search(vector, PLACES, seen)
        given = _rows(artifact, movies, index, hits, scores)
        if again := {movie_id for movie_id, _ in hits}.intersection(seen):
            raise _refused(artifact, f"finds movie {min(again)}, which was excluded")
        scores[rows[rated][rows[rated] >= 0]] = -np.inf
        exact = np.sort(scores[scores > -np.inf])[::-1][:PLACES]
        places += len(exact)
        if len(exact):
            found += int(np.count_nonzero(scores[given] >= exact[-1] - ROUNDING))
    return found / places if places else 1.0


def _rows(
    artifact: Artifact,
    movies: Sequence[IndexedMovie],
    index: MovieIndex,
    hits: Sequence[tuple[int, float]],
    scores: Floats,
) -> Ints:
    """i64[]: what was found, which must be the model's: each movie with its score and its name."""
    rows = artifact.items.rows(np.array([movie_id for movie_id, _ in hits], np.uint32))
    payloads = index.movies([movie_id for movie_id, _ in hits])
    for (movie_id, score), row in zip(hits, rows.tolist(), strict=True):
        if row < 0:
            raise _refused(artifact, f"has movie {movie_id}, which the model does not know")
        if not abs(score - scores[row]) <= ROUNDING:
            raise _refused(
                artifact,
                f"gives movie {movie_id} a score of {score:.4f}, the model {scores[row]:.4f}",
            )
        if not _same(payloads.get(movie_id), movies[row]):
            raise _refused(artifact, f"calls movie {movie_id} {payloads.get(movie_id)}")
    return np.unique(rows)


def _same(found: IndexedMovie | None, expected: IndexedMovie) -> bool:
    """Whether it is that movie. Qdrant's JSON loses the last bit of one mean rating in 60."""
    if found is None or found.mean_rating is None or expected.mean_rating is None:
        return found == expected
    close = isclose(found.mean_rating, expected.mean_rating, rel_tol=_LAST_BITS)
    return close and replace(found, mean_rating=expected.mean_rating) == expected


def _canaries(movies: Sequence[IndexedMovie]) -> Histories:
    """One for each genre, who gave five stars to its most rated movies."""
    catalogue = [Movie(one.movie_id, one.title, one.genres, one.year) for one in movies]
    liked: dict[str, list[IndexedMovie]] = {}
    for movie in sorted(movies, key=lambda one: (-one.popularity, one.movie_id)):
        for genre in movie.genres:
            liked.setdefault(genre, []).append(movie)
    return Histories.raw(
        catalogue,
        [
            [(movie.movie_id, 5.0, time) for time, movie in enumerate(some[:LIKED])]
            for _, some in sorted(liked.items())
        ],
    )


def _refused(artifact: Artifact, what: str) -> ArtifactError:
    return ArtifactError(
        f"the index of model {artifact.manifest.version} {what}: build it again from the artifact"
    )
