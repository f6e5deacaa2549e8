"""What a model is asked about: what each of some users had rated by a moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.contracts.errors import DatasetError
from stream.features import SECOND
from training.dataset import Movie, Ratings
from training.standing import Standing
from training.tower_inputs import PADDING, USER_FEATURES, Ints, TowerInputs, ages


class Rated(NamedTuple):
    """The e ratings that stand in B histories: of each movie, its user's latest.

    Attributes:
        lists: i64[e] which of the B histories each is in, ascending.
        events: i64[e] its place in the log, ascending within a history.
        steps: i64[e] how many standing ratings of the same history came after it.
    """

    lists: Ints
    events: Ints
    steps: Ints


@dataclass(frozen=True)
class Histories:
    """B histories, each a slice of one user's events; an empty slice is someone new.

    Attributes:
        log: whose events they are. Its catalogue is the model's.
        starts: i64[B] the user's first event.
        ends: i64[B] the event after the last one known.
    """

    log: Ratings
    starts: Ints
    ends: Ints

    @classmethod
    def before(cls, log: Ratings, events: Ints) -> "Histories":
        """Of the users of these events, i64[B], as of right before each of them."""
        return cls(log, log.first[events], events)

    @classmethod
    def of_users(cls, log: Ratings, users: Ints) -> "Histories":
        """All that these users, i64[B] ids, did; who is not in the log is new."""
        starts = np.searchsorted(log.users, users, side="left")
        return cls(log, starts, np.searchsorted(log.users, users, side="right"))

    @classmethod
    def raw(
        cls, movies: list[Movie], ratings: Sequence[Sequence[tuple[int, float, int]]]
    ) -> "Histories":
        """Of people the data set does not know.

        Args:
            movies: the model's catalogue.
            ratings: of each person, (movie id, stars, ms since the epoch), oldest first.

        Raises:
            DatasetError: a movie is not in the catalogue, or a rating is not 0.5, 1.0 .. 5.0.
        """
        row = {movie.movie_id: index for index, movie in enumerate(movies)}
        lengths = [len(some) for some in ratings]
        flat = [rating for some in ratings for rating in some]
        for movie_id, stars, _ in flat:
            if movie_id not in row:
                raise DatasetError(f"movie {movie_id} is not in the catalogue of {len(movies)}")
            if not (0.5 <= stars <= 5 and (2 * stars).is_integer()):
                raise DatasetError(f"{stars} stars for movie {movie_id}: give 0.5, 1.0 .. 5.0")
        log = Ratings(
            movies,
            np.repeat(np.arange(len(ratings)), lengths),
            np.array([row[movie_id] for movie_id, _, _ in flat], np.int64),
            np.array([round(2 * stars) for _, stars, _ in flat], np.int64),
            np.array([time for _, _, time in flat], np.int64),
        )
        return cls.of_users(log, np.arange(len(ratings)))

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, some: slice | Ints) -> "Histories":
        return Histories(self.log, self.starts[some], self.ends[some])

    @property
    def lengths(self) -> Ints:
        """i64[B] events in each, repeated ratings included."""
        return self.ends - self.starts

    @property
    def users(self) -> Ints:
        """i64[B] user ids, -1 where the history is empty."""
        users = np.full(len(self), -1, np.int64)
        there = self.ends > self.starts
        users[there] = self.log.users[self.starts[there]]
        return users

    def distinct(self) -> tuple["Histories", Ints]:
        """The different ones among them, empty ones being all alike, and i64[B] which each is."""
        slices = np.stack([self.starts, self.ends], axis=1) * (self.lengths > 0)[:, None]
        different, which = np.unique(slices, axis=0, return_inverse=True)
        return Histories(self.log, different[:, 0], different[:, 1]), which

    def events(self) -> tuple[Ints, Ints]:
        """i64[n] twice: which history each event is in, ascending, and its place in the log."""
        lengths = self.lengths
        lists = np.repeat(np.arange(len(self)), lengths)
        return lists, np.arange(len(lists)) + np.repeat(self.ends - np.cumsum(lengths), lengths)

    def rated(self, liked_from: int = 1, latest: int | None = None) -> Rated:
        """The ratings that stand.

        Args:
            liked_from: only those of so many half stars and up.
            latest: only so many of the latest ones of those.
        """
        lists, events = self.events()
        stands = self.log.replaced[events] >= self.ends[lists]
        if liked_from > 1:
            stands &= self.log.half_stars[events] >= liked_from
        lists, events = lists[stands], events[stands]
        ends = np.searchsorted(lists, lists, side="right")
        steps = ends - 1 - np.arange(len(lists))
        if latest is not None:
            lists, events, steps = (part[steps < latest] for part in (lists, events, steps))
        return Rated(lists, events, steps)

    def standing(self) -> Standing:
        """What the second stage reads, as `standing.standing_of` makes it of the same users."""
        rated, log = self.rated(), self.log
        events = rated.events
        return Standing(
            users=len(self),
            lists=rated.lists,
            rows=log.rows[events],
            half_stars=log.half_stars[events],
        )

    def tower_inputs(self, length: int) -> TowerInputs:
        """What the user tower reads, as `tower_inputs.from_states` makes it of the same users.

        Args:
            length: latest ratings of each that are read.
        """
        log = self.log
        if not len(log):
            empty = np.zeros((len(self), 1), np.float32)
            features = np.zeros((len(self), USER_FEATURES), np.float32)
            return TowerInputs(empty.astype(np.int64), empty, empty, features)
        longest = int(self.lengths.max(initial=1))
        at = self.ends[:, None] - 1 - np.arange(min(length + log.most_replaced, longest))
        there = at >= self.starts[:, None]
        at = np.maximum(at, 0)
        there &= log.replaced[at] >= self.ends[:, None]
        if log.most_replaced:
            width = min(length, int(there.sum(axis=1).max(initial=1)))
            kept = np.argsort(~there, axis=1, kind="stable")[:, :width]
            at = np.take_along_axis(at, kept, axis=1)
            there = np.take_along_axis(there, kept, axis=1)
        return TowerInputs(
            history=np.where(there, log.rows[at] + 1, PADDING),
            ratings=np.where(there, log.half_stars[at] / 2, 0).astype(np.float32),
            ages=ages(log.times[at] // SECOND, there),
            features=log.features(self.starts, self.ends),
        )
