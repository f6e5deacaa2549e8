"""The batch transport uses private parts of Faust: its commits are held to what was processed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from confluent_kafka import Consumer, TopicPartition
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st
from tenacity import AsyncRetrying, retry_if_not_result, stop_after_delay, wait_fixed

from producers.admin import ensure_topics
from producers.publisher import BulkPublisher
from stream import app as faust_app
from stream import transport
from stream.agents import Batches, add_agent
from stream.app import App, create_app
from stream.contracts.topics import Topics
from stream.log import LogRecord
from stream.transport import BatchMessage, batches_of

PARTITIONS = 4
BATCH = 50  # records, so that a fetch has several batches
DEADLINE = 60.0  # seconds; a group takes about three to settle


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BATCH_RECORDS", BATCH)
    # The broker waits for half a session before it gives out partitions.
    monkeypatch.setattr(faust_app, "SESSION_TIMEOUT", 3.0)


@pytest.fixture
def config(broker: str, topics: Topics) -> dict[str, str]:
    config = {"bootstrap.servers": broker}
    ensure_topics(config, topics, PARTITIONS, 1)
    return config


class Seen:
    """An agent that notes what it was given, and does as told before it counts it as processed."""

    def __init__(self, before: Callable[[int, Sequence[LogRecord]], Any] | None = None) -> None:
        self.batches: list[tuple[int, list[int]]] = []
        self.distinct: list[set[int]] = [set() for _ in range(PARTITIONS)]  # offsets
        self._before = before

    async def apply(self, batches: Batches) -> None:
        for partition, records in batches.items():
            if self._before is not None:
                await self._before(partition, records)
        for partition, records in batches.items():
            offsets = [record.offset for record in records]
            self.batches.append((partition, offsets))
            self.distinct[partition].update(offsets)

    def offsets(self, partition: int) -> list[int]:
        return [offset for at, offsets in self.batches for offset in offsets if at == partition]

    def count(self) -> int:
        return sum(len(offsets) for _, offsets in self.batches)


def publish(config: dict[str, str], topics: Topics, per_partition: int) -> None:
    with BulkPublisher(config) as publisher:
        for number in range(per_partition):
            for partition in range(PARTITIONS):
                publisher.publish(topics.ratings, b"key", b"%d" % number, partition)


def committed(config: dict[str, str], topics: Topics) -> list[int]:
    """The group's committed offset of each partition."""
    consumer = Consumer({**config, "group.id": topics.group})
    try:
        asked = [TopicPartition(topics.ratings, partition) for partition in range(PARTITIONS)]
        return [max(found.offset, 0) for found in consumer.committed(asked, timeout=10)]
    finally:
        consumer.close()


def make(config: dict[str, str], topics: Topics, seen: Seen, **options: Any) -> App:
    app = create_app(config, topics, **options)
    add_agent(app, topics.ratings, seen.apply)
    return app


@asynccontextmanager
async def running(app: App) -> AsyncIterator[App]:
    start = asyncio.create_task(app.start())
    try:
        yield app
    finally:
        await app.stop()
        await start


async def until(holds: Callable[[], bool]) -> None:
    await AsyncRetrying(
        retry=retry_if_not_result(bool), wait=wait_fixed(0.02), stop=stop_after_delay(DEADLINE)
    )(_async, holds)


async def _async(function: Callable[[], bool]) -> bool:
    return function()


async def test_an_agent_that_fails_commits_nothing_beyond_and_the_next_begins_there(
    config: dict[str, str], topics: Topics
) -> None:
    publish(config, topics, 220)

    async def fail_in_partition_2(partition: int, records: Sequence[LogRecord]) -> None:
        if partition == 2 and records[0].offset >= 2 * BATCH:
            raise ValueError("on purpose")

    first = Seen(fail_in_partition_2)
    app = make(config, topics, first)
    async with running(app):
        await until(lambda: app.crashed)
    assert isinstance(app.crash_reason, ValueError)
    assert first.offsets(2) == list(range(2 * BATCH))
    after_crash = committed(config, topics)
    assert after_crash == [len(first.offsets(partition)) for partition in range(PARTITIONS)]

    second = Seen()
    async with running(make(config, topics, second)):
        await until(lambda: second.count() == 220 * PARTITIONS - first.count())
    assert all(len(offsets) <= BATCH for _, offsets in first.batches + second.batches)
    for partition in range(PARTITIONS):
        assert first.offsets(partition) + second.offsets(partition) == list(range(220))
    assert committed(config, topics) == [220] * PARTITIONS


async def test_a_rebalance_loses_nothing_and_commits_nothing_unprocessed(
    config: dict[str, str], topics: Topics
) -> None:
    published = 0

    async def slowly(_: int, __: Sequence[LogRecord]) -> None:
        await asyncio.sleep(0.01)

    first, second = Seen(slowly), Seen(slowly)

    def publish_more() -> None:
        nonlocal published
        publish(config, topics, 100)
        published += 100

    def processed(partition: int) -> set[int]:
        return first.distinct[partition] | second.distinct[partition]

    def both_work() -> bool:
        """There is always something to do, and never more than the two can do.

        They share this process: what is published as fast as one can outruns them, until they miss
        their heartbeats and the group settles anew, which is time to publish still more.
        """
        if all(len(processed(at)) >= published - BATCH for at in range(PARTITIONS)):
            publish_more()
        return bool(second.batches)

    def all_processed() -> bool:
        return all(processed(at) == set(range(published)) for at in range(PARTITIONS))

    async with running(make(config, topics, first)) as leaver:
        publish_more()
        await until(lambda: bool(first.batches))
        async with running(make(config, topics, second)) as stayer:
            await until(both_work)
            for at, offset in enumerate(committed(config, topics)):
                assert processed(at) >= set(range(offset))
            await leaver.stop()
            publish_more()
            await until(all_processed)
            assert not stayer.crashed
    assert committed(config, topics) == [published] * PARTITIONS


async def test_begins_where_it_is_told_and_one_record_comes_at_once(
    config: dict[str, str], topics: Topics
) -> None:
    publish(config, topics, 100)

    async def start(tp: TP) -> int | None:
        return {0: 0, 1: 30, 2: 100}.get(tp.partition)

    seen = Seen()
    async with running(make(config, topics, seen, start_offset=start)) as app:
        await until(lambda: seen.count() == 100 + 70 + 0 + 100)
        publish(config, topics, 1)
        await until(lambda: seen.count() == 270 + PARTITIONS)
        progress = await app.consumer.progress()
    assert seen.offsets(0) == list(range(101))
    assert seen.offsets(1) == list(range(30, 101))
    assert seen.offsets(2) == [100]
    assert [offsets for _, offsets in seen.batches[-PARTITIONS:]] == [[100]] * PARTITIONS
    assert {tp.partition: at.fetched for tp, at in progress.items()} == dict.fromkeys(range(4), 101)
    assert not any(at.unfinished for at in progress.values())
    assert committed(config, topics) == [101] * PARTITIONS


def record(offset: int) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("ratings", 0, offset, 0, 0, None, b"", None, 0, 0, ())


async def test_what_faust_skips_is_not_acknowledged(config: dict[str, str], topics: Topics) -> None:
    """Its streams skip and acknowledge messages of before a rebalance; nobody processed those."""
    consumer = make(config, topics, Seen()).consumer
    tp = TP(topics.ratings, 0)
    message = BatchMessage({tp: [record(7), record(8)]}, {tp: range(7, 9)}, 1)
    message.incref()
    message.ack(consumer)
    assert not message.acked
    assert not consumer._acked


@given(st.dictionaries(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), st.integers(1, 130)))
def test_what_was_fetched_is_handed_over_in_order_and_in_as_few_batches_as_there_is_room_for(
    sizes: dict[tuple[str, int], int],
) -> None:
    fetched = {TP(*place): [record(at) for at in range(size)] for place, size in sizes.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "BATCH_RECORDS", BATCH)
        batches = list(batches_of(fetched))
    together: dict[TP, list[int]] = {tp: [] for tp in fetched}
    counts: dict[str, list[int]] = {"a": [], "b": []}
    for batch in batches:
        (topic,) = {tp.topic for tp in batch}
        counts[topic].append(sum(map(len, batch.values())))
        for tp, records in batch.items():
            assert records
            together[tp] += [it.offset for it in records]
    assert together == {tp: list(range(len(records))) for tp, records in fetched.items()}
    for some in counts.values():
        assert all(count <= BATCH for count in some)
        assert all(one + other > BATCH for one, other in pairwise(some))


async def test_a_batch_that_is_finished_is_committed_with_what_was_never_there(
    config: dict[str, str], topics: Topics
) -> None:
    """Compaction leaves holes: offsets that nobody is going to acknowledge."""
    consumer = make(config, topics, Seen()).consumer
    tps = [TP(topics.ratings, at) for at in range(2)]
    consumer._committed_offset[tps[0]] = 100
    first = BatchMessage(
        {tps[0]: [record(103), record(108)], tps[1]: [record(0)]},
        {tps[0]: range(100, 109), tps[1]: range(1)},
        1,
    )
    again = BatchMessage({tps[0]: [record(108), record(109)]}, {tps[0]: range(108, 110)}, 1)
    for message in (first, again):
        message.incref()
        message.finished = True
        message.ack(consumer)
        assert message.acked
    assert {tp: consumer._new_offset(tp) for tp in tps} == {tps[0]: 110, tps[1]: 1}
