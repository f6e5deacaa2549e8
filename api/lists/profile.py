"""How much there is to go on for somebody, and what would tell more.

    strength = 0.5 min(n / 20, 1) + 0.3 min(g / 9, 1) + 0.2 min(s / 1.0, 1)

where n is the number of ratings, g that of different genres among the movies, and s the population
standard deviation of the stars: someone who likes everything tells little.
"""

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Final

from api.schemas.profiles import Advice, AdviceKind, Profile, Stage
from api.serving.watcher import Serving
from stream.features import UserState

# Where each part of the strength is full: ratings of a good first session, half of the genres that
# MovieLens has, a standard deviation of one star.
FULL_RATINGS: Final = 20
FULL_GENRES: Final = 9
FULL_SPREAD: Final = 1.0

_RATINGS, _GENRES, _SPREAD = 0.5, 0.3, 0.2  # what each is of the strength

# Ratings from which each stage begins, and what a person is told.
STAGES: Final[Sequence[tuple[int, Stage, str]]] = (
    (50, "deep", "We know your taste well"),
    (10, "personal", "This is chosen for you"),
    (1, "learning", "We are learning your taste"),
    (0, "new", "This is what others rate: rate something to get your own list"),
)

_SCALE: Final = range(1, 11)  # half stars that a rating may have

NAMED: Final = 3  # genres that an advice names


def strength_of(movie_ids: Sequence[int], stars: Sequence[float], serving: Serving) -> float:
    """0 to 1: how much these ratings are to go on."""
    return _strength(movie_ids, bytes(round(2 * one) for one in stars), serving)[0]


def profile_of(state: UserState, serving: Serving) -> Profile:
    """Of the person with this state."""
    count = len(state)
    stage, message = next((name, told) for least, name, told in STAGES if count >= least)
    strength, advice = _strength(state.movie_ids().tolist(), state.half_stars, serving)
    return Profile(stage=stage, message=message, ratings=count, strength=strength, advice=advice)


def _strength(
    movie_ids: Sequence[int], half_stars: bytes, serving: Serving
) -> tuple[float, list[Advice]]:
    count = len(half_stars)
    genres = _genres(movie_ids, serving)
    missing: dict[AdviceKind, float] = {
        "ratings": _RATINGS * max(1 - count / FULL_RATINGS, 0.0),
        "genres": _GENRES * max(1 - len(genres) / FULL_GENRES, 0.0),
        "spread": _SPREAD * max(1 - _spread(half_stars) / FULL_SPREAD, 0.0),
    }
    messages: dict[AdviceKind, Callable[[], str]] = {
        "ratings": lambda: f"Rate {FULL_RATINGS - count} more",
        "genres": lambda: _other_genres(genres, serving),
        "spread": lambda: "Use more of the scale: what you did not like tells as much",
    }
    advice = [
        Advice(kind=kind, message=messages[kind](), gain=round(gain, 3))
        for kind, gain in missing.items()
        if gain > 0
    ]
    strength = 1 - sum(missing.values())
    return round(strength, 3), sorted(advice, key=lambda one: -one.gain)


def _spread(half_stars: bytes) -> float:
    """The population standard deviation in stars: NumPy takes four times as long for so few."""
    count = len(half_stars)
    of_each = [(value, half_stars.count(value)) for value in _SCALE]
    total = sum(value * times for value, times in of_each)
    squares = sum(value * value * times for value, times in of_each)
    return sqrt(count * squares - total * total) / count / 2 if count else 0.0


def _genres(movie_ids: Sequence[int], serving: Serving) -> set[str]:
    """Of these movies, at least as many as count."""
    found: set[str] = set()
    for movie_id in movie_ids:
        movie = serving.movie(movie_id)
        if movie is not None:
            found.update(movie.genres)
            if len(found) >= FULL_GENRES:
                break
    return found


def _other_genres(genres: set[str], serving: Serving) -> str:
    known = serving.repertoire.genres if serving.repertoire is not None else ()
    others = [genre for genre in known if genre not in genres][:NAMED]
    such = f", such as {', '.join(others)}" if others else ""
    return f"Rate movies of other genres{such}"
