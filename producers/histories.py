"""What many people rate, when, and with how many stars: synthetic, from what is planted.

People rate movies seconds apart, go away for days by a power law and come back, or never do. What
they choose is partly what everybody chooses, partly from the clusters they like at that time, a few
in a row, and always a movie that is out and that they have not rated.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from producers.planted import DAY, END, FAVOURITES, MONTH, MONTHS, START, Planted

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Within a session, log seconds between two ratings: half are within 15 s, 95% within 108 s.
_PACE_MEAN: Final = float(np.log(15.0))
_PACE_SIGMA: Final = 1.2

# How likely a person is to go away after a rating, beta distributed: 6% on average as in
# MovieLens, and next to never for the half of its people whose ratings are all of one evening.
_LEAVING: Final = (0.25, 4.0)

# Days away, a Pareto distribution cut off: median 2.4, 95% within 41. MovieLens has 3.9 and 84.
_SHORTEST: Final = 1.0
_LONGEST: Final = 1_826.0
_EXPONENT: Final = 0.8
_AWAY_IN_ALL: Final = 0.9 * (END - START)  # s, at most; the rest of the time is for sessions

# A movie that comes out shortly before the end cannot make up for that without limit: those
# younger than this many months are chosen less often than their popularity says.
_NEW: Final = 24
_ROUNDS: Final = 50  # of the fixed point: within 1% for 400 movies, 0.01% for 4,000

# A choice that was already rated is made again: first by taste, after so many times by popularity,
# and at last evenly, which ends soon because nobody rates more than half of what is out.
_BY_TASTE: Final = 8
_BY_POPULARITY: Final = 16


_MAINSTREAM: Final = -1


class Ratings(NamedTuple):
    """Ratings in order of user, then time, in 13 bytes each.

    Attributes:
        users: u32[n] rows of users.
        movies: u32[n] rows of movies.
        half_stars: u8[n] ratings times two.
        seconds: u32[n] since `START`.
    """

    users: npt.NDArray[np.uint32]
    movies: npt.NDArray[np.uint32]
    half_stars: npt.NDArray[np.uint8]
    seconds: npt.NDArray[np.uint32]


class Histories:
    """Makes the histories of any group of users, each group from randomness of its own."""

    def __init__(self, planted: Planted) -> None:
        self._planted = planted
        # In order of cluster, then release: what is out in a month is the beginning of each
        # cluster, and a weighted draw from it is one number between two cumulative weights.
        self._movies: Ints = np.argsort(planted.cluster, kind="stable")
        self._cumulative = np.concatenate([[0.0], np.cumsum(_appeal(planted)[self._movies])])
        demand = np.bincount(planted.cluster, planted.popularity)
        self._demand = np.cumsum(demand[:-1])  # f64[clusters - 1], the bounds between them
        sizes = np.bincount(planted.cluster)
        self._begin = np.cumsum(sizes) - sizes  # i64[clusters]
        out = [
            np.searchsorted(planted.released[planted.cluster == kind], _months(), side="right")
            for kind in range(len(sizes))
        ]
        self._end = self._begin[:, None] + np.stack(out)  # i64[clusters, months]

    def of(self, first: int, last: int) -> Ratings:
        """The histories of the users in rows `first` to `last`, the latter excluded."""
        planted = self._planted
        chance = np.random.default_rng([planted.parameters.seed, 1, first])
        activity = planted.activity[first:last]
        seconds = _times(chance, activity)
        users = np.repeat(np.arange(first, last), activity)
        since = seconds - np.repeat(seconds[np.cumsum(activity) - activity], activity)
        progress = np.minimum(1, since / (planted.parameters.drift * DAY))
        movies = self._choices(chance, users, progress, seconds // MONTH)
        return Ratings(
            users.astype(np.uint32),
            movies.astype(np.uint32),
            _half_stars(chance, planted, users, movies, progress),
            seconds.astype(np.uint32),
        )

    def _choices(
        self, chance: np.random.Generator, users: Ints, progress: Floats, months: Ints
    ) -> Ints:
        """i64[n] rows of movies, none twice for a user."""
        moods = self._moods(chance, users, progress)
        bits = len(users).bit_length()
        movies = np.empty(len(users), dtype=np.int64)
        again = np.arange(len(users))
        attempt = 0
        while len(again):
            attempt += 1
            kinds = np.searchsorted(self._demand, chance.random(len(again)), side="right")
            if attempt <= _BY_TASTE:
                mood = moods[again]
                kinds = np.where(mood == _MAINSTREAM, kinds, mood)
            evenly = attempt > _BY_TASTE + _BY_POPULARITY
            movies[again] = self._draw(chance, kinds, months[again], evenly)

            # User, movie and place in one number each: sorted, a repetition follows its first.
            unfinished = np.zeros(users[-1] - users[0] + 1, dtype=np.bool_)
            unfinished[users[again] - users[0]] = True
            places = np.flatnonzero(unfinished[users - users[0]])
            keys = (users[places] - users[0]) * len(self._movies) + movies[places]
            keys = (keys << bits) | places
            keys.sort()
            repeated = keys[1:] >> bits == keys[:-1] >> bits
            again = keys[1:][repeated] & ((1 << bits) - 1)
        return movies

    def _moods(self, chance: np.random.Generator, users: Ints, progress: Floats) -> Ints:
        """i64[n] which of their favourite clusters of that time users are in the mood for.

        `_MAINSTREAM` in place of a cluster: for whatever is popular.
        """
        planted, count = self._planted, len(users)
        slot = np.searchsorted(np.cumsum(FAVOURITES)[:-1], chance.random(count), side="right")
        changed = chance.random(count) < progress
        moods = np.where(changed, planted.late[users, slot], planted.early[users, slot])
        mainstream = chance.random(count) < planted.parameters.mainstream
        moods = np.where(mainstream, _MAINSTREAM, moods.astype(np.int64))
        begins = chance.random(count) < 1 / planted.parameters.mood
        begins |= np.diff(users, prepend=-1) > 0
        return moods[np.maximum.accumulate(np.where(begins, np.arange(count), 0))]

    def _draw(self, chance: np.random.Generator, kinds: Ints, months: Ints, evenly: bool) -> Ints:
        """i64[n] rows of movies of these clusters that are out before these months."""
        begin, end = self._begin[kinds], self._end[kinds, months]
        where = chance.random(len(kinds))
        if evenly:
            found = begin + (where * (end - begin)).astype(np.int64)
            return np.asarray(self._movies[found])
        low, high = self._cumulative[begin], self._cumulative[end]
        found = np.searchsorted(self._cumulative, low + where * (high - low), side="right") - 1
        return np.asarray(self._movies[np.minimum(found, end - 1)])  # rounding may reach `high`


def _months() -> Ints:
    """i64[MONTHS] when each month begins, in seconds since the epoch."""
    return START + MONTH * np.arange(MONTHS)


def _appeal(planted: Planted) -> Floats:
    """f64[movies] weights with which movies are chosen from what is out.

    A movie that is out for half of the time needs twice the weight for the same popularity, and
    each unit of weight is worth more while less is out. With W the weight of what is out in a
    month, popularity = appeal * sum of 1 / W over the months it is out / MONTHS.
    """
    out = np.searchsorted(planted.released, _months(), side="right")
    since = np.minimum(np.searchsorted(_months(), planted.released), MONTHS - 1)
    appeal = planted.popularity
    for _ in range(_ROUNDS):
        worth = 1 / np.cumsum(appeal)[out - 1] / MONTHS
        while_out = np.cumsum(worth[::-1])[::-1]
        appeal = planted.popularity / np.maximum(while_out, while_out[-_NEW])[since]
        appeal /= appeal.sum()  # only ratios matter, and would drift together
    return appeal


def _times(chance: np.random.Generator, activity: Ints) -> Ints:
    """i64[n] seconds since `START`, strictly ascending for each user."""
    users, count = len(activity), int(activity.sum())
    owner = np.repeat(np.arange(users), activity)
    last = np.cumsum(activity) - 1
    first = last - activity + 1

    leaves = chance.random(count) < chance.beta(*_LEAVING, users)[owner]
    leaves[first] = False
    cut = 1 - (_SHORTEST / _LONGEST) ** _EXPONENT
    away = np.zeros(count)
    away[leaves] = (1 - cut * chance.random(int(leaves.sum()))) ** (-1 / _EXPONENT)
    away *= _SHORTEST * DAY
    in_all = np.maximum(np.bincount(owner, away), 1)
    away *= np.minimum(1, _AWAY_IN_ALL / in_all)[owner]

    pace = np.exp(chance.normal(_PACE_MEAN, _PACE_SIGMA, count))
    gaps = (pace + away).astype(np.int64) + 1
    gaps[first] = 0
    elapsed = np.cumsum(gaps)
    elapsed -= elapsed[first][owner]
    arrival = chance.random(users) * (END - START - elapsed[last])
    return elapsed + arrival.astype(np.int64)[owner]


def _half_stars(
    chance: np.random.Generator, planted: Planted, users: Ints, movies: Ints, progress: Floats
) -> npt.NDArray[np.uint8]:
    parameters = planted.parameters
    stars = chance.normal(parameters.level, parameters.noise, len(users))
    stars += planted.leniency[users]
    stars += planted.quality[movies]
    stars += parameters.pull * planted.liking(users, movies, progress)
    return np.clip(np.rint(2 * stars), 1, 10).astype(np.uint8)
