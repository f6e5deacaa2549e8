"""Which movies are sequels of each other, by their titles: something that no rating says."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from training.dataset import Movie
from training.tower_inputs import Ints

ALONE: Final = -1  # series of a movie that is of none

# Series whose titles have nothing in common that a rule could see, by a name of ours.
_BY_HAND: Final[Mapping[str, tuple[str, ...]]] = {
    "alien": ("Aliens",),
    "batman": ("Batman Returns", "Batman Forever", "Batman & Robin"),
    "dark knight": ("Batman Begins", "Dark Knight, The", "Dark Knight Rises, The"),
    "indiana jones": ("Raiders of the Lost Ark",),
    "jurassic park": ("Lost World: Jurassic Park, The",),
    "mission: impossible": (
        "Mission: Impossible",
        "Mission: Impossible II",
        "Mission: Impossible III",
        "Mission: Impossible - Ghost Protocol",
        "Mission: Impossible - Rogue Nation",
    ),
    "matrix": ("Matrix, The", "Matrix Reloaded, The", "Matrix Revolutions, The"),
    "star wars": ("Empire Strikes Back, The", "Return of the Jedi"),
    "hannibal": ("Silence of the Lambs, The", "Hannibal", "Red Dragon"),
    "bourne": ("Bourne Identity, The", "Bourne Supremacy, The", "Bourne Ultimatum, The"),
}
_SERIES_OF: Final = {title: name for name, titles in _BY_HAND.items() for title in titles}

# Names that several films have which are no series.
_COMMON: Final = frozenset({"robin hood", "ghost", "mission"})

_ASIDE: Final = re.compile(r"\s*\(.*?\)")  # (a.k.a. Alien 3)
_SUBTITLE: Final = re.compile(r": | - | and the ")
_ARTICLE: Final = re.compile(r", (?:The|A|An)$")
_NUMBER: Final = re.compile(r" (?:(?:Part|Episode|Vol\.|Volume) )?(?:\d{1,2}|[IVX]+)$")


def series(movies: Sequence[Movie]) -> Ints:
    """i64[n]: a number for each series of two movies and more, ALONE for all others.

    A series is what titles have in common before a subtitle and a number, where one of them has
    either: Alien, Alien 3 and Alien: Resurrection, but not two films called Sabrina.
    """
    members: dict[str, list[int]] = defaultdict(list)
    marked = set()
    for row, movie in enumerate(movies):
        name, has_mark = _named(movie.title)
        members[name].append(row)
        if has_mark:
            marked.add(name)
    found = np.full(len(movies), ALONE)
    for number, name in enumerate(sorted(marked - _COMMON)):
        if len(members[name]) > 1:
            found[members[name]] = number
    return found


def _named(title: str) -> tuple[str, bool]:
    """What the series of a movie with this title would be called, and whether it says that it is
    one of several."""
    plain = _ASIDE.sub("", title.replace("³", " 3"))
    if plain in _SERIES_OF:
        return _SERIES_OF[plain], True
    head, *rest = _SUBTITLE.split(plain)
    name = _NUMBER.sub("", _ARTICLE.sub("", head))
    return name.casefold(), bool(rest) or name != _ARTICLE.sub("", head)
