"""What is left of a person: every place that held something of them, looked through.

Nothing is taken from what the code that erased it says: places are read as their readers read them.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow.compute as pc

from api.intake.idempotency import IdempotentRequests
from api.lists.freshness import LogPosition
from stream.archive import Archive
from stream.contracts.errors import DatasetError
from stream.dead_letters import Buried
from stream.log import PartitionLog
from stream.store import StateStore
from training.snapshot import archived, take_snapshot

# s between two looks at how far the archive has got: it is written every half minute.
PAUSE: Final = 0.25


class Finding(NamedTuple):
    """What one place has of the person; `left` where it ought to have nothing of that."""

    place: str
    says: str
    left: bool


@dataclass(frozen=True)
class Places:
    """Where somebody may be found.

    Attributes:
        partitions: how many `log` has.
        dead_letters: reads them all, and blocks.
        outcomes: the partitions with a record of what experiments count of a person.
        patience: s to wait for archive and experiments to take in the wish.
    """

    store: StateStore
    idempotent: IdempotentRequests
    log: PartitionLog
    partitions: int
    archive: Archive
    dead_letters: Callable[[], Sequence[Buried]]
    outcomes: Callable[[int], Awaitable[Sequence[int]]]
    patience: float


async def findings(places: Places, user_id: int, wish: LogPosition) -> list[Finding]:
    """What is left of somebody whose wish to be forgotten is at `wish`, place by place.

    1. The live state of every partition, also where they do not belong, and what rebuilds left.
    2. Lists kept for them.
    3. The archive, once it is past the wish: what it writes before may still have them.
    4. What the next training would be given.
    5. Answers kept for repeated requests.
    6. Dead letters, which nobody edits.
    7. What experiments count of them, which follows wishes of its own.
    8. The log itself, which nobody edits: its records of them are before the wish.

    Raises Unavailable, or DatasetError where the archive is damaged.
    """
    # 1.
    found = [
        await _live_state(places.store, partition, user_id, wish)
        for partition in range(places.partitions)
    ]
    # 2.
    lists = [await places.store.kept(at, user_id) for at in range(places.partitions)]
    found.append(Finding("kept lists", _number(sum(lists), "list"), sum(lists) > 0))
    # 3.
    topic_id = await places.log.topic_id()
    found.append(await _archive(places, topic_id, user_id, wish))
    # 4.
    found.append(await _training(places, topic_id, user_id))
    # 5.
    answers = await places.idempotent.mentions(user_id)
    found.append(Finding("stored answers", _number(answers, "key"), answers > 0))
    # 6.
    letters = await asyncio.to_thread(places.dead_letters)
    found.append(_letters(letters, user_id))
    # 7.
    found.append(await _outcomes(places, user_id))
    # 8.
    found.append(await _log(places.log, user_id, wish))
    return found


async def _live_state(
    store: StateStore, partition: int, user_id: int, wish: LogPosition
) -> Finding:
    place = f"live state, partition {partition}"
    position = await store.position(partition)
    held = await store.holding(partition, user_id)
    live = position is not None and position.generation in held
    if held and not live:
        says = "a record of a rebuild under way or given up: `freshet rebuild` drops it"
        return Finding(place, says, left=True)
    says, reached = "a record" if live else "nothing", position.next_offset if position else 0
    if partition == wish.partition and reached <= wish.offset:
        says += f", but it is only at {partition}:{reached}: does a worker run?"
        return Finding(place, says, left=True)
    return Finding(place, says, left=live)


async def _archive(places: Places, topic_id: str, user_id: int, wish: LogPosition) -> Finding:
    archive, deadline = places.archive, time.monotonic() + places.patience
    at = await asyncio.to_thread(archived, archive, topic_id, places.partitions)
    # Without anything of the topic nobody may archive; but a topic that was made anew, before whose
    # wish the archiver has nothing to write, has the rows of the one before erased by it.
    awaited = any(at.offsets) or await asyncio.to_thread(archive.contains, user_id) > 0
    while awaited and at.offsets[wish.partition] <= wish.offset:
        if time.monotonic() >= deadline:
            break
        await asyncio.sleep(PAUSE)
        at = await asyncio.to_thread(archived, archive, topic_id, places.partitions)
    rows = _number(count := await asyncio.to_thread(archive.contains, user_id), "rating")
    if not any(at.offsets):
        return Finding("archive", f"{rows}, with nothing of the topic archived", count > 0)
    reached = at.offsets[wish.partition]
    if reached <= wish.offset:
        return Finding(
            "archive",
            f"{rows}, but it is only at {wish.partition}:{reached}: does `freshet archive` run?",
            left=True,
        )
    return Finding("archive", f"{rows}, at {wish.partition}:{reached}", count > 0)


async def _training(places: Places, topic_id: str, user_id: int) -> Finding:
    place = "next training"
    end = await asyncio.to_thread(archived, places.archive, topic_id, places.partitions)
    catalogue = await places.store.catalogue(0)
    try:
        taken = await asyncio.to_thread(
            take_snapshot, places.archive, catalogue.movies if catalogue else {}, end
        )
    except DatasetError as error:
        return Finding(place, f"nothing to train on: {error}", left=False)
    parts = (taken.known, taken.asked)
    count = sum(pc.sum(pc.equal(part["user_id"], user_id)).as_py() or 0 for part in parts)
    ratings = len(taken.known) + len(taken.asked)
    return Finding(place, f"{_number(count, 'rating')} of {ratings:,}", count > 0)


def _letters(letters: Sequence[Buried], user_id: int) -> Finding:
    named = re.compile(rb'"user_id"\s*:\s*%d\b' % user_id)
    about = [
        letter
        for letter in letters
        if letter.key == b"%d" % user_id or named.search(letter.value or b"")
    ]
    says = _number(len(about), "letter")
    if about:
        last = about[-1]
        says += f", the last of them {last.origin}: have the broker delete the topic's records"
    return Finding("dead letters", says, bool(about))


async def _outcomes(places: Places, user_id: int) -> Finding:
    deadline = time.monotonic() + places.patience
    held = await places.outcomes(user_id)
    while held and time.monotonic() < deadline:
        await asyncio.sleep(PAUSE)
        held = await places.outcomes(user_id)
    says = f"a record in partition {', '.join(map(str, held))}: does a worker run?"
    return Finding("experiments", says if held else "nothing", bool(held))


async def _log(log: PartitionLog, user_id: int, wish: LogPosition) -> Finding:
    key, count = b"%d" % user_id, 0
    begin = min(await log.begin(wish.partition), wish.offset)
    async for records in log.read(wish.partition, begin, wish.offset):
        count += sum(record.key == key for record in records)
    says = _number(count, "record")
    if count:
        says += f" before the wish at {wish}, until the topic's retention drops them"
    return Finding("log", says, left=False)


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}" if count else "nothing"
