"""What recommendations are like beside being right: diverse, novel, surprising, spread out.

Lists are i64[n, places] as `training.recommender.top` gives them. At k, the first k places count;
what is NOTHING is not there. Values of a list are f64[n], as in `training.metrics`, and NaN where a
list is too short to have any; coverage and Gini are of all lists together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.special import entr

from stream.contracts.errors import ConfigurationError
from training.dataset import Ratings
from training.metrics import Judged, Values
from training.recommender import NOTHING
from training.tower_inputs import Ints


@dataclass(frozen=True)
class Background:
    """What is known of the movies without the model.

    Attributes:
        vectors: f64[movies, d] of unit length, or 0 where nothing is known: what a movie is like.
        information: f64[movies] bits: -log2 of the share of all users who have rated it. A movie
            that nobody has rated counts as rated by one, which keeps it finite.
    """

    vectors: Values
    information: Values

    @classmethod
    def of(cls, train: Ratings) -> "Background":
        """Genres of the catalogue, and how many users of these ratings have rated each movie."""
        column = {genre: index for index, genre in enumerate(train.genres)}
        vectors = np.zeros((len(train.movies), len(column)))
        for vector, movie in zip(vectors, train.movies, strict=True):
            vector[[column[genre] for genre in movie.genres]] = 1
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)
        raters = np.bincount(train.rows[train.replaced == train.ends], minlength=len(vectors))
        users = len(np.unique(train.users))
        return cls(vectors, np.log2(users / np.maximum(raters, 1)))


def intra_list_diversity(lists: Ints, vectors: Values, k: int) -> Values:
    """Mean of 1 - cosine over all pairs of movies in the list: 0 all alike, 1 nothing in common.

    1 less the intra-list similarity of Ziegler et al. (Improving recommendation lists through topic
    diversification, 2005), which they sum over the pairs. Of unit vectors v the cosines of all
    ordered pairs add up to |sum of v|² - sum of |v|², so that no pair is visited. A movie whose
    vector is 0 has nothing in common with any. NaN for fewer than two movies.

    Args:
        lists: i64[n, places].
        vectors: f64[movies, d] of unit length or 0.
        k: where to cut.
    """
    movies, size = _movies(lists, k, len(vectors))
    sums = movies @ vectors
    alike = np.einsum("ij,ij->i", sums, sums) - movies @ np.einsum("ij,ij->i", vectors, vectors)
    return np.asarray(1 - alike / np.where(size > 1, size * (size - 1), np.nan))


def genre_entropy(lists: Ints, vectors: Values, k: int) -> Values:
    """Entropy of the genres in the list, in bits: 0 for one genre, 2 for four in equal shares.

    Each movie counts once, in equal parts for each of its genres. NaN where no movie has one.

    Args:
        lists: i64[n, places].
        vectors: f64[movies, genres], see `Background`: equal where a movie has a genre, else 0.
        k: where to cut.
    """
    parts = _movies(lists, k, len(vectors))[0] @ np.square(vectors)
    shares = parts / np.where(parts.any(axis=1), parts.sum(axis=1), np.nan)[:, None]
    return np.asarray(entr(shares).sum(axis=1) / np.log(2))


def novelty(lists: Ints, information: Values, k: int) -> Values:
    """Mean self-information of the movies in the list, in bits; NaN for an empty list.

    Mean of -log2(share of users who have rated it): 0 if everybody has, 10 if one in 1,024 has.
    Zhou et al.: Solving the apparent diversity-accuracy dilemma of recommender systems, 2010.

    Args:
        lists: i64[n, places].
        information: f64[movies], see `Background`.
        k: where to cut.
    """
    movies, size = _movies(lists, k, len(information))
    return np.asarray(movies @ information / np.where(size > 0, size, np.nan))


def serendipity(lists: Ints, judged: Judged, expected: Ints, k: int) -> Values:
    """Relevant movies in k that a primitive model does not have in its k, divided by k.

    Ge, Delgado-Battenfeld and Jannach: Beyond accuracy: evaluating recommender systems by coverage
    and serendipity, 2010. At most the precision, and NaN where that is: nothing is relevant.

    Args:
        lists: i64[n, places].
        judged: the same lists.
        expected: i64[n, places] what the primitive model recommends instead, usually popularity.
        k: where to cut both.
    """
    of_list, place = np.nonzero(judged.hits[:, :k])
    rows = lists[of_list, place]
    obvious = np.zeros(len(rows), bool)
    for column in expected[:, :k].T:
        obvious |= column[of_list] == rows
    surprises = np.bincount(of_list[~obvious], minlength=len(lists))
    return surprises / k * judged.defined


def coverage(lists: Ints, movies: int, k: int) -> float:
    """Share of the catalogue that is in any of the lists; 0 for no lists."""
    return np.count_nonzero(_shown(lists, movies, k)) / movies


def gini(lists: Ints, movies: int, k: int) -> float:
    """How unequally recommendations fall on the movies of the catalogue: popularity bias.

    With x the times that each of M movies is recommended, ascending, and j = 1..M, it is the sum of
    (2j - M - 1) x_j divided by (M - 1) sum(x): 0 if all are recommended alike, 1 if only one is.
    Shani and Gunawardana: Evaluating recommendation systems, 2011. RecBole divides by M, and so
    stays below 1. NaN where nothing is recommended, and for a catalogue of one movie.
    """
    times = np.sort(_shown(lists, movies, k))
    whole = (movies - 1) * times.sum()
    return float((2 * np.arange(1, movies + 1) - movies - 1) @ times / whole) if whole else np.nan


def of_lists(
    lists: Ints, judged: Judged, expected: Ints, background: Background, ks: Sequence[int]
) -> dict[str, Values]:
    """Intra-list diversity, novelty and serendipity at every k: f64[n], as ``novelty@10``.

    Raises:
        ConfigurationError: the lists, or the expected ones, have fewer than k places.
    """
    places = min(lists.shape[1], expected.shape[1])
    if max(ks, default=0) > places:
        raise ConfigurationError(f"at {max(ks)}: the lists have {places} places; make them longer")
    values = {}
    for k in ks:
        values[f"intra_list_diversity@{k}"] = intra_list_diversity(lists, background.vectors, k)
        values[f"novelty@{k}"] = novelty(lists, background.information, k)
        values[f"serendipity@{k}"] = serendipity(lists, judged, expected, k)
    return values


def of_all(lists: Ints, movies: int, ks: Sequence[int]) -> dict[str, float]:
    """Coverage and Gini at every k, as ``coverage@10``."""
    values = {}
    for k in ks:
        values[f"coverage@{k}"] = coverage(lists, movies, k)
        values[f"gini@{k}"] = gini(lists, movies, k)
    return values


def _shown(lists: Ints, movies: int, k: int) -> Ints:
    """i64[movies]: how many lists each movie is in."""
    cut = lists[:, :k]
    return np.bincount(cut[cut != NOTHING], minlength=movies)


def _movies(lists: Ints, k: int, movies: int) -> tuple[csr_array, Ints]:
    """Which movies each list has, as n rows of ones; and how many."""
    cut = lists[:, :k]
    there = cut != NOTHING
    size = there.sum(axis=1)
    ends = np.append(0, np.cumsum(size))
    rows = cut[there]
    return csr_array((np.ones(len(rows)), rows, ends), shape=(len(lists), movies)), size
