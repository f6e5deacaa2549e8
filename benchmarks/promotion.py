"""Five promotions and a rollback under a steady load: nothing fails, nothing mixes two versions."""

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import httpx
import numpy as np

from benchmarks.load import Answered, Request, load
from benchmarks.population import (
    START_TIMEOUT,
    fill,
    promotion,
    start_api,
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

# As MovieLens latest-small, for which the index is exact: every answer has one right value.
DATA: Final = Parameters(users=610, movies=9_742, ratings=610 * 154)
RATE: Final = 200  # requests a second
WARM_SECONDS: Final = 3
QUIET_SECONDS: Final = 40
PAUSE: Final = 8.0  # s between two promotions, which takes all of a switch in
LEAD: Final = 2.0  # s for the client to begin, before the first promotion
LIMIT: Final = 10
ORDER: Final = "BCABC"  # the promotions after A. Each is of what no process has at hand
P99_BAR: Final = 2.0  # times that of the quiet
SWITCH_BAR: Final = 2.0  # s
MEMORY_BAR: Final = 2.0  # times that of one model
LOOK: Final = 0.02  # s between two looks at the memory
_OWN: Final = ("freshness", "impression_id", "next_cursor")  # of each answer alone
SETTLE: Final = 3.0  # s after which a process that has nothing to do has let go of what it needed

# A version's answer to each user, as it came: without what tells the time.
Answers: TypeAlias = Mapping[int, Any]


class Memory(NamedTuple):
    """Bytes of the API: without a model, with one, and the most while models are switched."""

    without: int
    one: int
    most: int

    @property
    def models(self) -> float:
        """How many models the most is."""
        return (self.most - self.without) / (self.one - self.without)


class Measured(NamedTuple):
    quiet: list[Answered]
    switching: list[Answered]
    seconds: list[float]
    rollback: float
    memory: Memory


def run() -> Report:
    ratings = Ratings.from_tables(*generate_tables(DATA))
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        models = {name: untrained(home, ratings, seed) for seed, name in enumerate("ABC")}
        with Supervisor(home / "logs", say=print) as supervisor:
            redis = services.valkey(services.free_port(), data=None)
            broker = services.tansu(services.free_port())
            supervisor.start(redis, broker, timeout=START_TIMEOUT)

            alone, loaded = (f"{redis.address}/{database}" for database in range(2))
            for url in (alone, loaded):
                asyncio.run(_prepare(url, ratings, models["A"]))
            right = {
                model.items.version: _alone(home, alone, broker.address, model)
                for model in models.values()
            }
            measured = _under_load(home, loaded, broker.address, models, right)
    return _report(measured)


async def _prepare(redis: str, ratings: Ratings, model: Artifact) -> None:
    async with _store(redis) as store:
        await fill(store, ratings, users_of(ratings), model)


def _alone(home: Path, redis: str, broker: str, model: Artifact) -> Answers:
    """What a process that never had another model answers everyone."""
    asyncio.run(_promote(redis, model, "alone"))
    with Supervisor(home / model.items.version, say=print) as supervisor:
        url = start_api(supervisor, redis, broker)
        with httpx.Client(base_url=url, timeout=30) as client:
            return {
                user: _essence(client.get(_path(user)).raise_for_status().json())
                for user in range(1, DATA.users + 1)
            }


def _under_load(
    home: Path,
    redis: str,
    broker: str,
    models: Mapping[str, Artifact],
    right: Mapping[str, Answers],
) -> Measured:
    with Supervisor(home / "measured", say=print) as supervisor:
        url = start_api(supervisor, redis, broker, ready="/livez")
        api = supervisor.child("api").pid
        return asyncio.run(_measure(url, redis, api, models, right))


async def _measure(
    url: str,
    redis: str,
    api: int,
    models: Mapping[str, Artifact],
    right: Mapping[str, Answers],
) -> Measured:
    await asyncio.sleep(SETTLE)
    without = _resident(api)
    await _promote(redis, models["A"], "first")
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        await _serving(client, models["A"])
        await _load(url, right, WARM_SECONDS)
        quiet = await _load(url, right, QUIET_SECONDS)
        one = _resident(api)
        seconds: list[float] = []
        most = one
        done = asyncio.Event()

        async def switch() -> None:
            await asyncio.sleep(LEAD)
            before = models["A"]
            for number, name in enumerate(ORDER):
                previous, before = before, models[name]
                await _promote(redis, before, f"promotion {number}")
                await asyncio.sleep(PAUSE)
                await _serving(client, before)
                seconds.append(await _switch_seconds(client))
            await _promote(redis, previous, "rollback")
            await asyncio.sleep(PAUSE)
            await _serving(client, previous)
            seconds.append(await _switch_seconds(client))
            done.set()

        async def watch_memory() -> None:
            nonlocal most
            while not done.is_set():
                most = max(most, _resident(api))
                await asyncio.sleep(LOOK)

        switching, *_ = await asyncio.gather(
            _load(url, right, PAUSE * (len(ORDER) + 1)), switch(), watch_memory()
        )
    *promotions, rollback = seconds
    return Measured(quiet, switching, promotions, rollback, Memory(without, one, most))


async def _load(url: str, right: Mapping[str, Answers], seconds: float) -> list[Answered]:
    requests = [Request(_path(user)) for user in range(1, DATA.users + 1)]
    return await asyncio.to_thread(load, url, requests, RATE, seconds, partial(_mixed, right))


def _mixed(right: Mapping[str, Answers], answer: bytes) -> str:
    """What is wrong with an answer that is not its own version's."""
    body = json.loads(answer)
    own = right[body["model_version"]][body["user_id"]]
    return "" if _essence(body) == own else answer.decode()[:500]


def _path(user: int) -> str:
    return f"/api/v1/recommendations/{user}?limit={LIMIT}&use_cache=false"


def _essence(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """All of an answer but what is of this one alone: its id, its cursor, how old the state is."""
    return {name: of for name, of in body.items() if name not in _OWN}


@asynccontextmanager
async def _store(redis: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis)
    try:
        yield store
    finally:
        await store.close()


async def _promote(redis: str, model: Artifact, event_id: str) -> None:
    async with _store(redis) as store:
        await store.put_model(promotion(model, event_id))


async def _serving(client: httpx.AsyncClient, model: Artifact) -> None:
    """Return once it is what answers."""
    async with asyncio.timeout(START_TIMEOUT):
        while True:
            body = (await client.get("/readyz")).json()
            if body["checks"]["model"]["detail"] == model.items.version:
                return
            await asyncio.sleep(0.1)


async def _switch_seconds(client: httpx.AsyncClient) -> float:
    """What the last switch took, as the API says."""
    exposition = (await client.get("/metrics")).text
    found = re.search(r"^freshet_api_model_switch_seconds (\S+)$", exposition, re.MULTILINE)
    assert found is not None
    return float(found[1])


def _resident(pid: int) -> int:
    """Bytes of memory of a process that are its own, or mapped by it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def _report(measured: Measured) -> Report:
    report = Report(
        f"Five promotions and a rollback at {RATE} requests a second",
        "python -m benchmarks.promotion",
    )
    quiet, switching = measured.quiet, measured.switching
    every = [*quiet, *switching]
    wrong = [answered for answered in every if answered.wrong]
    for answered in wrong[:5]:
        print(answered)
    failed = sum(answered.status != 200 for answered in wrong)
    report.at_most(f"failed requests of {len(every):,}", failed, "", 0)
    report.at_most("answers that are not their version's own", len(wrong) - failed, "", 0)
    for name, some in (("quiet", quiet), ("with the promotions", switching)):
        for percent in (50, 99):
            report.context(f"GET {name}, p{percent}", _percentile(some, percent), "ms")
    report.context("GET with the promotions, slowest", _percentile(switching, 100), "ms")
    ratio = _percentile(switching, 99) / _percentile(quiet, 99)
    report.at_most("p99 with the promotions beside the quiet one", ratio, "times", P99_BAR)
    report.at_most("longest switch of a promotion", max(measured.seconds), "s", SWITCH_BAR)
    report.context("switch of the rollback", measured.rollback, "s")
    memory = measured.memory
    report.context("memory of one model", (memory.one - memory.without) / 2**20, "MiB")
    report.at_most("most memory while models are switched", memory.models, "models", MEMORY_BAR)
    report.notes.append(
        f"Requests come as a Poisson process whether or not earlier ones are answered, by "
        f"{DATA.users} people of {DATA.movies:,} movies; a promotion every {PAUSE:g} s, of three "
        "versions in turn, so that each is loaded; the rollback is to the one before. Every answer "
        "is compared with that of a process that never had another model. A switch is from "
        "noticing the promotion to serving it. The client is another process of the same machine."
    )
    return report


def _percentile(asked: Sequence[Answered], percent: float) -> float:
    return float(np.percentile([it.milliseconds for it in asked], percent))


if __name__ == "__main__":
    main(run)
