"""The fold: state + events -> new state, with no I/O and no clock.

Live agents, bulk rebuild, training and tests all call it, so training and serving cannot skew.
Events apply in the order of the log. What a person thinks of a movie is their latest rating of it:
a second rating replaces the first, in their history and in the movie's counts. Who is forgotten is
as if new; what the movies were rated in all stays, for it says nothing of anyone.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import log2
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.contracts.events import ForgetEvent, RatingEvent, UserEvent

FEATURE_VERSION: Final = 2  # raise it when the fold or a derived feature changes meaning

SECOND: Final = 1_000  # ms
DAY: Final = 86_400_000  # ms
DAYS_A_MONTH: Final = 30.44

# A rating counts half as much for "trending" and "recent" after this many days: long enough for
# the few ratings a day of the small data sets, short enough to forget last season.
HEAT_HALF_LIFE: Final = 30.0

# Ratings given before, up to which somebody is a newcomer: what people rate in a first session is
# not what they rate later.
NEWCOMER: Final = 10


class Heat(NamedTuple):
    """What is counted of a movie, decayed.

    Attributes:
        name: of the feature.
        half_life: days after which a rating counts half as much.
        newcomers: whether only the ratings of newcomers count.
    """

    name: str
    half_life: float
    newcomers: bool = False


HEATS: Final = (
    Heat("heat_30", HEAT_HALF_LIFE),
    Heat("heat_365", 365.0),
    Heat("new_30", HEAT_HALF_LIFE, newcomers=True),
    Heat("new_365", 365.0, newcomers=True),
)

_TREND: Final = HEATS.index(Heat("heat_30", HEAT_HALF_LIFE))
_COLD: Final = (-math.inf,) * len(HEATS)

# (place, half-life) of the heats that a rating counts for: that of a newcomer, and of others.
_BY_NEWCOMERS: Final = [(place, heat.half_life) for place, heat in enumerate(HEATS)]
_BY_OTHERS: Final = [
    (place, heat.half_life) for place, heat in enumerate(HEATS) if not heat.newcomers
]


@dataclass(slots=True)
class UserState:
    """What one user did: their latest rating of each movie, oldest first.

    Attributes:
        movies: u32[n] movie ids, in the order in which their latest ratings were applied.
        times: u32[n] event times of those ratings, in seconds since the epoch.
        half_stars: u8[n] those ratings times two (1..10).
        events: how many events were applied, repeated ratings included.
        last_offset: offset of the last event applied, -1 before the first.
        last_event_time: its event time, ms.
        last_produced_time: its produced time, ms.
    """

    movies: bytes = b""
    times: bytes = b""
    half_stars: bytes = b""
    events: int = 0
    last_offset: int = -1
    last_event_time: int = 0
    last_produced_time: int = 0

    def __len__(self) -> int:
        return len(self.half_stars)

    def copy(self) -> "UserState":
        return UserState(
            self.movies,
            self.times,
            self.half_stars,
            self.events,
            self.last_offset,
            self.last_event_time,
            self.last_produced_time,
        )

    def movie_ids(self) -> npt.NDArray[np.uint32]:
        """u32[n], a read-only view."""
        return np.frombuffer(self.movies, dtype="<u4")

    def seconds(self) -> npt.NDArray[np.uint32]:
        """u32[n], a read-only view."""
        return np.frombuffer(self.times, dtype="<u4")

    def ratings(self) -> npt.NDArray[np.float32]:
        """f32[n] in stars."""
        stars = np.frombuffer(self.half_stars, dtype=np.uint8).astype(np.float32)
        return stars * np.float32(0.5)


@dataclass(slots=True)
class MovieState:
    """What the users of one partition did with one movie.

    Attributes:
        count: users whose latest rating of it this counts.
        total: sum of their ratings, in half stars.
        squares: sum of the squares, in half stars.
        heats: for each of `HEATS` the log2 of the decayed number of rating events that it counts:
            log2(sum 2^(t/h)) with t the event times and h the half-life, both in days. Every movie
            decays alike, so heats compare at any later time without being touched.
        recent_mean: mean of all rating events in half stars, decayed with `HEAT_HALF_LIFE`.
    """

    count: int = 0
    total: int = 0
    squares: int = 0
    heats: tuple[float, ...] = _COLD
    recent_mean: float = 0.0

    def copy(self) -> "MovieState":
        return MovieState(self.count, self.total, self.squares, self.heats, self.recent_mean)

    @property
    def heat(self) -> float:
        """Of all ratings, with `HEAT_HALF_LIFE`."""
        return self.heats[_TREND]

    @property
    def mean(self) -> float:
        """Mean rating in stars, 0 where nobody has rated it."""
        return self.total / self.count / 2 if self.count else 0.0

    @property
    def std(self) -> float:
        """Population standard deviation in stars."""
        return _std(self.count, self.total, self.squares)

    @property
    def trend(self) -> float:
        """Recent mean less overall mean, in stars: above 0 it is liked better than it was."""
        return self.recent_mean / 2 - self.mean if self.count else 0.0


def merge(parts: Iterable[MovieState]) -> MovieState:
    """A movie's state over all partitions."""
    whole = MovieState()
    for part in parts:
        whole.heats = tuple(map(log2_add, whole.heats, part.heats))
        if whole.heat > -math.inf:
            share = 2.0 ** (part.heat - whole.heat)
            whole.recent_mean += share * (part.recent_mean - whole.recent_mean)
        whole.count += part.count
        whole.total += part.total
        whole.squares += part.squares
    return whole


@dataclass(slots=True)
class Writes:
    """The new state of everything that a batch touched."""

    users: dict[int, UserState] = field(default_factory=dict)
    movies: dict[int, MovieState] = field(default_factory=dict)


def fold(
    users: Mapping[int, UserState],
    movies: Mapping[int, MovieState],
    events: Iterable[tuple[int, UserEvent]],
) -> Writes:
    """Apply events in log order.

    Args:
        users: the state of the users in `events`; one that is missing is new.
        movies: likewise for the movies.
        events: (offset, event) in the order of the log, all of one partition.

    Returns:
        New state for every user and movie touched; that of someone forgotten has no events. The
        arguments are left as they were.
    """
    writes = Writes()
    fold_into(writes, users, movies, events)
    return writes


def fold_into(
    writes: Writes,
    users: Mapping[int, UserState],
    movies: Mapping[int, MovieState],
    events: Iterable[tuple[int, UserEvent]],
) -> None:
    """`fold` onto `writes`, which holds what earlier batches wrote and takes precedence."""
    new_users, new_movies = writes.users, writes.movies
    for offset, event in events:
        if isinstance(event, ForgetEvent):
            new_users[event.user_id] = UserState()
            continue
        user = new_users.get(event.user_id)
        if user is None:
            before = users.get(event.user_id)
            user = new_users[event.user_id] = UserState() if before is None else before.copy()
        movie = new_movies.get(event.movie_id)
        if movie is None:
            seen = movies.get(event.movie_id)
            movie = new_movies[event.movie_id] = MovieState() if seen is None else seen.copy()
        half_stars = int(event.rating * 2)
        newcomer = user.events <= NEWCOMER
        replaced = _rate(user, offset, event, half_stars)
        _count(movie, event.event_time, half_stars, replaced, newcomer)


def _rate(user: UserState, offset: int, event: RatingEvent, half_stars: int) -> int | None:
    """Record the rating; returns the half stars of the rating that it replaces, if any."""
    movie = event.movie_id.to_bytes(4, "little")
    at = user.movies.find(movie)
    while at > 0 and at % 4:  # a match across two ids
        at = user.movies.find(movie, at + 1)
    replaced = None
    if at >= 0:
        place = at // 4
        replaced = user.half_stars[place]
        user.movies = user.movies[:at] + user.movies[at + 4 :]
        user.times = user.times[:at] + user.times[at + 4 :]
        user.half_stars = user.half_stars[:place] + user.half_stars[place + 1 :]
    user.movies += movie
    user.times += (event.event_time // SECOND).to_bytes(4, "little")
    user.half_stars += half_stars.to_bytes()
    user.events += 1
    user.last_offset = offset
    user.last_event_time = event.event_time
    user.last_produced_time = event.produced_time
    return replaced


def _count(
    movie: MovieState, event_time: int, half_stars: int, replaced: int | None, newcomer: bool
) -> None:
    if replaced is None:
        movie.count += 1
    else:
        movie.total -= replaced
        movie.squares -= replaced * replaced
    movie.total += half_stars
    movie.squares += half_stars * half_stars
    day = event_time / DAY
    heats = list(movie.heats)
    for place, half_life in _BY_NEWCOMERS if newcomer else _BY_OTHERS:
        heat, arrival = heats[place], day / half_life
        above = arrival - heat
        # `log2_add` as it is where one of the two is finite: calls would take as long again.
        heats[place] = (
            heat + log2(1.0 + 2.0**above) if above < 0 else arrival + log2(1.0 + 2.0**-above)
        )
    movie.heats = tuple(heats)
    share = 2.0 ** (day / HEAT_HALF_LIFE - movie.heat)
    movie.recent_mean += share * (half_stars - movie.recent_mean)


def _std(count: int, total: int, squares: int) -> float:
    if not count:
        return 0.0
    return math.sqrt(max(squares * count - total * total, 0)) / count / 2


def log2_add(a: float, b: float) -> float:
    """log2(2^a + 2^b) without overflow."""
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log2(1.0 + 2.0 ** (b - a))
