"""What the movies of a catalogue are tagged with, found however somebody writes it."""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process

from api.catalogue.postings import by_text
from api.catalogue.titles import plain
from stream.contracts.events import MovieEvent
from training.movie_table import Mask

# Percent of the letters that are as they should be: one in four may be wrong.
ALIKE: Final = 74


class Tag(NamedTuple):
    """A tag as it is written, and how many movies have it."""

    name: str
    movies: int


class TagIndex:
    """The tags of n movies.

    What is left of a tag without case, accents and punctuation says which one it is; one of which
    nothing is left is none.
    """

    def __init__(self, movies: Sequence[MovieEvent]) -> None:
        distinct = dict.fromkeys(tag for movie in movies for tag in movie.tags)
        key_of = {tag: plain(tag) for tag in distinct}
        self._keys, self._movies = by_text(
            filter(None, map(key_of.__getitem__, movie.tags)) for movie in movies
        )
        first_written = {key: tag for tag, key in reversed(key_of.items())}
        self._names = [first_written[key] for key in self._keys]

    def rows(self, tag: str) -> npt.NDArray[np.int32]:
        """The movies that have it, ascending."""
        key = plain(tag)
        at = bisect_left(self._keys, key)
        there = at < len(self._keys) and self._keys[at] == key
        return self._movies.of(at, at + there)

    def counted(self, current: Mask) -> Iterator[tuple[str, str, int]]:
        """What tells each tag from others, how it is written, and how many movies have it.

        Args:
            current: bool[n] which movies count.
        """
        if self._keys:
            having = current[self._movies.rows]
            movies = np.add.reduceat(having, self._movies.starts[:-1], dtype=np.int64)
            yield from zip(self._keys, self._names, movies.tolist(), strict=True)


class TagNames:
    """All tags of a catalogue, to find them by name."""

    def __init__(self, parts: Iterable[tuple[TagIndex, Mask]]) -> None:
        """
        Args:
            parts: of the catalogue, each with which of its movies count.
        """
        name_of: dict[str, str] = {}
        movies = Counter[str]()
        for part, current in parts:
            for key, name, count in part.counted(current):
                name_of.setdefault(key, name)
                movies[key] += count
        self._keys = sorted(filter(movies.__getitem__, movies), key=lambda it: (-movies[it], it))
        self._tags = [Tag(name_of[key], movies[key]) for key in self._keys]
        lines = [f" {key}\n" for key in self._keys]
        self._text = "".join(lines)
        self._ends = list(accumulate(map(len, lines)))

    def find(self, typed: str, limit: int) -> list[Tag]:
        """The tags that may be meant: those with words that begin so, those of most movies first,
        then those that are written similarly, the most similar first. All begin with nothing."""
        words = plain(typed)
        found: dict[int, None] = {}
        for begin in re.finditer(f" {words}", self._text):
            found[bisect_right(self._ends, begin.start())] = None
            if len(found) == limit:
                break
        if len(found) < limit and self._keys:
            [alike] = process.cdist([words], self._keys, scorer=fuzz.ratio, score_cutoff=ALIKE)
            similar = np.argsort(-alike, kind="stable")[: np.count_nonzero(alike)]
            found |= dict.fromkeys(similar.tolist())
        return [self._tags[at] for at in list(found)[:limit]]
