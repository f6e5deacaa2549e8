"""Proves that the live state of a partition is what the log gives, while it is being written."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from stream.bulk import PartitionFold, Progress
from stream.coldstart import ItemVectors
from stream.contracts.errors import StoreUnavailable
from stream.contracts.keys import Position
from stream.erased import explained
from stream.features import MovieState, UserState
from stream.log import PartitionLog
from stream.records import UserRecord
from stream.store import StateStore

# Times that a rebuild may replace the state under a verification before it gives up.
ATTEMPTS: Final = 3

# How far a stored cold-start vector may be from one pooled now: components are at most 1, where f16
# has steps of 0.0005, and sums round differently on other machines.
TOLERANCE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that the log and the live state disagree on."""

    what: str
    log: str
    live: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was compared in one partition.

    Attributes:
        position: what the live state was compared at, None where nothing is live.
        end: where the log ended when the comparison began.
        users: how many users were compared.
        movies: how many movies were.
        differences: what they differ in, by kind and id.
        remembered: how many movies are still counted with the ratings of people whom the archive
            has forgotten. That is no difference: a rebuild leaves them out.
    """

    position: Position | None
    end: int
    users: int
    movies: int
    differences: list[Difference]
    remembered: int = 0


async def verify(
    store: StateStore,
    log: PartitionLog,
    *,
    topic: str,
    partition: int,
    partitions: int,
    items: ItemVectors | None,
    progress: Progress,
) -> Verified:
    """Compare every user and movie of a partition with a fold of the log.

    1. Fold the log up to the live position.
    2. Go through the live users. One that differs may just have moved on: suspect it, and whoever
       is missing.
    3. Take the suspects, the movies and the position of one instant, fold the log on to there, and
       compare: what differs now is a difference.
    4. Where the archive has erased ratings that live state counts, that explains what it can.

    Cold-start vectors are compared where they are of the version of `items`.

    Not compared is `keys.changed`, which tells readers what to read again. It is no function of the
    log: its offsets are where workers cut their batches, and a rebuild begins without it. The
    script that writes a movie writes it in the same breath (`tests/suites` holds both stores to
    that), and a reader that a hand in Redis misled is right again once it starts, or a rebuild has
    made all anew.

    Raises BrokerUnavailable, ArchiveUnavailable or StoreUnavailable, and EventsMissing or
    DatasetError where the log cannot be read from its beginning.
    """
    for _ in range(ATTEMPTS):
        live = await store.position(partition)
        end = await log.end(partition)
        if live is None:
            missing = [Difference("state", f"{end} records", "nothing")] if end else []
            return Verified(None, end, 0, 0, missing)
        topic_id = await log.topic_id()
        if live.topic_id != topic_id:
            return Verified(live, end, 0, 0, [Difference("topic id", topic_id, live.topic_id)])
        if live.next_offset > end:
            ahead = Difference("next offset", f"at most {end}", str(live.next_offset))
            return Verified(live, end, 0, 0, [ahead])
        begin = await log.begin(partition)
        if live.next_offset < begin:  # no worker can go on from there
            behind = Difference("next offset", f"at least {begin}", str(live.next_offset))
            return Verified(live, end, 0, 0, [behind])
        # 1.
        fold = PartitionFold(log, topic, partition, partitions, progress)
        state = fold.state
        await fold.advance(live.next_offset)
        # 2.
        suspects = set(state.users)
        async for chunk in store.users(partition, live.generation):
            different = set(_differing(chunk, state.users, chunk, items))
            suspects -= chunk.keys() - different
            suspects |= different
        # 3.
        snapshot = await store.snapshot(partition, live.generation, suspects)
        now = snapshot.position
        if now is None or now.generation != live.generation:
            continue
        await fold.advance(now.next_offset)
        users = _differing(sorted(suspects), state.users, snapshot.users, items)
        movies = dict(_movies(state.movies, snapshot.movies))
        # 4.
        remembered = explained(fold.erased, state.movies, snapshot.movies, movies)
        if users and fold.erased:
            for user in await fold.wishes(await log.end(partition)):
                users.pop(user, None)  # the archive is ahead of the live state
        damage = [difference for movie, difference in movies.items() if movie not in remembered]
        return Verified(
            position=now,
            end=end,
            users=len(state.users),
            movies=len(state.movies),
            differences=[*users.values(), *damage],
            remembered=len(remembered),
        )
    raise StoreUnavailable(
        f"the state of partition {partition} was replaced {ATTEMPTS} times while it was verified: "
        "wait for the rebuilds to finish and run `freshet verify` again"
    )


def _differing(
    users: Iterable[int],
    log: Mapping[int, UserState],
    live: Mapping[int, UserRecord],
    items: ItemVectors | None,
) -> dict[int, Difference]:
    """Those of `users` whose state or cold-start vector is not what the log gives."""
    differing: dict[int, Difference] = {}
    equal: list[int] = []
    for user in users:
        what, expected, found = f"user {user}", log.get(user), live.get(user)
        if expected is None or found is None:
            differing[user] = Difference(what, _presence(expected), _presence(found))
        elif expected != found.state:
            differing[user] = _first_field(what, expected, found.state)
        else:
            equal.append(user)
    if items is not None:
        for user, difference in _vectors(equal, live, items):
            differing[user] = difference
    return differing


def _presence(side: object) -> str:
    return "nothing" if side is None else "there"


def _first_field(what: str, log: UserState, live: UserState) -> Difference:
    """The first field of a user that differs."""
    name = next(f.name for f in fields(log) if getattr(log, f.name) != getattr(live, f.name))
    ours, theirs = (_readable(state, name) for state in (log, live))
    return Difference(f"{what}: {name}", ours, theirs)


def _readable(state: UserState, name: str) -> str:
    lists = {"movies": state.movie_ids, "times": state.seconds, "half_stars": state.ratings}
    return str(lists[name]().tolist() if name in lists else getattr(state, name))


def _vectors(
    users: list[int], live: Mapping[int, UserRecord], items: ItemVectors
) -> Iterator[tuple[int, Difference]]:
    tagged = [
        (user, live[user], stored)
        for user in users
        if (stored := live[user].cold_start) is not None and stored.tag == items.tag
    ]
    pooled = items.pool([record.state for _, record, _ in tagged])
    for (user, _, stored), expected in zip(tagged, pooled, strict=True):
        if expected is None:
            yield user, Difference(f"user {user}: cold-start vector", "nothing", "there")
        elif not np.allclose(expected.vector, stored.vector, rtol=0, atol=TOLERANCE):
            apart = np.abs(expected.vector.astype(np.float32) - stored.vector).max()
            yield user, Difference(f"user {user}: cold-start vector", "pooled", f"{apart:.3g} off")


def _movies(
    log: Mapping[int, MovieState], live: Mapping[int, MovieState]
) -> Iterator[tuple[int, Difference]]:
    for movie in sorted(log.keys() | live.keys()):
        if log.get(movie) != live.get(movie):
            states = (str(side.get(movie, "nothing")) for side in (log, live))
            yield movie, Difference(f"movie {movie}", *states)
