"""How fast the archiver writes the log, and how fast the archive is read back."""

import os
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks.report import Report, main
from infra import services
from infra.settings import Settings
from infra.supervisor import Supervisor
from producers.admin import ensure_topics, topic_id
from producers.publisher import BulkPublisher
from stream.archive import Archive
from stream.archiver import archiver_of
from stream.contracts.events import ForgetEvent, RatingEvent, encode, new_event_id
from stream.contracts.topics import Topics

PARTITIONS: Final = 8
EVENTS: Final = 1_000_000
USERS, MOVIES = 20_000, 9_000
FORGOTTEN: Final = 100  # people at once
BAR: Final = 50_000  # events/s on one core

TOPICS: Final = Topics()


def run() -> Report:
    report = Report("The archive", "python -m benchmarks.archive")
    with TemporaryDirectory() as home, Supervisor(Path(home, "logs"), lambda _: None) as servers:
        broker = services.tansu(services.free_port())
        redis = services.valkey(services.free_port(), data=None)
        servers.start(broker, redis, timeout=60)
        settings = Settings(
            home=Path(home),
            kafka_bootstrap_servers=broker.address,
            redis_url=redis.address,
            kafka_partitions=PARTITIONS,
        )
        users = _publish_ratings(settings)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        wall, processor = _catch_up(settings)
        report.at_least("log to Parquet, on one core", EVENTS / wall, "events/s", BAR)
        report.context("its processor time", processor / EVENTS * 1e6, "µs/event")
        archive = Archive.open(settings.archive)
        files = [path for path in Path(archive.where).rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        report.context("files", len(files), "")
        report.context("size", size / EVENTS, "bytes/event")
        identity = topic_id(settings.librdkafka(), TOPICS.ratings)
        ends = [archive.span(identity, partition).end for partition in range(PARTITIONS)]
        started = time.perf_counter()
        rows = len(archive.table(identity, ends))
        report.context("a snapshot of all of it", time.perf_counter() - started, "s")
        assert rows == EVENTS
        _publish_wishes(settings, users[:FORGOTTEN])
        wall, _ = _catch_up(settings)
        report.context(f"erasing {FORGOTTEN} people from all of it", wall, "s")
        assert not any(map(archive.contains, users[:3]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB
        report.context("peak memory of the process, publisher and snapshot included", peak, "MiB")
    report.notes.append(
        f"{EVENTS:,} JSON ratings of {USERS:,} people in {PARTITIONS} partitions; broker and Redis "
        "on the other cores. The log is all there when the archiver begins, so that it writes "
        f"whenever {settings.archive_flush_rows:,} rows wait, and rewrites a partition's last file "
        "until that is full."
    )
    return report


def _publish_ratings(settings: Settings) -> list[int]:
    """Returns whose they are."""
    config = settings.librdkafka()
    ensure_topics(config, TOPICS, PARTITIONS, 1)
    rng = np.random.default_rng(7)
    users = rng.integers(1, USERS + 1, EVENTS).tolist()
    movies = (rng.zipf(1.2, EVENTS) % MOVIES + 1).tolist()
    stars = (rng.integers(1, 11, EVENTS) / 2).tolist()
    now = int(time.time() * 1000)
    with BulkPublisher(config) as publisher:
        for user, movie, rating in zip(users, movies, stars, strict=True):
            event = RatingEvent(
                event_id=new_event_id(),
                user_id=user,
                movie_id=movie,
                rating=rating,
                event_time=now,
                produced_time=now,
                source="replay",
            )
            publisher.publish(TOPICS.ratings, b"%d" % user, encode(event))
    return list(dict.fromkeys(users))


def _publish_wishes(settings: Settings, users: list[int]) -> None:
    now = int(time.time() * 1000)
    with BulkPublisher(settings.librdkafka()) as publisher:
        for user in users:
            wish = ForgetEvent(
                event_id=new_event_id(), user_id=user, event_time=now, produced_time=now
            )
            publisher.publish(TOPICS.ratings, b"%d" % user, encode(wish))


def _catch_up(settings: Settings) -> tuple[float, float]:
    """Wall and processor seconds."""
    archiver = archiver_of(settings)
    started, processor = time.perf_counter(), time.process_time()
    archiver.catch_up()
    return time.perf_counter() - started, time.process_time() - processor


if __name__ == "__main__":
    main(run)
