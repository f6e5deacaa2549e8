"""Worker processes on real servers: killed, emptied, corrupted and told to stop."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from faust.types import TP
from tenacity import Retrying, retry_if_not_result, stop_after_delay, wait_fixed

from infra.settings import Settings
from producers.admin import ensure_topics
from producers.publisher import BulkPublisher
from stream import worker as worker_module
from stream.contracts import keys
from stream.contracts.errors import Stalled
from stream.contracts.events import MODEL_KEY, encode
from stream.contracts.topics import Topics, partition_of
from stream.dead_letters import read_dead_letters
from stream.decoding import decode
from stream.features import fold
from stream.log_reader import KafkaLog
from stream.redis_store import RedisStore
from stream.transport import Progress
from stream.watchdog import Watchdog
from stream.worker import Worker
from tests.stream.build import rating
from tests.stream.test_agents import model, movie
from tests.stream.world import live_state

PARTITIONS = 4
EVENTS = 20_000
POISON_EVERY = 1_000
LARGEST = (1 << 20) - 1000  # bytes: what Kafka lets through
DEADLINE = 90.0  # seconds; a group notices a killed member after six and settles in three


class WorkerProcess:
    def __init__(self, settings: Settings, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, "-m", "infra", "worker"],
            env={**os.environ, **settings.environment()},
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
        )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 while nothing listens."""
        where = re.search(r"metrics and readiness on (http://\S+)", self.log)
        if where is None:
            return 0, ""
        try:
            with urllib.request.urlopen(where[1] + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics")[1], re.M)
        return float(found[1]) if found else 0.0

    def ready(self) -> bool:
        assert self._process.poll() is None, self.log
        return self.get("/readyz")[0] == 200

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def exit_code(self) -> int:
        return self._process.wait(DEADLINE)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def settings(broker: str, redis_url: str, topics: Topics, tmp_path: Path) -> Settings:
    settings = Settings(
        home=tmp_path,
        kafka_bootstrap_servers=broker,
        kafka_topic_prefix=topics.prefix,
        kafka_partitions=PARTITIONS,
        redis_url=redis_url,
    )
    ensure_topics(settings.librdkafka(), topics, PARTITIONS, 1)
    return settings


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Callable[[str], WorkerProcess]]:
    started: list[WorkerProcess] = []

    def start(name: str) -> WorkerProcess:
        started.append(WorkerProcess(settings, tmp_path / f"{name}.log"))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def until(holds: Callable[[], bool]) -> None:
    Retrying(
        retry=retry_if_not_result(bool), wait=wait_fixed(0.1), stop=stop_after_delay(DEADLINE)
    )(holds)


def publish(settings: Settings, topics: Topics, first: int, last: int) -> None:
    """Ratings `first` to `last`, and some records that are none."""
    with BulkPublisher(settings.librdkafka()) as publisher:
        for number in range(first, last):
            user, film = number * 7919 % 500 + 1, number * 104_729 % 300 + 1
            event = rating(user, film, number % 10 / 2 + 0.5)
            publisher.publish(topics.ratings, b"%d" % user, encode(event))
            if number % POISON_EVERY == 0:
                wrong = partition_of(user, PARTITIONS) ^ 1
                publisher.publish(topics.ratings, b"%d" % user, b"{%d" % number)
                publisher.publish(topics.ratings, b"%d" % user, encode(event), wrong)


async def is_straight_fold(settings: Settings, topics: Topics) -> bool:
    """Whether the store has all of the log; asserts that what it has is one fold over the log."""
    log = KafkaLog(settings.librdkafka(), topics.ratings)
    store = RedisStore(str(settings.redis_url))
    try:
        for partition in range(PARTITIONS):
            end, position = await log.end(partition), await store.position(partition)
            if position is None or position.next_offset < end:
                return False
            records = [record async for chunk in log.read(partition, 0, end) for record in chunk]
            events, _ = decode(topics.ratings, partition, PARTITIONS, records)
            expected = fold({}, {}, events)
            live = await live_state(store, partition)
            assert live.users == expected.users
            assert live.movies == expected.movies
    finally:
        await store.close()
    return True


def test_killed_emptied_and_corrupted(
    settings: Settings,
    topics: Topics,
    redis_url: str,
    start: Callable[[str], WorkerProcess],
) -> None:
    def complete() -> bool:
        return asyncio.run(is_straight_fold(settings, topics))

    first, second = start("first"), start("second")
    until(lambda: first.ready() and second.ready())
    with BulkPublisher(settings.librdkafka()) as publisher:
        publisher.publish(topics.ratings, b"1", b"x" * LARGEST)
        publisher.publish(topics.movies, b"1", encode(movie(1)))
        publisher.publish(topics.movies, b"2", b"{")
        publisher.publish(topics.models, MODEL_KEY, encode(model("a")))

    # One is killed while both have work, and the other does the rest.
    publish(settings, topics, 0, EVENTS // 2)
    until(lambda: min(w.metric("freshet_events_applied_total") for w in (first, second)) > 0)
    publish(settings, topics, EVENTS // 2, EVENTS)
    first.kill()
    until(complete)
    letters = read_dead_letters(settings.librdkafka(), topics.dead_letters)
    reasons = [letter.reason for letter in letters]
    assert reasons.count("malformed_json") == reasons.count("misrouted") == EVENTS // POISON_EVERY
    assert reasons.count("oversized") == 1
    assert len(reasons) == 2 * EVENTS // POISON_EVERY + 1

    # An emptied store is filled again, although nothing new arrives.
    client = redis.Redis.from_url(redis_url)
    client.flushdb()
    until(complete)
    until(lambda: client.hlen(keys.CATALOGUE) == 1 and bool(client.exists(keys.SERVING_MODEL)))
    assert int(client.get(keys.PARTITIONS) or 0) == PARTITIONS
    until(second.ready)

    # What cannot be mended ends the process with an error.
    client.set(keys.live(0), b"garbage")
    client.close()
    assert second.exit_code() == 1
    assert "ValueError" in second.log


class StuckConsumer:
    """Has something to do for as long as one looks."""

    async def progress(self) -> dict[TP, Progress]:
        return {TP("ratings", 3): Progress(fetched=10, end=12, unfinished=1)}


async def test_a_partition_that_stands_still_ends_the_worker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "Watchdog", lambda: Watchdog(patience=0))
    worker = Worker(settings, PARTITIONS)
    monkeypatch.setattr(Worker, "_consumer", StuckConsumer())
    await worker._look_at_partitions()
    sample = worker.metrics.registry.get_sample_value
    assert sample("freshet_lag_records", {"topic": "ratings", "partition": "3"}) == 3
    with pytest.raises(Stalled, match="ratings/3"):
        await worker._look_at_partitions()
    await worker.close()


def test_told_to_stop_while_it_joins_the_group(start: Callable[[str], WorkerProcess]) -> None:
    worker = start("worker")
    until(lambda: worker.get("/readyz")[0] == 503)
    assert worker.get("/readyz")[1] == "the consumer group has not settled yet\n"
    worker.send(signal.SIGTERM)
    assert worker.exit_code() == 0, worker.log
