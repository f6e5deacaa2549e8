"""Bytes of Redis memory a user takes, at MovieLens' 154 ratings a user with a 128-dim vector."""

import asyncio
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import redis

from benchmarks.report import Report, main
from infra import services
from infra.supervisor import Supervisor
from stream.coldstart import ItemVectors, records_of
from stream.contracts.events import RatingEvent
from stream.features import fold
from stream.redis_store import RedisStore
from stream.store import Batch

USERS: Final = 5_000
RATINGS: Final = 154  # a user's mean in MovieLens 25M
MOVIES: Final = 62_000
DIMENSIONS: Final = 128
BAR: Final = 2_048  # bytes


def run() -> Report:
    chance = np.random.default_rng(1)
    vectors = chance.standard_normal((MOVIES, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = ItemVectors("benchmark", np.arange(1, MOVIES + 1, dtype=np.uint32), vectors)
    events = [
        RatingEvent(
            event_id="benchmark",
            user_id=user,
            movie_id=int(movie) + 1,
            rating=float(half_stars) / 2,
            event_time=1_600_000_000_000 + 60_000 * i,
            produced_time=1_600_000_000_000,
            source="replay",
        )
        for user in range(1, USERS + 1)
        for i, (movie, half_stars) in enumerate(
            zip(
                chance.choice(MOVIES, RATINGS, replace=False),
                chance.integers(1, 11, RATINGS),
                strict=True,
            )
        )
    ]
    users = records_of(fold({}, {}, enumerate(events)).users, items)
    with tempfile.TemporaryDirectory() as logs, Supervisor(Path(logs), say=print) as supervisor:
        server = services.valkey(services.free_port(), data=None)
        supervisor.start(server, timeout=30)
        with redis.Redis.from_url(server.address) as client:
            before = client.info("memory")["used_memory"]
            asyncio.run(_write(server.address, Batch(users)))
            after = client.info("memory")["used_memory"]
    report = Report("Memory", "python -m benchmarks.memory")
    report.at_most("Redis memory a user, 154 ratings", (after - before) / USERS, "bytes", BAR)
    report.context("users", USERS, "")
    return report


async def _write(url: str, batch: Batch) -> None:
    store = RedisStore(url)
    await store.write(0, 1, batch)
    await store.close()


if __name__ == "__main__":
    main(run)
