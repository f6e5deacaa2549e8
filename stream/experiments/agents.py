"""The worker's part in experiments: definitions to the store, and what came of them to its sums."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Final

from faust.types import TP
from prometheus_client import Counter

from stream.agents import Batches, add_agent
from stream.app import App
from stream.contracts.errors import InvalidEvent
from stream.contracts.experiments import decode_experiment
from stream.contracts.topics import Topics
from stream.experiments.store import RedisExperiments
from stream.experiments.tally import Tally
from stream.log import LogRecord
from stream.metrics import Metrics
from stream.retrying import retrying

logger = logging.getLogger(__name__)


class ExperimentAgents:
    """What is done with a batch of each topic of experiments, and where to begin with them.

    Attributes:
        topics: the names of those topics.
    """

    def __init__(
        self, topics: Topics, store: RedisExperiments, tally: Tally, metrics: Metrics
    ) -> None:
        self.topics: Final = frozenset((topics.experiments, *topics.shown))
        self._definitions = topics.experiments
        self._store = store
        self._tally = tally
        self._invalid = metrics.invalid
        self._counted = Counter(
            "freshet_outcomes_counted",
            "Exposures and feedback counted for experiments",
            ["topic"],
            registry=metrics.registry,
        )
        self._had_definitions = False

    def add_to(self, app: App) -> None:
        """Agents for the topics of experiments."""
        for topic in sorted(self.topics):
            define = topic == self._definitions
            add_agent(app, topic, self.definitions if define else partial(self.outcomes, topic))

    async def definitions(self, batches: Batches) -> None:
        valid = []
        for record in chain.from_iterable(batches.values()):
            try:
                valid.append(decode_experiment(record.value))
            except InvalidEvent as error:
                logger.error("%s, offset %d: left out: %s", self._definitions, record.offset, error)
                self._invalid.labels(self._definitions, error.reason).inc()
        await self._store.put(valid)

    async def outcomes(self, topic: str, batches: Batches) -> None:
        """Partitions of one fetch side by side: while the store answers one, another is folded."""
        try:
            async with asyncio.TaskGroup() as group:
                for partition, records in batches.items():
                    group.create_task(self._count(topic, partition, records))
        except ExceptionGroup as failed:  # the first one is why the others were given up
            raise failed.exceptions[0] from None

    async def _count(self, topic: str, partition: int, records: Sequence[LogRecord]) -> None:
        counted = await self._tally.process(topic, partition, records)
        for name, count in counted.applied.items():
            self._counted.labels(name).inc(count)
        for why, count in counted.invalid.items():
            self._invalid.labels(*why).inc(count)

    def mark(self, tp: TP) -> int | None:
        """See `Tally.mark`; None of definitions, which are stored at once."""
        return self._tally.mark(tp.topic, tp.partition)

    async def start_offset(self, tp: TP) -> int | None:
        """The offset at which to begin; None: where the group left off.

        Raises Unavailable once trying again has not helped.
        """
        return await retrying()(self._start_offset, tp)

    async def lost(self, tps: Iterable[TP]) -> list[TP]:
        """Those partitions of which the store has less now than this process has seen there.

        Raises StoreUnavailable.
        """
        had, self._had_definitions = self._had_definitions, await self._store.has_definitions()
        return [
            tp
            for tp in tps
            if (
                had and not self._had_definitions
                if tp.topic == self._definitions
                else await self._tally.is_behind(tp.topic, tp.partition)
            )
        ]

    async def _start_offset(self, tp: TP) -> int | None:
        if tp.topic != self._definitions:
            return await self._tally.resume(tp.topic, tp.partition)
        return None if await self._store.has_definitions() else 0
