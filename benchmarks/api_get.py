"""GET /recommendations under a steady load, against 62,000 movies and real servers."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import numpy as np

from benchmarks.ranking import untrained_ranking
from benchmarks.report import Report, main
from infra import services
from infra.local import FRESHET, LOOPBACK
from infra.supervisor import Service, Supervisor
from producers.planted import Parameters
from producers.synthetic import generate_tables
from stream.contracts.events import ModelEvent, MovieEvent
from stream.contracts.keys import Position
from stream.contracts.topics import partition_of
from stream.features import DAY, HEAT_HALF_LIFE, HEATS, MovieState, UserState
from stream.processor import records_of
from stream.redis_store import RedisStore
from stream.store import Batch
from training.artifact import Artifact
from training.config import Config
from training.dataset import Ratings
from training.export import write_artifact
from training.index import collection_name
from training.trainer import Trainer

DATA: Final = Parameters(users=3_000, movies=62_000, ratings=3_000 * 154)
PARTITIONS: Final = 8
CATALOGUE_CHUNK: Final = 1_000  # movies a command
RATE: Final = 100  # requests a second
WARM_SECONDS: Final = 3  # connections and caches are warm after that
SECONDS: Final = 30
SWITCH_SECONDS: Final = 8  # loading, trying and swapping a model fits in
LIMIT: Final = 10
P50_BAR: Final = 8.0  # ms
P99_BAR: Final = 30.0  # ms
START_TIMEOUT: Final = 120.0  # s: the API checks and copies 150 MB of model before it is ready

# Who asks: of ten users one is unknown and two have rated three movies; the others have MovieLens'
# mean of 154 ratings, and its spread.
UNKNOWN: Final = {0}
NEW: Final = {1, 2}
FEW: Final = 3


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
    users = _users(ratings)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        artifact = _untrained(home, ratings)
        with Supervisor(home / "logs", say=print) as supervisor:
            redis = services.valkey(services.free_port(), data=None)
            broker = services.tansu(services.free_port())
            supervisor.start(redis, broker, timeout=START_TIMEOUT)
            asyncio.run(_fill(redis.address, ratings, users, artifact))
            url = _start_api(supervisor, redis.address, broker.address)
            measured = asyncio.run(_measure(url, redis.address, artifact))
        return _report(measured)


def _users(ratings: Ratings) -> dict[int, UserState]:
    """Every known user's state; see UNKNOWN and NEW."""
    ids = np.array([movie.movie_id for movie in ratings.movies], "<u4")
    begins = np.flatnonzero(np.diff(ratings.users, prepend=-1))
    users = {}
    for begin, end in zip(begins, [*begins[1:], len(ratings)], strict=True):
        user = int(ratings.users[begin])
        if user % 10 in UNKNOWN:
            continue
        own = slice(begin, min(end, begin + FEW) if user % 10 in NEW else end)
        rows, first = np.unique(ratings.rows[own], return_index=True)
        times = ratings.times[own][first]
        users[user] = UserState(
            bytearray(ids[rows].tobytes()),
            bytearray((times // 1_000).astype("<u4").tobytes()),
            bytearray(ratings.half_stars[own][first].astype("u1").tobytes()),
            events=len(rows),
            last_offset=0,
            last_event_time=int(times.max()),
            last_produced_time=int(times.max()),
        )
    return users


def _untrained(home: Path, ratings: Ratings) -> Artifact:
    """Towers and a ranker as they are before training: as large and as fast as any."""
    config, events = Config(), np.arange(len(ratings))
    towers = Trainer(ratings, events, config).towers
    ranking = untrained_ranking(len(ratings.movies), np.random.default_rng(3))
    return Artifact.load(write_artifact(home, towers, ranking, ratings, events, config, {}))


async def _fill(
    redis_url: str, ratings: Ratings, users: Mapping[int, UserState], artifact: Artifact
) -> None:
    """The state of users and movies, the catalogue, and the promotion."""
    chance = np.random.default_rng(1)
    store = RedisStore(redis_url)
    await store.put_partitions(PARTITIONS)
    counts = np.bincount(ratings.rows, minlength=len(ratings.movies))
    now = int(ratings.times.max()) / DAY / HEAT_HALF_LIFE
    for partition in range(PARTITIONS):
        here = {u: state for u, state in users.items() if partition_of(u, PARTITIONS) == partition}
        heats = now + np.log2(chance.poisson(counts / PARTITIONS) + 1e-3)
        movies = {
            movie.movie_id: MovieState(1, 8, 64, (float(heat),) * len(HEATS), 8.0)
            for movie, heat in zip(ratings.movies, heats, strict=True)
        }
        generation = await store.new_generation(partition)
        position = Position(generation, "benchmark", len(here))
        batch = Batch(records_of(here, artifact.items), movies)
        await store.commit(partition, None, position, batch)
    catalogue = [
        MovieEvent(
            event_id=f"movie-{movie.movie_id}",
            movie_id=movie.movie_id,
            title=movie.title,
            genres=movie.genres,
            year=movie.year,
            event_time=int(ratings.times.max()),
            produced_time=int(ratings.times.max()),
            source="replay",
        )
        for movie in ratings.movies
    ]
    for start in range(0, len(catalogue), CATALOGUE_CHUNK):
        await store.put_movies(catalogue[start : start + CATALOGUE_CHUNK])
    await store.put_model(_promotion(artifact, "first"))
    await store.close()


def _promotion(artifact: Artifact, name: str) -> ModelEvent:
    now = int(time.time() * 1_000)
    return ModelEvent(
        event_id=name,
        version=artifact.items.version,
        artifact=str(artifact.directory),
        collection=collection_name(artifact.items.version),
        event_time=now,
        produced_time=now,
    )


def _start_api(supervisor: Supervisor, redis_url: str, broker: str) -> str:
    port = services.free_port()
    url = f"http://{LOOPBACK}:{port}"
    api = Service(
        name="api",
        command=[*FRESHET, "api"],
        address=url,
        ready=lambda: services.http_ready(f"{url}/readyz"),
        env={
            "FRESHET_REDIS_URL": redis_url,
            "FRESHET_KAFKA_BOOTSTRAP_SERVERS": broker,
            "FRESHET_API_PORT": str(port),
        },
    )
    supervisor.start(api, timeout=START_TIMEOUT)
    return url


async def _measure(url: str, redis_url: str, artifact: Artifact) -> Measured:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        await _steady(_ask, client, WARM_SECONDS)
        steady = await _steady(_ask, client, SECONDS)
        store = RedisStore(redis_url)
        await store.put_model(_promotion(artifact, "second"))
        await store.close()
        switching = await _steady(_ask, client, SWITCH_SECONDS)
        return Measured(steady, switching, await _steady(_ask_nothing, client, SWITCH_SECONDS))


async def _steady(
    ask: Callable[[httpx.AsyncClient, int], Coroutine[None, None, Timing]],
    client: httpx.AsyncClient,
    seconds: int,
) -> list[Timing]:
    """Requests at their times, whether or not earlier ones are answered yet."""
    chance = np.random.default_rng(2)
    begin = time.perf_counter()
    asked = []
    for number in range(RATE * seconds):
        await asyncio.sleep(begin + number / RATE - time.perf_counter())
        asked.append(asyncio.create_task(ask(client, int(chance.integers(1, DATA.users + 1)))))
    return await asyncio.gather(*asked)


async def _ask_nothing(client: httpx.AsyncClient, user: int) -> Timing:
    begin = time.perf_counter()
    (await client.get("/healthz")).raise_for_status()
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
    report.context("GET /healthz at the same rate, p50", percentile(nothing, 50), "ms")
    report.context("GET /healthz at the same rate, p99", percentile(nothing, 99), "ms")
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
