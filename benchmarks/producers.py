"""The replay at full speed, a single acknowledged message, and reading a ratings file."""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from benchmarks.report import Report, main
from infra import services
from infra.supervisor import Supervisor
from producers import formats
from producers.admin import ensure_topics
from producers.planted import Parameters
from producers.publisher import Message, Publisher
from producers.replay import replay
from producers.synthetic import generate_tables
from producers.validation import read_ratings
from stream.contracts.topics import Topics

RATINGS: Final = 2_000_000
PARTITIONS: Final = 8
SENDS: Final = 1_000
REPLAY_BAR: Final = 100_000  # events/s


def run() -> Report:
    ratings, movies = generate_tables(Parameters(users=13_000, movies=10_000, ratings=RATINGS))
    report = Report("Producers", "python -m benchmarks.producers")
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        with Supervisor(directory, say=print) as supervisor:
            broker = services.tansu(services.free_port())
            supervisor.start(broker, timeout=30)
            config, topics = {"bootstrap.servers": broker.address}, Topics()
            ensure_topics(config, topics, PARTITIONS, 1)
            _replay(report, ratings, config, topics)
            _send(report, config, topics)
        _read(report, ratings, movies, directory / "ratings.csv")
    report.notes.append(
        f"The replay's {RATINGS:,} synthetic ratings go to {PARTITIONS} partitions of Tansu as "
        "JSON, idempotently, every one acknowledged, from one process; what it takes to look for "
        "an earlier start and to connect is included."
    )
    return report


def _replay(report: Report, ratings: pa.Table, config: dict[str, str], topics: Topics) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    published = replay(ratings, config, topics)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert published == RATINGS
    report.at_least("replay, `--speed max`", published / seconds, "events/s", REPLAY_BAR)
    report.context("processor time of the replay", 1e6 * cpu / published, "µs an event")


def _send(report: Report, config: dict[str, str], topics: Topics) -> None:
    async def times() -> list[float]:
        publisher = Publisher(config)
        message = Message(topics.ratings, b"1", bytes(200))
        await publisher.send([message])  # connects
        found = []
        for _ in range(SENDS):
            start = time.perf_counter()
            await publisher.send([message])
            found.append(1e3 * (time.perf_counter() - start))
        publisher.close()
        return found

    percentiles = statistics.quantiles(asyncio.run(times()), n=100)
    report.context("one message until it is acknowledged, p50", percentiles[49], "ms")
    report.context("... p99", percentiles[98], "ms")


def _read(report: Report, ratings: pa.Table, movies: pa.Table, path: Path) -> None:
    in_seconds = pl.DataFrame(ratings).with_columns(pl.col("timestamp") // 1000)
    in_seconds.sort("user_id", "movie_id").write_csv(path)
    start = time.perf_counter()
    frame, _ = read_ratings(
        path, formats.CSV, pl.Series(movies["movie_id"]), time.time_ns() // 1_000_000
    )
    assert len(frame) == RATINGS
    seconds = time.perf_counter() - start
    report.context("reading and checking a ratings CSV", RATINGS / seconds, "lines/s")


if __name__ == "__main__":
    main(run)
