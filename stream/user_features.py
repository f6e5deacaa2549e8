"""What is derived from a user's state: the features that towers and tables read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stream.features import DAY, DAYS_A_MONTH, SECOND, UserState

_HALF_STARS: Final = range(1, 11)


@dataclass(frozen=True, slots=True)
class UserFeatures:
    """Derived from a user's state; ratings in stars.

    `rating_range` is (lowest, highest); `top_genres` are the three with most ratings, ties by
    name; `ratings_per_month` counts from the first to the last rating, over a month at least.
    """

    rating_mean: float
    rating_std: float
    rating_count: int
    rating_range: tuple[float, float]
    top_genres: tuple[str, ...]
    ratings_per_month: float
    days_since_last: float


def user_features(
    state: UserState, genres: Mapping[int, Sequence[str]], now: int
) -> UserFeatures | None:
    """Features of a user who rated something, else None.

    Args:
        state: the user's state.
        genres: genres of each movie; movies the catalogue does not know yet do not count.
        now: ms since the epoch, for `days_since_last` alone.
    """
    if not len(state):
        return None
    given = {of: times for of in _HALF_STARS if (times := state.half_stars.count(of))}
    count, total = len(state), sum(of * times for of, times in given.items())
    squares = sum(of * of * times for of, times in given.items())
    seconds = state.seconds()
    months = max((int(seconds.max()) - int(seconds.min())) * SECOND / DAY / DAYS_A_MONTH, 1.0)
    counts: dict[str, int] = {}
    for movie in state.movie_ids().tolist() if genres else ():
        for genre in genres.get(movie, ()):
            counts[genre] = counts.get(genre, 0) + 1
    top = sorted(counts, key=lambda genre: (-counts[genre], genre))[:3]
    return UserFeatures(
        rating_mean=total / count / 2,
        rating_std=math.sqrt(squares * count - total * total) / count / 2,
        rating_count=count,
        rating_range=(min(given) / 2, max(given) / 2),
        top_genres=tuple(top),
        ratings_per_month=count / months,
        days_since_last=max((now - state.last_event_time) / DAY, 0.0),
    )
