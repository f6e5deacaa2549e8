"""Nobody who asked to be forgotten comes back out of the dead letters."""

from dataclasses import replace

import pytest

from stream.contracts.events import encode
from stream.contracts.topics import partition_of
from stream.dead_letters import Buried
from stream.log import Record
from stream.wishes import kept_buried
from tests.fakes import MemoryLog
from tests.stream.build import forget, rating

TOPIC, PARTITIONS = "ratings", 4
GONE, HERE = 1, 2
HOME = partition_of(GONE, PARTITIONS)
T = 1_700_000_000_000  # ms


def letter(user: int, timestamp: int, offset: int = 5) -> Buried:
    """Misrouted, so that sent back it would be valid."""
    value, key = encode(rating(user, 7, 4.0)), b"%d" % user
    origin = f"{TOPIC}/{HOME + 1}/{offset}@{timestamp}"
    place = (TOPIC, HOME + 1, offset)
    return Buried(origin, *place, timestamp, key, value, "misrouted", "", sent_back=False)


def log_of(user: int, begin: int = 0) -> MemoryLog:
    """Of a rating, a wish a second later, and a rating another second later, by the same user."""
    log = MemoryLog(chunk=1)
    events = [rating(user, 1, 4.0), forget(user), rating(user, 2, 3.0)]
    home = partition_of(user, PARTITIONS)
    for at, event in enumerate(events):
        log.append(home, Record(at, T + 1_000 * at, b"%d" % user, encode(event)))
    log.drop_before(home, begin)
    return log


@pytest.mark.parametrize(("when", "kept"), [(T, True), (T + 1_000, True), (T + 1_001, False)])
async def test_what_is_from_before_a_wish_stays_buried(when: int, kept: bool) -> None:
    found = await kept_buried(log_of(GONE), PARTITIONS, [letter(GONE, when)])
    reason = "user 1 has asked to be forgotten since"
    assert found == ({letter(GONE, when).origin: reason} if kept else {})


async def test_who_has_not_asked_may_come_back() -> None:
    mine, theirs = letter(GONE, T, 5), letter(HERE, T, 6)
    assert set(await kept_buried(log_of(GONE), PARTITIONS, [mine, theirs])) == {mine.origin}


@pytest.mark.parametrize("key", [None, b"", b"no number", b"-1"])
async def test_what_is_nobodys_is_buried_again_anyway(key: bytes | None) -> None:
    nobodys = replace(letter(GONE, T), key=key)
    assert await kept_buried(log_of(GONE), PARTITIONS, [nobodys]) == {}


@pytest.mark.parametrize("begin", [2, 3])
async def test_where_the_log_has_dropped_wishes_nobody_knows(begin: int) -> None:
    """From its third record on, or nothing."""
    early = letter(GONE, T + 500)
    [reason] = (await kept_buried(log_of(GONE, begin), PARTITIONS, [early])).values()
    assert "nobody knows if user 1 has asked" in reason
    late = letter(GONE, T + 2_000)
    assert bool(await kept_buried(log_of(GONE, begin), PARTITIONS, [late])) is (begin == 3)
