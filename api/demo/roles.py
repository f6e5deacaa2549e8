"""Which of the people there are play which part: rules over what they rated, never an id.

A rule gives everyone a score, and the highest plays the part; of equal ones the lowest id. Those
whose latest rating the served model has not learnt from come first, so that what they are shown is
a prediction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.records import UserRecord
from training.movie_table import Mask, MovieTable
from training.standing import standing_of
from training.tower_inputs import Ints

LIKED_FROM: Final = 8  # half stars

ENOUGH: Final = 20  # ratings, before which nobody's habits are known; MovieLens has no fewer

JUDGED: Final = 50  # ratings, before which a low mean may be a bad day

OFTEN: Final = 3  # ratings of a genre, from which somebody knows it

SPREAD: Final = 0.5  # stars, below which it is no judgement that somebody gives

_NOBODY: Final = -np.inf

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Habits:
    """What n people rated.

    Attributes:
        users: i64[n] their ids.
        ratings: i64[n] movies that they have rated.
        sums: i64[2, n] of these half stars, and of their squares.
        rated: i64[g, n] how many of each genre.
        liked: i64[1 + g, n] how many they liked, and how many of each genre.
        held_out: bool[n] whether the model has not learnt from their latest rating.
    """

    users: Ints
    ratings: Ints
    sums: Ints
    rated: Ints
    liked: Ints
    held_out: Mask

    @classmethod
    def of(
        cls, records: Mapping[int, UserRecord], movies: MovieTable, held_out: Sequence[bool]
    ) -> "Habits":
        """Those of some people.

        Args:
            records: by user.
            movies: by ascending id; others count for nothing but as ratings.
            held_out: of each of them.
        """
        states = [record.state for record in records.values()]
        standing = standing_of(states, lambda ids: _rows(movies, ids))
        n, lists, stars = len(states), standing.lists, standing.half_stars
        known = standing.rows >= 0
        has = movies.has_genre[:, standing.rows[known]]
        of_known, like = lists[known], stars[known] >= LIKED_FROM

        def count(which: Mask) -> Ints:
            found: Ints = np.bincount(of_known[which], minlength=n)
            return found

        return cls(
            users=np.fromiter(records, np.int64, n),
            ratings=np.bincount(lists, minlength=n),
            sums=np.stack([np.bincount(lists, stars**by, n).astype(np.int64) for by in (1, 2)]),
            rated=np.array([count(of) for of in has], np.int64).reshape(len(has), n),
            liked=np.stack([count(like), *(count(of & like) for of in has)]),
            held_out=np.array(held_out, np.bool_),
        )

    @classmethod
    def together(cls, parts: Sequence["Habits"]) -> "Habits":
        """Those of all; of someone who is in several parts, the last. One part at least."""
        columns = [
            np.concatenate([getattr(part, name) for part in parts], axis=-1)
            for name in cls.__slots__
        ]
        _, last = np.unique(columns[0][::-1], return_index=True)
        return cls(*(column[..., len(columns[0]) - 1 - last] for column in columns))


class Role(NamedTuple):
    """A part, and by which rule somebody plays it."""

    name: str
    title: str
    rule: str
    genre: str | None = None


_FAN: Final = (
    f"of what they gave {LIKED_FROM / 2:g} stars or more, the share of {{}} movies is further "
    "above everybody's than anyone else's, in standard deviations"
)
ACTION, ROMANCE = "Action", "Romance"
ROLES: Final = (
    Role("action-lover", "The action lover", _FAN.format(ACTION), ACTION),
    Role("romance-fan", "The romance fan", _FAN.format(ROMANCE), ROMANCE),
    Role(
        "film-buff",
        "The film buff",
        f"most ratings, times the share of all genres of which they have rated {OFTEN} movies",
    ),
    Role(
        "critic",
        "The critic",
        f"the lowest mean of {JUDGED} ratings or more, with a standard deviation of {SPREAD} or "
        "more",
    ),
)


def cast(habits: Habits, genres: Sequence[str]) -> dict[str, int]:
    """The user who plays each part, by its name; a part that nobody can play is left out.

    Nobody plays two parts, nor anyone of fewer than 20 ratings.

    Args:
        habits: of everybody.
        genres: the names of the g genres.
    """
    found: dict[str, int] = {}
    free = habits.ratings >= ENOUGH
    for role in ROLES:
        scores = np.where(free, _scores(role, habits, genres), _NOBODY)
        fit = np.flatnonzero(scores > _NOBODY)
        fit = fit[habits.held_out[fit]] if habits.held_out[fit].any() else fit
        if len(fit):
            best = fit[np.lexsort((habits.users[fit], -scores[fit]))[0]]
            found[role.name] = int(habits.users[best])
            free[best] = False
    return found


def _scores(role: Role, habits: Habits, genres: Sequence[str]) -> Scores:
    """f64[n]: how well everyone fits; -inf where they do not."""
    if role.genre is not None:
        return _fans(role.genre, habits, genres)
    if role.name == "film-buff":
        return (
            habits.ratings * (habits.rated >= OFTEN).mean(axis=0) if len(genres) else _none(habits)
        )
    half_stars, squares = habits.sums
    count = np.maximum(habits.ratings, 1)
    mean = half_stars / count / 2
    std = np.sqrt(np.maximum(squares / count - (half_stars / count) ** 2, 0)) / 2
    judges = (std >= SPREAD) & (habits.ratings >= JUDGED)
    return np.where(judges, -mean, _NOBODY)


def _fans(genre: str, habits: Habits, genres: Sequence[str]) -> Scores:
    """(l - n p) / sqrt(n p (1 - p)) of n liked movies, l of the genre, where all like a share p."""
    if genre not in genres:
        return _none(habits)
    n, of_genre = habits.liked[0], habits.liked[1 + list(genres).index(genre)]
    share = of_genre.sum() / max(n.sum(), 1)
    deviation = np.sqrt(n * share * (1 - share))
    above = np.divide(of_genre - n * share, deviation, where=deviation > 0, out=np.zeros(len(n)))
    return np.where(above > 0, above, _NOBODY)


def _none(habits: Habits) -> Scores:
    return np.full(len(habits.users), _NOBODY)


def _rows(movies: MovieTable, ids: npt.NDArray[np.uint32]) -> npt.NDArray[np.intp]:
    """The row of each movie, -1 where it is not known."""
    if not len(movies):
        return np.full(len(ids), -1, np.intp)
    at = np.minimum(np.searchsorted(movies.movie_ids, ids), len(movies) - 1)
    return np.where(movies.movie_ids[at] == ids, at, -1)
