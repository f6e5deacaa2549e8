"""GET /recommendations under a steady load, against 62,000 movies and real servers."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import numpy as np

from benchmarks.population import (
    FEW,
    START_TIMEOUT,
    ask_steadily,
    fill,
    promotion,
    start_api,
    under_another_name,
    untrained,
    users_of,
)
from benchmarks.report import Report, main
from infra import services
from infra.supervisor import Supervisor
from producers.planted import Parameters
from producers.synthetic import generate_tables
from stream.redis_store import RedisStore
from training.artifact import Artifact
from training.dataset import Ratings

DATA: Final = Parameters(users=3_000, movies=62_000, ratings=3_000 * 154)
RATE: Final = 100  # requests a second
WARM_SECONDS: Final = 3  # connections and caches are warm after that
SECONDS: Final = 30
SWITCH_SECONDS: Final = 8  # loading, trying and swapping a model fits in
LIMIT: Final = 10
P50_BAR: Final = 8.0  # ms
P99_BAR: Final = 30.0  # ms


class Timing(NamedTuple):
    user: int
    strategy: str
    milliseconds: float


class Measured(NamedTuple):
    """Timings of the steady state, of seconds in which another model is promoted, and of a request
    that does nothing, at the same rate."""

    steady: list[Timing]
    switching: list[Timing]
    nothing: list[Timing]


def run() -> Report:
    ratings = Ratings.from_tables(*generate_tables(DATA))
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        artifact = untrained(home, ratings)
        other = under_another_name(artifact, "other")
        with Supervisor(home / "logs", say=print) as supervisor:
            redis = services.valkey(services.free_port(), data=None)
            broker = services.tansu(services.free_port())
            supervisor.start(redis, broker, timeout=START_TIMEOUT)
            asyncio.run(_prepare(redis.address, ratings, artifact))
            url = start_api(supervisor, redis.address, broker.address)
            measured = asyncio.run(_measure(url, redis.address, other))
        return _report(measured)


async def _prepare(redis_url: str, ratings: Ratings, artifact: Artifact) -> None:
    store = RedisStore(redis_url)
    await fill(store, ratings, users_of(ratings), artifact)
    await store.put_model(promotion(artifact, "first"))
    await store.close()


async def _measure(url: str, redis_url: str, other: Artifact) -> Measured:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        await _steady(_ask, client, WARM_SECONDS)
        steady = await _steady(_ask, client, SECONDS)
        store = RedisStore(redis_url)
        await store.put_model(promotion(other, "second"))
        await store.close()
        switching = await _steady(_ask, client, SWITCH_SECONDS)
        return Measured(steady, switching, await _steady(_ask_nothing, client, SWITCH_SECONDS))


async def _steady(
    ask: Callable[[httpx.AsyncClient, int], Coroutine[None, None, Timing]],
    client: httpx.AsyncClient,
    seconds: int,
) -> list[Timing]:
    return await ask_steadily(lambda user: ask(client, user), DATA.users, RATE, seconds)


async def _ask_nothing(client: httpx.AsyncClient, user: int) -> Timing:
    begin = time.perf_counter()
    (await client.get("/livez")).raise_for_status()
    return Timing(user, "", (time.perf_counter() - begin) * 1e3)


async def _ask(client: httpx.AsyncClient, user: int) -> Timing:
    begin = time.perf_counter()
    answer = await client.get(f"/api/v1/recommendations/{user}", params={"limit": LIMIT})
    took = time.perf_counter() - begin
    body = answer.raise_for_status().json()
    if len(body["items"]) != LIMIT or body["degraded"]:
        raise RuntimeError(f"not a whole answer: {answer.text[:500]}")
    return Timing(user, body["strategy"], took * 1e3)


def _report(measured: Measured) -> Report:
    steady, switching, nothing = measured
    report = Report(
        f"GET /recommendations at {RATE} requests a second", "python -m benchmarks.api_get"
    )

    def percentile(timings: list[Timing], percent: float) -> float:
        return float(np.percentile([timing.milliseconds for timing in timings], percent))

    what = f"GET against {DATA.movies:,} movies"
    report.at_most(f"{what}, p50", percentile(steady, 50), "ms", P50_BAR)
    report.at_most(f"{what}, p99", percentile(steady, 99), "ms", P99_BAR)
    for strategy in sorted({timing.strategy for timing in steady}):
        own = [timing for timing in steady if timing.strategy == strategy]
        report.context(f"of these {len(own):,} by {strategy}, p50", percentile(own, 50), "ms")
    report.context("GET /livez at the same rate, p50", percentile(nothing, 50), "ms")
    report.context("GET /livez at the same rate, p99", percentile(nothing, 99), "ms")
    report.context("while a model is promoted, p50", percentile(switching, 50), "ms")
    report.context("while a model is promoted, slowest", percentile(switching, 100), "ms")
    report.notes.append(
        "Requests come at fixed times whether or not earlier ones are answered. One user in ten is "
        f"unknown, two have {FEW} ratings, the others 154 on average, as in MovieLens. The towers "
        "are untrained: as fast as others, and harder on the index, for their vectors crowd into a "
        "cone. Links are random. The client, on the same machine, takes about as much of it as the "
        "API."
    )
    return report


if __name__ == "__main__":
    main(run)
