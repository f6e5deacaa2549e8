"""The stream worker: everything that one process needs, started, watched and drained."""

import asyncio
import logging
import os
import signal
import time
from threading import Timer
from typing import Final, cast

import uvloop
from aiokafka.errors import KafkaError
from faust.types import TP

from infra.settings import Settings
from producers.admin import ensure_topics, partition_count
from producers.publisher import Publisher
from stream.agents import Appliers, add_agents
from stream.app import create_app
from stream.collector import tune_collector
from stream.contracts.errors import (
    BrokerUnavailable,
    Stalled,
    Unavailable,
)
from stream.contracts.topics import Topics
from stream.dead_letters import KafkaDeadLetters
from stream.experiments.agents import ExperimentAgents
from stream.experiments.store import RedisExperiments
from stream.experiments.tally import Tally
from stream.health import HealthServer
from stream.log_reader import KafkaLog
from stream.metrics import Metrics
from stream.processor import Processor
from stream.redis_store import RedisStore
from stream.resume import Resume
from stream.retrying import retrying
from stream.tasks import end
from stream.transport import BatchConsumer
from stream.views import Views
from stream.watchdog import PATIENCE, Fetches, Mark, Watchdog

logger = logging.getLogger(__name__)

# Seconds between two looks at the store (catalogue, model, positions) and at the partitions.
TICK: Final = 1.0

# Seconds for one look at the partitions; it takes milliseconds while the consumer's thread lives.
LOOK_TIMEOUT: Final = 5.0

# Seconds to finish the batch under way, commit and leave the group: the local stack kills after
# 2.5. What is not finished then is processed again by whoever takes over.
DRAIN: Final = 2.0


def run(settings: Settings) -> None:
    """Be a worker until SIGTERM or SIGINT.

    Raises whatever else ended it, so that the process exits with an error and is started again.
    """
    tune_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings))


async def _run(settings: Settings) -> None:
    partitions = await asyncio.to_thread(
        ensure_topics,
        settings.librdkafka(),
        Topics(settings.kafka_topic_prefix),
        settings.kafka_partitions,
        settings.kafka_replication,
    )
    worker = Worker(settings, partitions)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    host, port = settings.worker_metrics_host, settings.worker_metrics_port
    with HealthServer(host, port, worker.metrics.registry, worker.check_ready) as server:
        logger.info("metrics and readiness on http://%s:%d", host, server.port)
        try:
            await worker.run_until(stop)
        except Exception as error:
            logger.critical("ending: %r", error)
            raise
        finally:
            _end_process_in(DRAIN, os.EX_OK if stop.is_set() else os.EX_SOFTWARE)
            await worker.close()


def _end_process_in(seconds: float, status: int) -> None:
    """Whatever still hangs then is not worth waiting for: a service that is away, or a thread of
    the consumer's that was told to stop before it had started."""

    def give_up() -> None:
        logger.warning("not drained within %g s: what is not committed is done again", seconds)
        logging.shutdown()
        os._exit(status)

    timer = Timer(seconds, give_up)
    timer.daemon = True
    timer.start()


class Worker:
    """One worker.

    Attributes:
        metrics: what it counts.
    """

    def __init__(self, settings: Settings, partitions: int) -> None:
        """
        Args:
            settings: where Kafka and Redis are.
            partitions: how many the `ratings` topic has.
        """
        self._config = config = settings.librdkafka()
        self._topics = topics = Topics(settings.kafka_topic_prefix)
        self._partitions = partitions
        self._store = store = RedisStore(settings.redis())
        self._publisher = Publisher(config)
        self.metrics = metrics = Metrics()
        self._views = views = Views(store, metrics)
        self._processor = Processor(
            store,
            KafkaLog(config, topics.ratings),
            KafkaDeadLetters(self._publisher, topics.dead_letters),
            topic=topics.ratings,
            partitions=partitions,
            items=lambda: views.items,
            known_movies=lambda: views.known_movies,
        )
        self._resume = Resume(topics, self._processor, store, views)
        self._outcomes = RedisExperiments(settings.redis())
        tally = Tally(
            self._outcomes,
            topics,
            {topic: KafkaLog(config, topic) for topic in topics.shown},
            settings.experiment_window_seconds * 1_000,
        )
        self._experiments = ExperimentAgents(topics, self._outcomes, tally, metrics)
        self._watchdog, self._fetches = Watchdog(), Fetches()
        self._app = create_app(config, topics, self._start_offset)
        add_agents(self._app, topics, Appliers(topics, self._processor, store, metrics))
        self._experiments.add_to(self._app)
        self._tasks: list[asyncio.Task[object]] = []

    async def check_ready(self) -> None:
        """Raises Unavailable until it has its place in the group and the store answers."""
        if not self._settled:
            raise BrokerUnavailable("the consumer group has not settled yet")
        await self._store.ping()

    async def run_until(self, stop: asyncio.Event) -> None:
        """Process until `stop`. Raises whatever else ended it."""
        self._shown = await asyncio.to_thread(partition_count, self._config, self._topics.exposures)
        await retrying()(self._put_partitions)
        self._tasks = [
            asyncio.create_task(it) for it in (stop.wait(), self._process(), self._watch())
        ]
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        try:
            for task in done:
                task.result()
        except KafkaError as error:
            raise BrokerUnavailable(f"the consumer gave up: {error}") from error

    async def close(self) -> None:
        """Finish the batches under way, commit, leave the group."""
        await self._app.stop()
        for task in self._tasks:
            await end(task)
        await asyncio.to_thread(self._publisher.close)
        await self._store.close()
        await self._outcomes.close()

    @property
    def _consumer(self) -> BatchConsumer:
        return cast(BatchConsumer, self._app.consumer)

    @property
    def _settled(self) -> bool:
        """Whether the group has given out its partitions and reading has begun."""
        return self._consumer.can_resume_flow.is_set()

    async def _put_partitions(self) -> None:
        await self._store.put_partitions(self._partitions)
        await self._outcomes.put_partitions(self._shown)

    async def _start_offset(self, tp: TP) -> int | None:
        of_experiments = tp.topic in self._experiments.topics
        return await (self._experiments if of_experiments else self._resume).start_offset(tp)

    async def _process(self) -> None:
        """Raises what an agent or the consumer died of."""
        await self._app.start()
        await self._app.wait_until_stopped()
        if self._app.crash_reason is not None:
            raise self._app.crash_reason

    async def _watch(self) -> None:
        """Raises Stalled."""
        while True:
            await asyncio.sleep(TICK)
            try:
                await self._look_at_store()
            except Unavailable as error:
                logger.warning("%s", error)
            if self._settled:
                await self._look_at_partitions()

    async def _look_at_store(self) -> None:
        """Take over what is new, and give it back what it has lost."""
        await self._put_partitions()
        assigned = self._consumer.assignment() if self._settled else set()
        of_experiments = {tp for tp in assigned if tp.topic in self._experiments.topics}
        lost = await self._resume.lost(assigned - of_experiments)
        if lost := lost + await self._experiments.lost(of_experiments):
            logger.warning("the store has lost data: filling it again from the log: %s", lost)
            await self._consumer.resume(lost)

    async def _look_at_partitions(self) -> None:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                progress = await self._consumer.progress()
        except TimeoutError:
            marks = {tp: Mark(behind=True, at=None) for tp in self._consumer.assignment()}
        else:
            self.metrics.lag(
                {tp: max(it.end - it.fetched, 0) + it.unfinished for tp, it in progress.items()}
            )
            marks = self._fetches.marks(progress, self._applied, time.monotonic())
        if stalled := self._watchdog.stalled(marks, time.monotonic()):
            raise Stalled(
                f"no progress for {PATIENCE:g} s although there is something to do: "
                + ", ".join(f"{tp.topic}/{tp.partition}" for tp in stalled)
            )

    def _applied(self, tp: TP) -> int | None:
        """What moves with what is applied, within a long batch too, where that is known."""
        if tp.topic == self._topics.ratings:
            return self._processor.next_offset(tp.partition)
        return self._experiments.mark(tp)
