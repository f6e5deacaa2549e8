"""State: folding and committing batches, rebuilding from the log and proving it, on real servers.

Batches are handed to the processor as the workers' transport does, which has its own benchmark.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from confluent_kafka import Producer

from benchmarks.report import Report, main
from infra import services
from infra.supervisor import Supervisor
from producers.admin import ensure_topics
from stream.coldstart import ItemVectors
from stream.contracts.events import RatingEvent, encode
from stream.contracts.topics import Topics, partition_of
from stream.log import DeadLetter, Record
from stream.log_reader import KafkaLog
from stream.processor import Processor
from stream.rebuild import rebuild
from stream.redis_store import RedisStore
from stream.verify import verify

EVENTS: Final = 400_000
USERS: Final = 2_600  # who rate 154 movies each, a user's mean in MovieLens 25M
SESSION: Final = 20  # ratings in a row by the same user
MOVIES: Final = 9_000
DIMENSIONS: Final = 128
PARTITIONS: Final = 8
BATCH: Final = 1_000  # records
WARM: Final = 0.7  # share of the events applied before the clock starts, so that users have records

PROCESS_BAR: Final = 30_000  # events/s
REBUILD_BAR: Final = 100_000  # events/s

Log = list[list[Record]]


class NoDeadLetters:
    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        raise AssertionError(f"an invalid event: {letters[0].detail}")


def run() -> Report:
    chance = np.random.default_rng(1)
    orders = {
        "sessions of 20 ratings": np.repeat(chance.permutation(EVENTS // SESSION) % USERS, SESSION),
        "users at random": chance.integers(0, USERS, EVENTS),
    }
    vectors = chance.standard_normal((MOVIES, DIMENSIONS)).astype(np.float32)
    items = ItemVectors("benchmark", np.arange(1, MOVIES + 1, dtype=np.uint32), vectors)
    report = Report("State", "python -m benchmarks.state")
    with tempfile.TemporaryDirectory() as logs, Supervisor(Path(logs), say=print) as supervisor:
        broker = services.tansu(services.free_port())
        redis = services.valkey(services.free_port(), data=None)
        supervisor.start(broker, redis, timeout=30)
        config = {"bootstrap.servers": broker.address}
        for number, (order, users) in enumerate(orders.items()):
            topics = Topics(f"{number}.")
            log = produced(config, topics, users + 1, chance)
            store = RedisStore(f"{redis.address}/{number}")
            asyncio.run(measure(report, order, log, KafkaLog(config, topics.ratings), store, items))
    return report


def produced(
    config: dict[str, str],
    topics: Topics,
    users: npt.NDArray[np.int64],
    chance: np.random.Generator,
) -> Log:
    """One rating by each of `users`, in the topic and, by partition, in memory."""
    ensure_topics(config, topics, PARTITIONS, replication=1)
    producer = Producer({**config, "enable.idempotence": True, "linger.ms": 20})
    popular = chance.zipf(1.2, EVENTS) % MOVIES + 1
    movies = np.where(chance.random(EVENTS) < 0.5, popular, chance.integers(1, MOVIES, EVENTS))
    half_stars = chance.integers(1, 11, EVENTS)
    log: Log = [[] for _ in range(PARTITIONS)]
    rows = zip(users.tolist(), movies.tolist(), half_stars.tolist(), strict=True)
    for i, (user, movie, half) in enumerate(rows):
        time = 1_000_000_000_000 + 1_000 * i
        event = RatingEvent(
            event_id=f"{i:032}",
            user_id=user,
            movie_id=movie,
            rating=half / 2,
            event_time=time,
            produced_time=time,
            source="replay",
        )
        partition = partition_of(user, PARTITIONS)
        record = Record(len(log[partition]), time, b"%d" % user, encode(event))
        log[partition].append(record)
        while True:
            try:
                producer.produce(
                    topics.ratings, record.value, record.key, partition, timestamp=time
                )
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()
    return log


async def measure(
    report: Report,
    order: str,
    log: Log,
    kafka: KafkaLog,
    store: RedisStore,
    items: ItemVectors,
) -> None:
    known = set(items.movie_ids.tolist())
    worker = Processor(
        store,
        kafka,
        NoDeadLetters(),
        topic="ratings",
        partitions=PARTITIONS,
        items=lambda: items,
        known_movies=lambda: known,
    )
    batches = [
        (partition, records[at : at + BATCH])
        for at in range(0, max(map(len, log)), BATCH)
        for partition, records in enumerate(log)
        if records[at:]
    ]
    warm = round(len(batches) * WARM)
    await process(worker, batches[:warm])
    events = sum(len(records) for _, records in batches[warm:])
    seconds, cpu = await timed(process(worker, batches[warm:]))
    report.at_least(f"fold and commit, {order}", events / seconds, "events/s", PROCESS_BAR)
    report.context("... processor time of the worker", cpu / events * 1e6, "us an event")

    seconds, cpu = await timed(rebuild_all(store, kafka, items))
    report.at_least(f"rebuild, {order}", EVENTS / seconds, "events/s", REBUILD_BAR)
    report.context("... processor time of the rebuild", cpu / EVENTS * 1e6, "us an event")
    seconds, _ = await timed(verify_all(store, kafka, items))
    report.context(f"verify, {order}", EVENTS / seconds, "events/s")
    await store.close()


async def process(worker: Processor, batches: list[tuple[int, list[Record]]]) -> None:
    for partition, records in batches:
        await worker.process(partition, records)


async def rebuild_all(store: RedisStore, kafka: KafkaLog, items: ItemVectors) -> None:
    for partition in range(PARTITIONS):
        await rebuild(
            store,
            kafka,
            NoDeadLetters(),
            topic="ratings",
            partition=partition,
            partitions=PARTITIONS,
            items=items,
            progress=id,
        )


async def verify_all(store: RedisStore, kafka: KafkaLog, items: ItemVectors) -> None:
    for partition in range(PARTITIONS):
        found = await verify(
            store,
            kafka,
            topic="ratings",
            partition=partition,
            partitions=PARTITIONS,
            items=items,
            progress=id,
        )
        assert not found.differences, found.differences[0]


async def timed(work: Awaitable[None]) -> tuple[float, float]:
    """Seconds on the clock, and seconds of this process on a processor."""
    started, started_cpu = time.perf_counter(), time.process_time()
    await work
    return time.perf_counter() - started, time.process_time() - started_cpu


if __name__ == "__main__":
    main(run)
