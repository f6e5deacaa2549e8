"""What vectors of movies have learnt, judged by what they were not told: whose sequel a movie is.

Whatever is compared here are the movies that many have rated: the vector of a movie with a handful
of ratings is hardly more than its content.
"""

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from training.dataset import Movie, Ratings
from training.film_series import ALONE, series
from training.tower_inputs import Floats, Ints

# Ratings from which a movie is known well enough to be compared.
WELL_KNOWN: Final = 20

NEIGHBOURS: Final = 10  # that are looked at

# What vectors of use are held to. Towers of all kinds have a share of 0.2 to 0.55 and a likeness of
# 2.6 to 4 times chance after 1 to 6 epochs (MovieLens 100K, latest-small); shuffled ones are at
# chance, 0.01 and 1. Better towers need not have more: this is to find broken ones.
LEAST_SEQUELS: Final = 0.1
LEAST_GENRES: Final = 1.5

# Movies with a sequel from which the share means something: its standard error is 0.11 then.
ENOUGH_SEQUELS: Final = 20

_BLOCK: Final = 1_024  # movies compared with all others at once: 60 MB at 15,000
_RIDGE: Final = 1e-2  # of `popularity_axis`, relative to the mean of the diagonal


class Neighbourhood(NamedTuple):
    """What the `NEIGHBOURS` nearest well-known movies of each well-known movie are.

    Attributes:
        movies: how many are compared.
        with_sequels: how many of them have a sequel among them.
        sequels: of a movie's sequels, or of the 10 that there is room for, the share that is among
            its neighbours; the mean over movies that have any, NaN where none has.
        sequels_by_chance: what it would be of random neighbours.
        genres: the mean `genre_likeness` of a movie and a neighbour.
        genres_by_chance: of any two movies.
    """

    movies: int
    with_sequels: int
    sequels: float
    sequels_by_chance: float
    genres: float
    genres_by_chance: float

    def problems(self) -> list[str]:
        """What speaks against using the vectors; nothing where there is too little to judge by."""
        found = []
        if self.with_sequels >= ENOUGH_SEQUELS and self.sequels < LEAST_SEQUELS:
            found.append(
                f"of a movie's sequels {self.sequels:.1%} are among its {NEIGHBOURS} nearest "
                f"movies, of {self.movies}: {LEAST_SEQUELS:.0%} are wanted, and random vectors "
                f"have {self.sequels_by_chance:.1%}"
            )
        if self.genres < LEAST_GENRES * self.genres_by_chance:
            found.append(
                f"a movie and its {NEIGHBOURS} nearest are alike in genre by {self.genres:.2f}, "
                f"which is less than {LEAST_GENRES:g} times the {self.genres_by_chance:.2f} of any "
                "two movies"
            )
        return found


def neighbourhood(vectors: Floats, log: Ratings) -> Neighbourhood:
    """Judge the vectors of a model that was trained on these ratings.

    Args:
        vectors: f32[movies, d], L2-normalised, in the order of the catalogue.
        log: what it was trained on.
    """
    known = well_known(log)
    if len(known) <= NEIGHBOURS:
        return Neighbourhood(len(known), 0, *[math.nan] * 4)
    near = nearest(vectors[known], NEIGHBOURS)
    named = series(log.movies)[known]
    sequels = (named[near] == named[:, None]).sum(1)
    others = np.bincount(named[named != ALONE], minlength=1)[named] - 1
    has = (named != ALONE) & (others > 0)
    room = np.minimum(others[has], NEIGHBOURS)
    drawn = others[has] * NEIGHBOURS / (len(known) - 1)
    genres = genre_matrix(log)[known]
    left = np.repeat(np.arange(len(known)), NEIGHBOURS)
    any_two = np.random.default_rng(0).integers(len(known), size=(2, 100 * len(known)))
    any_two = any_two[:, any_two[0] != any_two[1]]
    return Neighbourhood(
        len(known),
        int(has.sum()),
        float(np.mean(sequels[has] / room)) if has.any() else math.nan,
        float(np.mean(drawn / room)) if has.any() else math.nan,
        float(genre_likeness(genres, left, near.ravel()).mean()),
        float(genre_likeness(genres, *any_two).mean()),
    )


def well_known(log: Ratings) -> Ints:
    """i64[]: rows of the movies with `WELL_KNOWN` ratings and more."""
    return np.flatnonzero(np.bincount(log.rows, minlength=len(log.movies)) >= WELL_KNOWN)


def nearest(vectors: Floats, k: int) -> Ints:
    """i64[n, k]: for each vector the places of the others with the largest cosine, largest first.

    Args:
        vectors: f32[n, d], L2-normalised, more than k of them.
        k: how many.
    """
    found = np.empty((len(vectors), k), np.int64)
    for start in range(0, len(vectors), _BLOCK):
        some = slice(start, start + _BLOCK)
        cosines = vectors[some] @ vectors.T
        own = np.arange(len(cosines))
        cosines[own, start + own] = -np.inf
        best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(cosines, best, axis=1), axis=1, kind="stable")
        found[some] = np.take_along_axis(best, order, axis=1)
    return found


def genre_matrix(log: Ratings) -> npt.NDArray[np.bool_]:
    """bool[movies, genres]: which of `log.genres` each movie has."""
    return np.array([[genre in movie.genres for genre in log.genres] for movie in log.movies])


def genre_likeness(genres: npt.NDArray[np.bool_], left: Ints, right: Ints) -> Floats:
    """f32[p]: of the genres that either of two movies has, the share that both have (Jaccard).

    Two movies without genres have nothing in common.

    Args:
        genres: bool[n, genres].
        left, right: i64[p] places of the two.
    """
    both = (genres[left] & genres[right]).sum(1)
    either = (genres[left] | genres[right]).sum(1)
    shares: Floats = (both / np.maximum(either, 1)).astype(np.float32)
    return shares


def genre_purity(genres: npt.NDArray[np.bool_], near: Ints) -> Floats:
    """f32[genres]: of the neighbours of a movie of a genre, the share that have it too.

    Args:
        genres: bool[n, genres]; NaN is the share of a genre that no movie has.
        near: i64[n, k] places of each movie's neighbours.
    """
    shares = genres[near].mean(1)  # f64[n, genres], of each movie's neighbours
    found = (shares * genres).sum(0) / np.where(genres.any(0), genres.sum(0), np.nan)
    purity: Floats = found.astype(np.float32)
    return purity


def pairs(log: Ratings, rows: Ints, count: int, seed: int = 0) -> dict[str, Ints]:
    """i64[2, p] rows of two different movies each, by what the two have in common.

    ``any`` are drawn at random, ``same genres`` and ``no common genre`` are those of them that
    have exactly the same ones and none in common; ``sequels`` are all there are.

    Args:
        log: whose movies.
        rows: i64[] of the movies to take from, two at least.
        count: how many to draw.
        seed: of what is drawn.
    """
    drawn = rows[np.random.default_rng(seed).integers(len(rows), size=(2, count))]
    drawn = drawn[:, drawn[0] != drawn[1]]
    likeness = genre_likeness(genre_matrix(log), *drawn)
    named = series(log.movies)[rows]
    left, right = np.nonzero(np.triu(named[:, None] == named, 1) & (named != ALONE)[:, None])
    return {
        "any": drawn,
        "no common genre": drawn[:, likeness == 0],
        "same genres": drawn[:, likeness == 1],
        "sequels": rows[np.stack([left, right])],
    }


def cosines(vectors: Floats, two: Ints) -> Floats:
    """f32[p] of the L2-normalised vectors of i64[2, p] pairs."""
    found: Floats = np.einsum("pd,pd->p", vectors[two[0]], vectors[two[1]])
    return found


class Axes(NamedTuple):
    """Principal axes.

    Attributes:
        places: f32[n, k] of each vector along the axes.
        explained: f32[k] share of the variance along each, largest first.
    """

    places: Floats
    explained: Floats


def principal_axes(vectors: Floats, k: int) -> Axes:
    """The k directions in which the vectors f32[n, d] differ most."""
    centred = vectors - vectors.mean(axis=0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    shares = lengths**2 / (lengths**2).sum()
    return Axes((left * lengths)[:, :k], shares[:k])


class PopularityAxis(NamedTuple):
    """The direction in which vectors tell best how popular a movie is.

    Attributes:
        direction: f32[d], of length 1.
        correlation: of the place along it with the logarithm of the number of ratings, on the half
            of the movies that the direction was not fitted on.
    """

    direction: Floats
    correlation: float


def popularity_axis(vectors: Floats, counts: Ints) -> PopularityAxis:
    """By ridge regression on every other movie.

    Args:
        vectors: f32[n, d].
        counts: i64[n] ratings of each, 1 at least.
    """
    popularity = np.log(counts)
    fitted, asked = slice(0, None, 2), slice(1, None, 2)
    inputs = vectors[fitted] - vectors[fitted].mean(0)
    gram = inputs.T @ inputs
    gram += _RIDGE * np.diag(gram).mean() * np.eye(len(gram), dtype=np.float32)
    direction = np.linalg.solve(gram, inputs.T @ (popularity[fitted] - popularity[fitted].mean()))
    direction /= np.linalg.norm(direction)
    correlation = np.corrcoef(vectors[asked] @ direction, popularity[asked])[0, 1]
    return PopularityAxis(direction.astype(np.float32), float(correlation))


def find(movies: list[Movie], title: str) -> int | None:
    """The row of the first movie whose title begins like that, None where there is none."""
    for row, movie in enumerate(movies):
        if movie.title.startswith(title):
            return row
    return None
