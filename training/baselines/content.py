"""Content: a movie is recommended for being like those of a history, whoever has rated it."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy import sparse

from stream.contracts.errors import ConfigurationError
from training.baselines.evidence import evidence, interactions, reasons, shares
from training.blocks import blocks
from training.bounds import Decay, HalfStars, Weight
from training.dataset import LIKED, Movie, Ratings, Tags
from training.histories import Histories
from training.recommender import WHEN_ASKED, OnProgress, Reason
from training.tower_inputs import Floats, Ints

SIMILARITIES: Final = ("cosine", "euclidean")

_KNOTS: Final = np.arange(1870, 2110, 10)  # a year is between two of them
_BLOCK: Final = 1 << 24  # elements of dense profiles and scores at a time: 64 MB


@dataclass
class Content:
    """Scores a movie by how much it is like the movies of a history, on average.

    A movie is a vector of three parts, each of length 1 before it is weighted: its genres and the
    tags that people gave it by TF-IDF, and its year, near in the vectors to the years around it.

    Attributes:
        similarity: ``cosine``, of the whole vectors; or ``euclidean``: less the squared distance.
        year: weight of the year, where the genres have 1.
        tags: weight of the tags.
        liked_from: half stars from which a rating counts.
        recency: weight recency**steps of a movie of the history.
        popularity: how much of the share of users who liked a movie is added to its score. Many
            movies are all but alike, and it orders those. More of it gives better lists, which
            are then those of popularity: its share is the hybrid's to choose.

    Raises:
        ConfigurationError: there is no such similarity.
    """

    similarity: str = "cosine"
    year: Weight = 0.5
    tags: Weight = 1.0
    liked_from: HalfStars = LIKED
    recency: Decay = field(default=0.9, metadata=WHEN_ASKED)
    popularity: Weight = 1e-3

    def __post_init__(self) -> None:
        if self.similarity not in SIMILARITIES:
            raise ConfigurationError(
                f"no similarity {self.similarity!r}: there are {', '.join(SIMILARITIES)}"
            )

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:  # noqa: ARG002
        self.prior = np.float32(self.popularity) * shares(interactions(train, self.liked_from))
        parts = (
            (_genres(train.movies, train.genres), 1.0),
            (_years(train.movies), self.year),
            (_tags(train.tags, len(train.movies)), self.tags),
        )
        vectors = sparse.hstack([_unit(part) * np.sqrt(weight) for part, weight in parts])
        if self.similarity == "cosine":
            vectors = _unit(vectors)
        self.vectors = sparse.csr_array(vectors, dtype=np.float32)
        self.squares = np.asarray((self.vectors * self.vectors).sum(axis=1), np.float32)

    def score(self, histories: Histories) -> Floats:
        scores = np.tile(self.prior, (len(histories), 1))
        for block in blocks(len(histories), sum(self.vectors.shape), _BLOCK):
            weights = self._weights(histories[block])
            alike = (self.vectors @ (weights @ self.vectors).toarray().T).T
            if self.similarity == "euclidean":
                alike = 2 * alike - (weights @ self.squares)[:, None]
                alike -= weights.sum(axis=1)[:, None] * self.squares
            scores[block] += alike
        return scores

    def explain(self, histories: Histories, rows: Ints) -> list[list[Reason]]:
        weights = self._weights(histories)
        asked = np.repeat(rows, np.diff(weights.indptr))
        liked = weights.indices
        alike = np.asarray((self.vectors[liked] * self.vectors[asked]).sum(axis=1))
        if self.similarity == "euclidean":
            alike = 2 * alike - self.squares[liked] - self.squares[asked]
        amounts = np.split(weights.data * alike, weights.indptr[1:-1])
        names = np.split(liked, weights.indptr[1:-1])
        return [
            reasons("movie", *one)
            for one in zip(names, amounts, self.prior[rows].tolist(), strict=True)
        ]

    def _weights(self, histories: Histories) -> sparse.csr_array:
        """f32[B, movies]: of the movies of each history; they sum to 1."""
        weights = evidence(histories, self.liked_from, self.recency)
        lengths = np.diff(weights.indptr)
        weights.data /= np.repeat(weights.sum(axis=1), lengths)
        return weights


def _genres(movies: list[Movie], genres: tuple[str, ...]) -> sparse.csr_array:
    column = {genre: index for index, genre in enumerate(genres)}
    pairs = [(row, column[genre]) for row, movie in enumerate(movies) for genre in movie.genres]
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    shape = (len(movies), len(genres))
    return _rare(sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape))


def _years(movies: list[Movie]) -> sparse.csr_array:
    """By linear interpolation between decades; zeros where the year is not known."""
    known = np.array([row for row, movie in enumerate(movies) if movie.year], np.int64)
    years = np.array([movie.year for movie in movies if movie.year], np.float64)
    place = np.interp(years, _KNOTS, np.arange(len(_KNOTS)))
    before = np.minimum(place.astype(np.int64), len(_KNOTS) - 2)
    values = np.concatenate([1 - (place - before), place - before])
    at = (np.tile(known, 2), np.concatenate([before, before + 1]))
    return sparse.csr_array((values, at), shape=(len(movies), len(_KNOTS)))


def _tags(tags: Tags, movies: int) -> sparse.csr_array:
    """Of words that more than one movie has: others make nothing alike."""
    words, columns = np.unique(tags.words, return_inverse=True)
    counts = sparse.csr_array(
        (np.ones(len(columns)), (tags.rows, columns)), shape=(movies, len(words))
    )
    counts.sum_duplicates()
    counts = counts[:, np.bincount(counts.indices, minlength=len(words)) > 1]
    counts.data = np.log1p(counts.data)
    return _rare(counts)


def _rare(counts: sparse.csr_array) -> sparse.csr_array:
    """Times log(1 + movies that have anything / movies that have this)."""
    having = np.bincount(counts.indices, minlength=counts.shape[1])
    anything = np.count_nonzero(np.diff(counts.indptr))
    rarity = np.log1p(anything / np.maximum(having, 1))
    return sparse.csr_array(counts * rarity[None, :])


def _unit(matrix: sparse.sparray) -> sparse.csr_array:
    """Rows of length 1; zeros stay zeros."""
    matrix = sparse.csr_array(matrix)
    lengths = np.sqrt(np.asarray((matrix * matrix).sum(axis=1)))
    matrix.data /= np.repeat(np.where(lengths > 0, lengths, 1), np.diff(matrix.indptr))
    return matrix
