"""Movies by name, as somebody types it: what they have typed so far, with typos in it.

An index is made once for a catalogue. It has the names and their words in order, for what is typed
right, and trigrams, for what is not: RapidFuzz compares what was typed with the names that have
most trigrams in common with it. Every word begins with two blanks there, so that its first letter
is a trigram too.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process

from api.catalogue.titles import names, without_article, worded
from api.schemas.catalogue import Match
from api.serving.live import LiveMovies
from stream.contracts.events import MovieEvent
from training.tower_inputs import Ints

_MATCHES: Final[tuple[Match, ...]] = get_args(Match)  # within each the most rated come first
_SIMILAR: Final = _MATCHES.index("similar")
_NONE: Final = 1_000  # behind all that match

# Names that RapidFuzz compares, which takes 0.3 ms: what is meant is among the first few dozen.
_COMPARED: Final = 300

# Percent of the letters that are as they should be: one in four may be wrong.
_ALIKE: Final = 74

_STEP: Final = 8  # percent: within as much the more popular movie is meant

_FEW: Final = 3  # of all trigrams: a name that has fewer than one in so many is not meant

_SHORTEST: Final = 3  # letters from which a typo can be told from another word

_NAME_BITS: Final = 32  # of a key and a name in one number

_BLOCK: Final = 4_096  # names whose trigrams are found at once, in 10 MB

_LAST: Final = "\U0010ffff"  # sorts behind whatever a word may go on with


class Hit(NamedTuple):
    """A movie, how its name matches, and how many people have rated it."""

    movie_id: int
    match: Match
    ratings: int


class _Postings(NamedTuple):
    """Which names have each of k keys: those of key i are ``names[starts[i]:starts[i + 1]]``."""

    names: npt.NDArray[np.int32]
    starts: Ints

    def of(self, first: int, end: int) -> npt.NDArray[np.int32]:
        """Those of the keys from `first` up to `end`."""
        return self.names[self.starts[first] : self.starts[end]]


class TitleIndex:
    """The names of n movies.

    Attributes:
        catalogue: these movies, by id.
    """

    def __init__(
        self, catalogue: Mapping[int, MovieEvent], known: "TitleIndex | None" = None
    ) -> None:
        """
        Args:
            catalogue: the movies, by id.
            known: an index of mostly the same titles, which saves half of the time.
        """
        self.catalogue = catalogue
        movies = [catalogue[movie_id] for movie_id in sorted(catalogue)]
        self._ids: Ints = np.array([movie.movie_id for movie in movies], np.int64)
        self._years: Ints = np.array([movie.year or 0 for movie in movies], np.int64)
        before = known._of_title if known is not None else {}
        self._of_title: dict[str, tuple[str, ...]] = {
            movie.title: before.get(movie.title) or names(movie.title) for movie in movies
        }
        each = [self._of_title[movie.title] for movie in movies]
        self._rows: Ints = np.repeat(np.arange(len(each)), [len(some) for some in each])
        all_names = [name for some in each for name in some]
        self._bare = [without_article(name) for name in all_names]
        self._lengths: Ints = np.array([len(name) for name in self._bare], np.int64)
        self._forms, self._of_form = _in_order([*all_names, *self._bare])
        self._of_form %= max(len(all_names), 1)
        self._words, self._by_word = _by_word(all_names)
        self._trigrams, self._by_trigram = _by_trigram(all_names)
        self._rated: tuple[LiveMovies | None, Ints] = (None, self._ids)

    def find(self, query: str, limit: int, live: LiveMovies) -> list[Hit]:
        """The movies that may be meant, the likeliest first.

        A year at the end may be part of the name, or say which of the movies of this name.

        Args:
            query: as typed so far; its last word may go on.
            limit: how many movies.
            live: how often movies are rated.
        """
        words, before_year, year = worded(query)
        if not words or not len(self._rows):
            return []
        popularity = self._popularity(live)
        places = self._as_typed(words)
        of_year = self._years == year
        if year is not None:
            np.minimum(places, np.where(of_year, self._as_typed(before_year), _NONE), out=places)
        if np.count_nonzero(places < _NONE) < limit:
            np.minimum(places, self._similar(words, popularity), out=places)
            if year is not None:
                similar = self._similar(before_year, popularity)
                np.minimum(places, np.where(of_year, similar, _NONE), out=places)
        return [
            Hit(int(self._ids[row]), _MATCHES[min(places[row], _SIMILAR)], int(popularity[row]))
            for row in _first(places, popularity, limit).tolist()
        ]

    def _popularity(self, live: LiveMovies) -> Ints:
        """i64[n]: how many people have rated each movie; found out once for every look."""
        of, ratings = self._rated
        if of is not live:
            ratings = np.zeros_like(self._ids)
            at = np.minimum(np.searchsorted(self._ids, live.ids), len(self._ids) - 1)
            there = self._ids[at] == live.ids
            ratings[at[there]] = live.ratings[there]
            self._rated = live, ratings
        return ratings

    def _as_typed(self, words: str) -> Ints:
        """i64[n]: the place in `Match` of the best way in which a name of each movie matches."""
        places = np.full(len(self._ids), _NONE, np.int64)
        if not words:
            return places
        matched = np.ones(len(self._rows), np.bool_)
        for word in words.split():
            has = np.zeros(len(self._rows), np.bool_)
            first, end = bisect_left(self._words, word), bisect_left(self._words, word + _LAST)
            has[self._by_word.of(first, end)] = True
            matched &= has
        places[self._rows[matched]] = _MATCHES.index("words")
        for typed in {words, without_article(words)}:
            first, same = bisect_left(self._forms, typed), bisect_right(self._forms, typed)
            end = bisect_left(self._forms, typed + _LAST)
            beginning = self._rows[self._of_form[first:end]]
            places[beginning] = np.minimum(places[beginning], _MATCHES.index("beginning"))
            places[self._rows[self._of_form[first:same]]] = _MATCHES.index("exact")
        return places

    def _similar(self, words: str, popularity: Ints) -> Ints:
        """i64[n]: the place of "similar" for the most similar movies, and one more for each step
        that they are less so; that of none for all others."""
        places = np.full(len(self._ids), _NONE, np.int64)
        if len(words) < _SHORTEST:
            return places
        codes = _codes(_spaced(words))
        at = np.minimum(np.searchsorted(self._trigrams, codes), len(self._trigrams) - 1)
        shared = [self._by_trigram.of(i, i + 1) for i in at[self._trigrams[at] == codes].tolist()]
        if not shared:
            return places
        common = np.bincount(np.concatenate(shared), minlength=len(self._rows))
        some = np.flatnonzero(common >= max(len(codes) // _FEW, 1))
        if len(some) > _COMPARED:  # the most in common, and of equal ones the most rated
            worth = common[some] * (popularity.max() + 1) + popularity[self._rows[some]]
            some = some[np.argpartition(-worth, _COMPARED)[:_COMPARED]]
        typed = without_article(words)
        # What was typed is part of a longer name; of a shorter one all has to be there.
        for longer, scorer in ((True, fuzz.partial_ratio), (False, fuzz.ratio)):
            compared = some[(self._lengths[some] >= len(typed)) == longer]
            choices = [self._bare[name] for name in compared.tolist()]
            [alike] = process.cdist([typed], choices, scorer=scorer, score_cutoff=_ALIKE)
            enough = alike > 0
            steps = (100 - alike[enough]).astype(np.int64) // _STEP
            np.minimum.at(places, self._rows[compared[enough]], _SIMILAR + steps)
        return places


def _first(places: Ints, popularity: Ints, limit: int) -> Ints:
    """i64[<= limit]: the rows with the lowest places, popular ones first, then by row."""
    there: Ints = np.flatnonzero(places < _NONE)
    order = places[there] * (popularity.max() + 1) - popularity[there]
    if len(there) > limit:
        likely = order <= np.partition(order, limit - 1)[limit - 1]
        there, order = there[likely], order[likely]
    return there[np.argsort(order, kind="stable")[:limit]]


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
        spaced = [_spaced(name) + b" " for name in all_names[first : first + _BLOCK]]
        of_names = np.repeat(np.arange(len(spaced)), [len(text) for text in spaced])
        codes = _codes(b"".join(spaced))
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


def _spaced(name: str) -> bytes:
    return b"  " + name.replace(" ", "  ").encode()


def _codes(text: bytes) -> Ints:
    """i64[len(text) - 2]: its trigrams, of bytes, so that every script has some."""
    letters = np.frombuffer(text, np.uint8).astype(np.int64)
    found: Ints = letters[:-2] << 16 | letters[1:-1] << 8 | letters[2:]
    return found
