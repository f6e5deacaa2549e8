"""Some movies by their names: in order, by their words, and by their trigrams; and by tags."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Final, get_args

import numpy as np

from api.catalogue.postings import Postings, by_text, in_order, pairs, postings
from api.catalogue.tags import TagIndex
from api.catalogue.titles import names, without_article
from api.schemas.catalogue import Match
from stream.contracts.events import MovieEvent
from training.tower_inputs import Ints

MATCHES: Final[tuple[Match, ...]] = get_args(Match)  # within each the most rated come first
NOWHERE: Final = 1_000  # place behind all that match

_BLOCK: Final = 4_096  # names whose trigrams are found at once, in 10 MB

_LAST: Final = "\U0010ffff"  # sorts behind whatever a word may go on with


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
        tags: what the movies are tagged with.
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
        self._forms, self._of_form = in_order([*self.names, *self.bare])
        self._of_form %= max(len(self.names), 1)
        self._words, self._by_word = by_text(name.split() for name in self.names)
        self._trigrams, self._by_trigram = _by_trigram(self.names)
        self.tags = TagIndex(movies)

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


def _by_trigram(all_names: Sequence[str]) -> tuple[Ints, Postings]:
    """The distinct trigrams in order, and which names have them."""
    found = [np.zeros(0, np.int64)]
    for first in range(0, len(all_names), _BLOCK):
        texts = [_spaced(name) + b" " for name in all_names[first : first + _BLOCK]]
        of_names = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        codes = _codes(b"".join(texts))
        within = of_names[2:] == of_names[: len(codes)]
        found.append(pairs(codes[within], of_names[2:][within] + first))
    distinct = np.concatenate(found)
    found.clear()  # there are millions of them
    return postings(distinct)


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
