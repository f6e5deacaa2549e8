"""The names of some movies: in order, by their words, and by their trigrams."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from api.catalogue.titles import names, without_article
from api.schemas.catalogue import Match
from stream.contracts.events import MovieEvent
from training.tower_inputs import Ints

MATCHES: Final[tuple[Match, ...]] = get_args(Match)  # within each the most rated come first
NOWHERE: Final = 1_000  # place behind all that match

_NAME_BITS: Final = 32  # of a key and a name in one number

_BLOCK: Final = 4_096  # names whose trigrams are found at once, in 10 MB

_LAST: Final = "\U0010ffff"  # sorts behind whatever a word may go on with


class _Postings(NamedTuple):
    """Which names have each of k keys: those of key i are ``names[starts[i]:starts[i + 1]]``."""

    names: npt.NDArray[np.int32]
    starts: Ints

    def of(self, first: int, end: int) -> npt.NDArray[np.int32]:
        """Those of the keys from `first` up to `end`."""
        return self.names[self.starts[first] : self.starts[end]]


class NameIndex:
    """The k names of n movies.

    Attributes:
        catalogue: these movies, by id.
        ids: i64[n] of the movies, in order.
        years: i64[n], 0 where one is not known.
        rows: i64[k], whose each name is.
        names: themselves, those of a movie in a row.
        bare: the names without their articles.
        lengths: i64[k] letters of these.
    """

    def __init__(
        self, catalogue: Mapping[int, MovieEvent], known: Mapping[str, tuple[str, ...]]
    ) -> None:
        """
        Args:
            catalogue: the movies, by id.
            known: the names of titles that may be among theirs, which saves half of the time.
        """
        self.catalogue = catalogue
        movies = [catalogue[movie_id] for movie_id in sorted(catalogue)]
        self.ids: Ints = np.array([movie.movie_id for movie in movies], np.int64)
        self.years: Ints = np.array([movie.year or 0 for movie in movies], np.int64)
        self.names: list[str] = []
        counts = []
        for movie in movies:  # one by one: 62,000 tuples of names are 5 MB
            of_movie = known.get(movie.title) or names(movie.title)
            self.names += of_movie
            counts.append(len(of_movie))
        self.rows: Ints = np.repeat(np.arange(len(movies)), np.array(counts, np.int64))
        self.bare = [without_article(name) for name in self.names]
        self.lengths: Ints = np.array([len(name) for name in self.bare], np.int64)
        self._forms, self._of_form = _in_order([*self.names, *self.bare])
        self._of_form %= max(len(self.names), 1)
        self._words, self._by_word = _by_word(self.names)
        self._trigrams, self._by_trigram = _by_trigram(self.names)

    def of_title(self) -> dict[str, tuple[str, ...]]:
        """The names of each title; made anew each time."""
        ends = np.searchsorted(self.rows, np.arange(len(self.ids) + 1)).tolist()
        return {
            self.catalogue[movie_id].title: tuple(self.names[first:end])
            for movie_id, first, end in zip(self.ids.tolist(), ends[:-1], ends[1:], strict=True)
        }

    def as_typed(self, words: str) -> Ints:
        """i64[n]: the place in `MATCHES` of the best way in which a name of each movie matches."""
        places = np.full(len(self.ids), NOWHERE, np.int64)
        if not words:
            return places
        matched = np.ones(len(self.rows), np.bool_)
        for word in words.split():
            has = np.zeros(len(self.rows), np.bool_)
            first, end = bisect_left(self._words, word), bisect_left(self._words, word + _LAST)
            has[self._by_word.of(first, end)] = True
            matched &= has
        places[self.rows[matched]] = MATCHES.index("words")
        for typed in {words, without_article(words)}:
            first, same = bisect_left(self._forms, typed), bisect_right(self._forms, typed)
            end = bisect_left(self._forms, typed + _LAST)
            beginning = self.rows[self._of_form[first:end]]
            places[beginning] = np.minimum(places[beginning], MATCHES.index("beginning"))
            places[self.rows[self._of_form[first:same]]] = MATCHES.index("exact")
        return places

    def in_common(self, codes: Ints) -> Ints:
        """i64[k]: how many of these trigrams each name has."""
        at = np.searchsorted(self._trigrams, codes)
        there = np.searchsorted(self._trigrams, codes, "right") > at
        shared = [self._by_trigram.of(i, i + 1) for i in at[there].tolist()]
        found = np.concatenate([np.zeros(0, np.int32), *shared])
        return np.bincount(found, minlength=len(self.rows))


def _in_order(texts: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int32]]:
    """The texts in order, and where each was."""
    order = sorted(range(len(texts)), key=texts.__getitem__)
    return [texts[at] for at in order], np.array(order, np.int32)


def _by_word(all_names: Sequence[str]) -> tuple[list[str], _Postings]:
    """The distinct words in order, and which names have them."""
    number: dict[str, int] = {}
    each = [[number.setdefault(word, len(number)) for word in name.split()] for name in all_names]
    words, order = _in_order(list(number))
    place = np.empty(len(words), np.int64)
    place[order] = np.arange(len(words))
    of_names = np.repeat(np.arange(len(each)), [len(some) for some in each])
    keys = place[np.array([one for some in each for one in some], np.int64)]
    return words, _postings(_pairs(keys, of_names))[1]


def _by_trigram(all_names: Sequence[str]) -> tuple[Ints, _Postings]:
    """The distinct trigrams in order, and which names have them."""
    found = [np.zeros(0, np.int64)]
    for first in range(0, len(all_names), _BLOCK):
        texts = [_spaced(name) + b" " for name in all_names[first : first + _BLOCK]]
        of_names = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        codes = _codes(b"".join(texts))
        within = of_names[2:] == of_names[: len(codes)]
        found.append(_pairs(codes[within], of_names[2:][within] + first))
    pairs = np.concatenate(found)
    found.clear()  # there are millions of them
    return _postings(pairs)


def _pairs(keys: Ints, of_names: Ints) -> Ints:
    """i64[p]: the distinct pairs of a key and a name, both in one number."""
    pairs = np.sort(keys << _NAME_BITS | of_names)
    return pairs[np.diff(pairs, prepend=-1) > 0]


def _postings(pairs: Ints) -> tuple[Ints, _Postings]:
    """The distinct keys in order, and which names have them; of distinct pairs, put in order."""
    pairs.sort()
    halves = pairs.astype("<i8", copy=False).view("<i4")
    of_names, keys = halves[::2], halves[1::2]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[starts].astype(np.int64), _Postings(of_names.copy(), np.append(starts, len(pairs)))


def trigrams(name: str) -> Ints:
    """i64[t]: those of a name, with those that it has twice."""
    return _codes(_spaced(name))


def _spaced(name: str) -> bytes:
    return b"  " + name.replace(" ", "  ").encode()


def _codes(text: bytes) -> Ints:
    """i64[len(text) - 2]: its trigrams, of bytes, so that every script has some."""
    letters = np.frombuffer(text, np.uint8).astype(np.int64)
    found: Ints = letters[:-2] << 16 | letters[1:-1] << 8 | letters[2:]
    return found
