"""What the worker does with the topics of experiments."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from unittest.mock import Mock

import pytest

from stream.contracts.errors import StoreUnavailable
from stream.contracts.topics import Topics
from stream.experiments.agents import ExperimentAgents
from stream.experiments.tally import Counted
from stream.log import LogRecord, Record
from stream.metrics import Metrics

TOPICS = Topics()
BATCHES = {partition: [Record(partition, 0, None, None)] for partition in range(3)}


class Counting:
    """A tally that counts nothing before it was given all partitions, and may fail for one."""

    def __init__(self, failing: int | None = None) -> None:
        self.met = asyncio.Barrier(len(BATCHES))
        self.failing = failing

    async def process(self, topic: str, partition: int, records: Sequence[LogRecord]) -> Counted:
        await self.met.wait()
        if partition == self.failing:
            raise StoreUnavailable("Redis is away")
        return Counted(
            applied=Counter({topic: len(records), TOPICS.feedback: 2}),
            invalid=Counter({(TOPICS.feedback, "key_mismatch"): 1}),
        )


def agents(tally: Counting, metrics: Metrics) -> ExperimentAgents:
    return ExperimentAgents(TOPICS, Mock(), tally, metrics)  # type: ignore[arg-type]


async def test_partitions_of_a_fetch_are_counted_side_by_side() -> None:
    metrics = Metrics()
    async with asyncio.timeout(10):
        await agents(Counting(), metrics).outcomes(TOPICS.exposures, BATCHES)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    assert value("freshet_outcomes_counted_total", topic=TOPICS.exposures) == 3
    assert value("freshet_outcomes_counted_total", topic=TOPICS.feedback) == 6


async def test_what_keeps_one_from_being_counted_is_said_as_it_is() -> None:
    with pytest.raises(StoreUnavailable, match="Redis is away"):
        async with asyncio.timeout(10):
            await agents(Counting(failing=1), Metrics()).outcomes(TOPICS.exposures, BATCHES)
