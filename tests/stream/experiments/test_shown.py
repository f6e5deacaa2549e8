"""What was shown lately is read from the end of the log."""

import asyncio

from stream.contracts.events import ForgetEvent, encode
from stream.contracts.experiments import ExposureEvent
from stream.experiments.shown import lately_shown
from stream.log import Record
from tests.exposures import page
from tests.fakes import MemoryLog

START = 1_700_000_000_000  # ms


def shown(time: int, movie: int, user: int) -> ExposureEvent:
    return page(START + time, (movie,), user=user)


def log_of(*events: ExposureEvent | ForgetEvent | bytes) -> MemoryLog:
    """Odd users in partition 1; bytes, which are no event, in 0."""
    log, offsets = MemoryLog(), [0, 0]
    for event in events:
        if isinstance(event, bytes):
            partition, key, value = 0, b"1", event
        else:
            partition, key, value = event.user_id % 2, b"%d" % event.user_id, encode(event)
        log.append(partition, Record(offsets[partition], START + 100, key, value))
        offsets[partition] += 1
    return log


def read(log: MemoryLog, since: int = 0, most: int = 100) -> list[ExposureEvent]:
    return asyncio.run(lately_shown(log, 2, since, most))


def test_from_a_time_on() -> None:
    old, new, other = shown(9, 1, user=2), shown(10, 2, user=2), shown(11, 3, user=3)
    log = log_of(old, b"nonsense", other, new)
    assert read(log, since=START + 10) == [new, other]
    assert read(log) == [old, new, other]


def test_no_more_than_that_of_each_partition() -> None:
    pages = [shown(time, 1, user=2 + time % 2) for time in range(2, 22)]
    assert [it.event_time - START for it in read(log_of(*pages), most=6)] == [
        16,
        18,
        20,
        17,
        19,
        21,
    ]
    log = log_of(*pages)
    log.drop_before(0, 9)
    assert [it.event_time - START for it in read(log, most=6)] == [20, 17, 19, 21]


def test_who_was_forgotten_since_is_left_out() -> None:
    before, after, other = shown(1, 1, user=2), shown(3, 2, user=2), shown(1, 3, user=4)
    wish = ForgetEvent(event_id="f", user_id=2, event_time=START + 2, produced_time=START + 2)
    assert read(log_of(before, other, wish)) == [other]
    assert read(log_of(before, other, wish, after)) == [other, after]
