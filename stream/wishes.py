"""Dead letters of people who asked to be forgotten since: they must stay buried.

Sent back, a letter would come after the wish in the log, as if its person had begun anew.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Final

from stream.contracts.errors import InvalidEvent
from stream.contracts.events import ForgetEvent, decode_user_event
from stream.contracts.topics import partition_of
from stream.dead_letters import Buried
from stream.log import PartitionLog

# In every wish, and in hardly anything else: the other records are not parsed.
_MARK: Final = b'"forget"'


async def kept_buried(
    log: PartitionLog, partitions: int, letters: Sequence[Buried]
) -> dict[str, str]:
    """Why letters may not be sent back, by origin; those that may are left out.

    Whose a letter is says its key: one that is no user id would be buried again whatever it holds.

    Args:
        log: of the `ratings` topic, where the wishes are.
        partitions: how many it has.
        letters: that somebody would send back.

    Raises BrokerUnavailable.
    """
    by_home: defaultdict[int, list[tuple[int, Buried]]] = defaultdict(list)
    for letter in letters:
        if letter.key is not None and letter.key.isdigit():
            user = int(letter.key)
            by_home[partition_of(user, partitions)].append((user, letter))
    reasons = {}
    for partition, theirs in by_home.items():
        known_since, wishes = await _wishes(log, partition)
        for user, letter in theirs:
            if letter.timestamp <= wishes.get(user, -1):
                reasons[letter.origin] = f"user {user} has asked to be forgotten since"
            elif letter.timestamp < known_since:
                reasons[letter.origin] = (
                    f"partition {partition} no longer has what came after it, so nobody knows if "
                    f"user {user} has asked to be forgotten"
                )
    return reasons


async def _wishes(log: PartitionLog, partition: int) -> tuple[float, Mapping[int, int]]:
    """The record time (ms) from which on the partition has everything, -inf where it has all, inf
    where it has nothing any more; and that of each user's last wish."""
    begin, end = await log.begin(partition), await log.end(partition)
    known_since = float("inf") if begin else float("-inf")
    wishes: dict[int, int] = {}
    async with aclosing(log.read(partition, begin, end)) as chunks:
        async for records in chunks:
            known_since = min(known_since, records[0].timestamp)
            for record in records:
                if _MARK in (record.value or b""):
                    with suppress(InvalidEvent):  # workers bury it: it forgets nobody
                        event = decode_user_event(record.value, record.key, record.timestamp)
                        if isinstance(event, ForgetEvent):
                            wishes[event.user_id] = record.timestamp
    return known_since, wishes
