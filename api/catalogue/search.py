"""Movies by name or tag, as somebody types it: what they have typed so far, with typos in it.

An index has the names and their words in order, for what is typed right, and trigrams, for what is
not: RapidFuzz compares what was typed with the names that have most trigrams in common with it.
Every word begins with two blanks there, so that its first letter is a trigram too. What came to a
catalogue lately has an index of its own beside the large one, so that a new movie need not wait
for half a second's work.
"""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from rapidfuzz import fuzz, process

from api.catalogue.names import MATCHES, NOWHERE, NameIndex, trigrams
from api.catalogue.tags import ALIKE, TagNames
from api.catalogue.titles import without_article, worded
from api.schemas.catalogue import Match
from api.serving.changes import changed_movies
from api.serving.live import LiveMovies
from stream.contracts.events import MovieEvent
from training.tower_inputs import Ints

_SIMILAR: Final = MATCHES.index("similar")

# Movies from which on those that came lately are put into the large index: theirs takes 5 ms.
LATELY: Final = 500

# Names that RapidFuzz compares, which takes 0.3 ms: what is meant is among the first few dozen.
_COMPARED: Final = 300

_STEP: Final = 8  # percent: within as much the more popular movie is meant

_FEW: Final = 3  # of all trigrams: a name that has fewer than one in so many is not meant

_SHORTEST: Final = 3  # letters from which a typo can be told from another word


class Hit(NamedTuple):
    """A movie, how its name matches, and how many people have rated it."""

    movie_id: int
    match: Match
    ratings: int


class CatalogueIndex:
    """The names and the tags of the movies of a catalogue.

    It has n rows: the movies of the large index, then those that came or changed later.

    Attributes:
        catalogue: the movies, by id.
    """

    def __init__(
        self, catalogue: Mapping[int, MovieEvent], known: "CatalogueIndex | None" = None
    ) -> None:
        """
        Args:
            catalogue: the movies, by id.
            known: an index of mostly the same movies, which saves nearly all of the work where the
                catalogue was made from its one, and some of it where it was not.
        """
        self.catalogue = catalogue
        self._parts = _parts(catalogue, known)
        self._ids: Ints = np.concatenate([part.ids for part in self._parts])
        self._years: Ints = np.concatenate([part.years for part in self._parts])
        begins = self._begins = np.cumsum([0, *(len(part.ids) for part in self._parts)]).tolist()
        self._rows: Ints = np.concatenate(
            [begin + part.rows for begin, part in zip(begins, self._parts, strict=False)]
        )
        self._lengths: Ints = np.concatenate([part.lengths for part in self._parts])
        self._bare = [name for part in self._parts for name in part.bare]
        # What changed is in both: the later row counts.
        self._current = np.ones(len(self._ids), np.bool_)
        for later in self._parts[1:]:
            self._current[: begins[1]] = ~np.isin(self._parts[0].ids, later.ids)
        self._outdated: Ints = np.flatnonzero(~self._current)
        self._outdated_names: Ints = np.flatnonzero(~self._current[self._rows])
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
            np.minimum(places, np.where(of_year, self._as_typed(before_year), NOWHERE), out=places)
        if np.count_nonzero(places < NOWHERE) < limit:
            np.minimum(places, self._similar(words, popularity), out=places)
            if year is not None:
                similar = self._similar(before_year, popularity)
                np.minimum(places, np.where(of_year, similar, NOWHERE), out=places)
        return [
            Hit(int(self._ids[row]), MATCHES[min(places[row], _SIMILAR)], int(popularity[row]))
            for row in _first(places, popularity, self._ids, limit).tolist()
        ]

    def tagged(self, tag: str) -> Ints:
        """The ids of the movies that have a tag, however it is written."""
        rows = [
            begin + part.tags.rows(tag)
            for begin, part in zip(self._begins, self._parts, strict=False)
        ]
        having = np.concatenate(rows)
        ids: Ints = self._ids[having[self._current[having]]]
        return ids

    @cached_property
    def tags(self) -> TagNames:
        """All tags there are. The first to ask waits for it, 50 ms for MovieLens 25M."""
        return TagNames(
            (part.tags, self._current[begin:end])
            for (begin, end), part in zip(pairwise(self._begins), self._parts, strict=True)
        )

    def _popularity(self, live: LiveMovies) -> Ints:
        """i64[n]: how many people have rated each movie; found out once for every look."""
        of, ratings = self._rated
        if of is not live:
            rated = [_ratings(part.ids, live) for part in self._parts if len(part.ids)]
            ratings = np.concatenate(rated)
            self._rated = live, ratings
        return ratings

    def _as_typed(self, words: str) -> Ints:
        """i64[n]: the place in `MATCHES` of the best way in which a name of each movie matches."""
        places = np.concatenate([part.as_typed(words) for part in self._parts])
        places[self._outdated] = NOWHERE
        return places

    def _similar(self, words: str, popularity: Ints) -> Ints:
        """i64[n]: the place of "similar" for the most similar movies, and one more for each step
        that they are less so; `NOWHERE` for all others."""
        places = np.full(len(self._ids), NOWHERE, np.int64)
        if len(words) < _SHORTEST:
            return places
        codes = trigrams(words)
        common = np.concatenate([part.in_common(codes) for part in self._parts])
        common[self._outdated_names] = 0
        some = np.flatnonzero(common >= max(len(codes) // _FEW, 1))
        if len(some) > _COMPARED:  # the most in common, and of equal ones the most rated
            worth = common[some] * (popularity.max() + 1) + popularity[self._rows[some]]
            some = some[np.argpartition(-worth, _COMPARED)[:_COMPARED]]
        typed = without_article(words)
        # What was typed is part of a longer name; of a shorter one all has to be there.
        for longer, scorer in ((True, fuzz.partial_ratio), (False, fuzz.ratio)):
            compared = some[(self._lengths[some] >= len(typed)) == longer]
            choices = [self._bare[name] for name in compared.tolist()]
            [alike] = process.cdist([typed], choices, scorer=scorer, score_cutoff=ALIKE)
            enough = alike > 0
            steps = (100 - alike[enough]).astype(np.int64) // _STEP
            np.minimum.at(places, self._rows[compared[enough]], _SIMILAR + steps)
        return places


def _parts(
    catalogue: Mapping[int, MovieEvent], known: CatalogueIndex | None
) -> tuple[NameIndex, ...]:
    """The large index, and where one is needed that of the movies it has not or has otherwise."""
    if known is None:
        return (NameIndex(catalogue, {}),)
    large = known._parts[0]
    changed = changed_movies(large.catalogue, catalogue)
    if len(changed) > min(LATELY, len(large.ids)) or not large.catalogue.keys() <= catalogue.keys():
        return (NameIndex(catalogue, large.of_title()),)
    if not changed:
        return (large,)
    return large, NameIndex({movie.movie_id: movie for movie in changed}, {})


def _ratings(ids: Ints, live: LiveMovies) -> Ints:
    """i64[n]: how many people have rated each of these movies, whose ids are in order."""
    ratings = np.zeros_like(ids)
    at = np.minimum(np.searchsorted(ids, live.ids), len(ids) - 1)
    there = ids[at] == live.ids
    ratings[at[there]] = live.ratings[there]
    return ratings


def _first(places: Ints, popularity: Ints, ids: Ints, limit: int) -> Ints:
    """i64[<= limit]: the rows with the lowest places, popular ones first, then by movie id."""
    there: Ints = np.flatnonzero(places < NOWHERE)
    order = places[there] * (popularity.max() + 1) - popularity[there]
    if len(there) > limit:
        likely = order <= np.partition(order, limit - 1)[limit - 1]
        there, order = there[likely], order[likely]
    return there[np.lexsort((ids[there], order))[:limit]]
