"""Counting beside others: who commits first, and a store that loses what a process knows of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from stream.experiments.outcomes import fold
from stream.experiments.store import Progress
from tests.stream.experiments.test_outcomes import WINDOW, figure
from tests.stream.experiments.test_tally import (
    EXPOSURES,
    MONTHS,
    PARTITION,
    SAID_FOR_MONTHS,
    SHOWN_FOR_MONTHS,
    TOPICS,
    Flaky,
    World,
    fill,
)


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Flaky]:
    store = Flaky(redis_url)
    await store.put_partitions(PARTITION + 1)
    yield store
    await store.close()


async def test_another_worker_that_commits_first_is_gone_on_from(
    store: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After this one has read what it counts from, and before it commits."""
    world, topic, commit = World(store), TOPICS.exposures, store.commit

    async def after_another(*arguments: Any) -> Progress:
        monkeypatch.setattr(store, "commit", commit)
        await world.worker().process(topic, PARTITION, world.batch(topic, 0, 4))
        return await commit(*arguments)

    monkeypatch.setattr(store, "commit", after_another)
    counted = await world.worker().process(topic, PARTITION, world.batch(topic, 0, 99))
    assert (counted.applied[topic], counted.duplicates) == (len(EXPOSURES) - 4, 4)
    assert await world.sums() == fold({}, EXPOSURES, WINDOW)


async def test_what_a_worker_counted_in_a_store_that_was_emptied_it_counts_again(
    store: Flaky, redis_url: str
) -> None:
    """As it was lived: that it once had counted the other topic further says nothing any more."""
    world = World(store)
    await fill(world, SHOWN_FOR_MONTHS, SAID_FOR_MONTHS)
    worker = world.worker()
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        for _ in range(2):
            await client.flushdb()
            await store.put_partitions(PARTITION + 1)
            for topic in TOPICS.shown:
                await worker.process(topic, PARTITION, world.batch(topic, 0, 500))
            sums = await world.sums()
            assert figure(sums, "impressions") == figure(sums, "clicked") == len(MONTHS)
