"""Diversification: lists in which no movie only repeats another one.

Maximal marginal relevance (Carbonell and Goldstein: The use of MMR, diversity-based reranking,
SIGIR 1998) fills a list place by place with the candidate c that has the highest

    (1 - t) u_c - t max_{s in the list so far} cos(v_c, v_s)

of its utility u, the vectors v of the movies (`likeness`) and the trade-off t. The first place is
the highest utility's. What comes at a place does not depend on how long the list becomes.

A utility of the ranker is a log-odds (`training.ranker`), so it is used as it is: c in place of d
says that c is exp(u_c - u_d) times as likely to be picked, whoever is asked about. With that, t
says the same for everyone too: what is the same as a movie of the list must be exp(t / (1 - t))
times as likely as what has nothing in common with it. Scaled to 0..1 within each list, people whose
likely picks are far apart would pay for diversity with those.

Torch-free, because serving diversifies too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from stream.contracts.errors import ConfigurationError
from training import kernels
from training.tower_inputs import Floats, Ints

NOWHERE: Final = -1  # where a list has no more

# Log-odds: many times what a sum of such numbers is rounded by.
_ROUNDING: Final = 1e-2

_LISTS: Final = 32  # at once: 5 MB of vectors at 300 candidates of 128 numbers, near the caches


class Vectors(Protocol):
    """f32[movies, d], of which those of some rows are asked for: an array, or what makes them."""

    def __getitem__(self, rows: Ints, /) -> Floats: ...


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """`likeness` of n movies, made of the rows that are asked for: it takes no room of its own.

    Attributes:
        vectors: f32[n, d] of the movies, of unit length.
        has_genre: bool[g + h, n] the genres of each.
        genres: g, how many of these may be in common.
    """

    vectors: Floats
    has_genre: npt.NDArray[np.bool_]
    genres: int

    def __getitem__(self, rows: Ints, /) -> Floats:
        """f32[*rows.shape, d + g]."""
        found = self.has_genre[:, rows].astype(np.float32)
        found /= np.sqrt(np.maximum(found.sum(axis=0), 1))
        of_genres = np.moveaxis(found[: self.genres], 0, -1)
        both = np.concatenate([self.vectors[rows], of_genres], axis=-1)
        both *= np.float32(np.sqrt(0.5))
        return both


def diversify(utilities: Floats, rows: Ints, vectors: Vectors, k: int, trade_off: float) -> Ints:
    """i64[B, min(k, C)]: which of the C candidates each list has, in order; NOWHERE at its end.

    A movie is chosen once, however often it is among the candidates. Among equals the first one.

    Args:
        utilities: f32[B, C] of the candidates, in log-odds; -inf is never chosen.
        rows: i64[B, C] which movie each is; a movie has the same utility wherever it is in a list.
        vectors: f32[movies, d] of unit length, or 0 for what has nothing in common with any.
        k: how long the lists are.
        trade_off: t, from 0, which orders by utility alone, up to but not 1.

    Raises:
        ConfigurationError: there is no such trade-off.
    """
    if not 0 <= trade_off < 1:
        raise ConfigurationError(
            f"a trade-off of {trade_off}: give one from 0, which orders by utility alone, up to "
            "but not 1, which would not look at it"
        )
    chosen = np.empty((len(rows), min(k, rows.shape[1])), np.int64)
    k = chosen.shape[1]
    if len(rows) == 1:  # many lists have hardly a candidate in common that none of them needs
        at = _possible(utilities[0], rows[0], k, trade_off)
        places = _chosen(utilities[:, at], rows[:, at], vectors, k, trade_off)
        return np.where(places == NOWHERE, NOWHERE, at[places])
    for begin in range(0, len(rows), _LISTS):
        some = slice(begin, begin + _LISTS)
        chosen[some] = _chosen(utilities[some], rows[some], vectors, k, trade_off)
    return chosen


def likeness(vectors: Floats, genres: Sequence[Sequence[str]]) -> Floats:
    """f32[n, d + g]: of unit length at most, their cosine the mean of the vectors' and the genres'.

    Vectors alone hardly tell apart the best movies for somebody, which are all near the same one;
    genres alone call most dramas the same movie.

    Args:
        vectors: f32[n, d] of the movies, of unit length.
        genres: of each movie; without any it has none in common with others.
    """
    names = sorted({one for some in genres for one in some})
    column = {name: at for at, name in enumerate(names)}
    found = np.zeros((len(genres), len(column)), np.float32)
    for row, some in zip(found, genres, strict=True):
        row[[column[name] for name in some]] = 1
    lengths = np.sqrt([len(set(some)) for some in genres], dtype=np.float32)
    found /= np.maximum(lengths, 1)[:, None]
    return np.hstack([vectors, found]) * np.float32(np.sqrt(0.5))


def put_first(scores: Floats, rows: Ints) -> None:
    """Raise the scores of these movies in place, above all others and in this order.

    Args:
        scores: f32[B, movies].
        rows: i64[B, k] movies, best first; NOWHERE where a list has no more.
    """
    lists, places = np.nonzero(rows != NOWHERE)
    above = scores.max(axis=1, initial=-np.inf)[lists] + (rows.shape[1] - places)
    scores[lists, rows[lists, places]] = above


def _possible(utilities: Floats, rows: Ints, k: int, trade_off: float) -> Ints:
    """i64[c]: which of the C candidates of one list may be in it at all.

    A cosine is within -1..1, so a candidate has (1 - t) u within t. Until the list is full, one of
    the k movies of the highest utilities is not in it yet. So what is more than 2 t / (1 - t) below
    the lowest of these is never chosen.
    """
    _, distinct = np.unique(rows, return_index=True)
    if not 0 < k < len(distinct):
        return np.arange(len(rows))
    lowest = np.partition(utilities[distinct], -k)[-k]
    margin = np.float32(2 * trade_off / (1 - trade_off) + _ROUNDING)
    possible: Ints = np.flatnonzero(utilities >= lowest - margin)
    return possible


def _chosen(utilities: Floats, rows: Ints, vectors: Vectors, k: int, trade_off: float) -> Ints:
    """i64[B, k], of all lists at once, place by place."""
    chosen = np.full((len(rows), k), NOWHERE)
    relevance = np.float32(1 - trade_off) * np.ascontiguousarray(utilities, np.float32)
    among = np.ascontiguousarray(vectors[rows], np.float32)
    closest = np.empty(rows.shape[1], np.float32)
    kernels.diversify(relevance, np.ascontiguousarray(rows), among, trade_off, closest, chosen)
    return chosen
