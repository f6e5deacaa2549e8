"""What people were shown lately, as the log has it."""

from collections.abc import Sequence
from contextlib import suppress

from stream.contracts.errors import InvalidEvent
from stream.contracts.experiments import ExposureEvent, decode_exposure
from stream.log import PartitionLog


async def lately_shown(
    log: PartitionLog, partitions: int, since: int, most: int
) -> list[ExposureEvent]:
    """The newest exposures of people who were not forgotten since.

    Args:
        log: of the topic `exposures`.
        partitions: how many it has.
        since: ms since the epoch, before which they are left out.
        most: how many records are read, as many of each partition.

    Raises:
        BrokerUnavailable: no answer in time, or there is no such topic.
        EventsMissing: the topic drops what is being read.
    """
    found: list[ExposureEvent] = []
    for partition in range(partitions):
        end = await log.end(partition)
        begin = max(await log.begin(partition), end - most // partitions)
        found += await _read(log, partition, begin, end)
    return [event for event in found if event.event_time >= since]


async def _read(log: PartitionLog, partition: int, begin: int, end: int) -> Sequence[ExposureEvent]:
    of_user: dict[int, list[ExposureEvent]] = {}
    async for records in log.read(partition, begin, end):
        for record in records:
            with suppress(InvalidEvent):  # workers leave it out too, and say so
                event = decode_exposure(record.value, record.key, record.timestamp)
                if isinstance(event, ExposureEvent):
                    of_user.setdefault(event.user_id, []).append(event)
                else:
                    of_user.pop(event.user_id, None)
    return [event for events in of_user.values() for event in events]
