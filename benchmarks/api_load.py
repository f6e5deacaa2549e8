"""GET /recommendations under an open-loop load, with everything else that flows on one machine."""

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from api.schemas.predictions import MAX_PAIRS
from benchmarks.load import Answered, Request, load
from benchmarks.population import (
    FEW,
    PARTITIONS,
    START_TIMEOUT,
    fill,
    promotion,
    start_api,
    start_worker,
    under_another_name,
    untrained,
    users_of,
)
from benchmarks.report import DOCUMENT, Report, main
from benchmarks.spent import Spent, memory_of, spent
from benchmarks.traffic import ratings_flowing
from infra import services
from infra.apache import apache
from infra.supervisor import Supervisor
from producers.admin import ensure_topics, topic_id
from producers.planted import Parameters
from producers.synthetic import generate_tables
from stream.contracts.topics import Topics
from stream.redis_store import RedisStore
from training.artifact import Artifact
from training.dataset import Movie, Ratings
from training.plots import COLOURS, GREY, drawn

USERS: Final = 10_000
DATA: Final = Parameters(users=USERS, movies=62_000, ratings=USERS * 154)
RATINGS: Final = 1_000  # a second, that flow meanwhile
LIMIT: Final = 10
SETTLE: Final = 5  # s in which the first ratings go through everything
WARM_SECONDS: Final = 5  # connections and caches are warm after that
IDLE_SECONDS: Final = 8  # of nobody asking anything
FLOOR_SECONDS: Final = 10  # of requests that do nothing
SECONDS: Final = 30
SWITCH_SECONDS: Final = 8  # loading, trying and swapping a model fits in
RATES: Final = (100, 200, 300)  # requests a second
BARS: Final = {100: (8.0, 30.0), 300: (6.0, 25.0)}  # ms, p50 and p99, by requests a second
MEMORY_BAR: Final = 500.0  # MB
BATCHES: Final = 30  # of predictions, each for other people and movies
BATCHES_RATE: Final = 2  # a second
BATCH_BAR: Final = 50.0  # ms
_API: Final = "api"  # its process

PICTURE: Final = DOCUMENT.parent / "benchmarks" / "api_load.svg"

_PERCENTS: Final = 1 - np.logspace(0, -4, 200)


class Measured(NamedTuple):
    """A load, and what it cost the API process."""

    answered: list[Answered]
    before: Spent
    after: Spent

    @property
    def milliseconds(self) -> list[float]:
        return [it.milliseconds for it in self.answered]

    def cpu(self, name: str) -> float:
        """Processor seconds of a process in a second of it."""
        spent = self.after.cpu[name] - self.before.cpu[name]
        return spent / (self.after.seconds - self.before.seconds)

    def each(self, idle: "Measured") -> float:
        """Processor ms of the API for one request, without what it spends anyway."""
        more = self.cpu(_API) - idle.cpu(_API)
        seconds = self.after.seconds - self.before.seconds
        return more * seconds * 1e3 / len(self.answered)

    def stages(self) -> dict[str, float]:
        """ms of each stage, the mean over all requests."""
        before, none = self.before.stages, (0.0, 0.0)
        spent = {
            name: (total - before.get(name, none)[0]) * 1e3 / len(self.answered)
            for name, (total, _) in self.after.stages.items()
        }
        return {name: ms for name, ms in spent.items() if ms > 0}


def run() -> Report:
    ratings = Ratings.from_tables(*generate_tables(DATA))
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        home = Path(scratch)
        artifact = untrained(home, ratings)
        supervisor = stack.enter_context(Supervisor(home / "logs", say=print))
        redis = services.valkey(services.free_port(), data=None)
        # What is embedded would take a core of its own by the end, the longer its log the more.
        broker = apache(services.free_port(), home / "kafka", print)
        supervisor.start(redis, broker, timeout=START_TIMEOUT)
        asyncio.run(_prepare(redis.address, broker.address, ratings, artifact))
        start_worker(supervisor, redis.address, broker.address, home)
        url = start_api(supervisor, redis.address, broker.address)
        movies = np.array([movie.movie_id for movie in ratings.movies])[ratings.rows]
        users, since = np.arange(1, USERS + 1), int(ratings.times.max())
        stack.enter_context(ratings_flowing(broker.address, users, movies, RATINGS, since))
        time.sleep(SETTLE)
        pids = {name: supervisor.child(name).pid for name in (_API, "worker", "broker", "redis")}
        other = under_another_name(artifact, "other")
        return _report(*_measure(url, redis.address, pids, other, ratings.movies))


async def _prepare(redis: str, broker: str, ratings: Ratings, artifact: Artifact) -> None:
    kafka, topics = {"bootstrap.servers": broker}, Topics()
    ensure_topics(kafka, topics, PARTITIONS, 1)
    store = RedisStore(redis)
    await fill(store, ratings, users_of(ratings), artifact, topic_id(kafka, topics.ratings))
    await store.put_model(promotion(artifact, "first"))
    await store.close()


def _measure(
    url: str, redis: str, pids: Mapping[str, int], other: Artifact, movies: Sequence[Movie]
) -> tuple[dict[str, Measured], dict[str, float]]:
    """Loads by name, and MB of memory."""
    lists = [
        Request(f"/api/v1/recommendations/{user}?limit={LIMIT}&use_cache=false")
        for user in range(1, USERS + 1)
    ]

    def measured(requests: Sequence[Request], rate: int, seconds: int, seed: int) -> Measured:
        before = spent(url, pids)
        answered = load(url, requests, rate, seconds, check_list if seed else _fine, seed)
        return Measured(answered, before, spent(url, pids))

    load(url, lists, 100, WARM_SECONDS, check_list)
    before = spent(url, pids)
    time.sleep(IDLE_SECONDS)
    found = {"idle": Measured([], before, spent(url, pids))}
    for seed, rate in enumerate(RATES, start=1):
        found[f"{rate}"] = measured(lists, rate, SECONDS, seed)
    found["floor"] = measured([Request("/livez")], max(BARS), FLOOR_SECONDS, 0)
    chance, ids = np.random.default_rng(4), [movie.movie_id for movie in movies]
    found["batches"] = measured(
        [_batch(chance, ids) for _ in range(BATCHES)], BATCHES_RATE, BATCHES // BATCHES_RATE, 0
    )
    memory = memory_of(pids[_API])
    asyncio.run(_promote(redis, other))
    found["switching"] = measured(lists, min(BARS), SWITCH_SECONDS, len(RATES) + 1)
    return found, memory


def _batch(chance: np.random.Generator, movie_ids: Sequence[int]) -> Request:
    """As many predictions as a request may ask for."""
    pairs = zip(
        chance.integers(1, USERS + 1, MAX_PAIRS).tolist(),
        chance.choice(movie_ids, MAX_PAIRS).tolist(),
        strict=True,
    )
    body = {"pairs": [{"user_id": user, "movie_id": movie} for user, movie in pairs]}
    return Request("/api/v1/predict/batch", msgspec.json.encode(body))


async def _promote(redis: str, other: Artifact) -> None:
    store = RedisStore(redis)
    await store.put_model(promotion(other, "second"))
    await store.close()


def check_list(body: bytes) -> str:
    """What is wrong with an answer of recommendations."""
    answer = msgspec.json.decode(body)
    whole = len(answer["items"]) == LIMIT and not answer["degraded"] and not answer["cached"]
    return "" if whole else f"not a whole answer: {body[:500]!r}"


def _fine(_: bytes) -> str:
    return ""


def _report(found: Mapping[str, Measured], memory: Mapping[str, float]) -> Report:
    report = Report("GET /recommendations under load", "python -m benchmarks.api_load")
    idle, floor = found["idle"], found["floor"]
    for rate in RATES:
        one = found[f"{rate}"]
        what = f"GET at {rate} requests/s"
        if rate in BARS:
            for percent, bar in zip((50, 99), BARS[rate], strict=True):
                report.at_most(f"{what}, p{percent}", _p(one, percent), "ms", bar)
        else:
            for percent in (50, 99):
                report.context(f"{what}, p{percent}", _p(one, percent), "ms")
        wrong = [it.wrong for it in one.answered if it.wrong]
        print(*wrong[:3], sep="\n")
        report.at_most(f"... failed or degraded, of {len(one.answered):,}", len(wrong), "", 0)
        late = np.percentile([it.late for it in one.answered], 99)
        report.context("... sent late by the client, p99", float(late), "ms")
        report.context("... processor time a request", one.each(idle), "ms")
        for stage, ms in one.stages().items():
            report.context(f"... of it {stage}, mean", ms, "ms")
        for name in one.after.cpu:
            report.context(f"... processor time of {name}", one.cpu(name) * 1e3, "ms/s")
    report.context("the floor: GET /livez at 300 requests/s, p50", _p(floor, 50), "ms")
    report.context("... p99", _p(floor, 99), "ms")
    report.context("... processor time a request", floor.each(idle), "ms")
    batches, what = found["batches"], f"POST /predict/batch of {MAX_PAIRS:,}"
    if wrong := [it.wrong for it in batches.answered if it.wrong]:
        raise RuntimeError(f"{what}: {wrong[0]}")
    report.at_most(f"{what} at {BATCHES_RATE}/s, p50", _p(batches, 50), "ms", BATCH_BAR)
    report.context("... slowest", _p(batches, 100), "ms")
    report.context("processor time of an API that nobody asks", idle.cpu(_API) * 1e3, "ms/s")
    report.at_most("memory of the API process", memory["VmRSS"], "MB", MEMORY_BAR)
    report.context("... but for files that are mapped", memory["RssAnon"], "MB")
    report.context(
        "while a model is promoted, at 100 requests/s, p50", _p(found["switching"], 50), "ms"
    )
    report.context("... slowest", _p(found["switching"], 100), "ms")
    _draw(found, PICTURE)
    report.notes += [
        f"![Latencies by percentile, and the time of each stage]({PICTURE.parent.name}/"
        f"{PICTURE.name})",
        f"API, worker, Valkey, Apache Kafka and client share the machine. {DATA.movies:,} movies, "
        f"{USERS:,} people of whom any may rate or ask next, {RATINGS:,} ratings/s through their "
        "topic into the state. Requests come at the times of a Poisson process from a process of "
        "their own, and latencies count from when a request was due. Nothing is answered from the "
        f"cache. One user in ten is unknown, two have {FEW} ratings at first, the others 154 on "
        "average, as in MovieLens. The towers are untrained: as fast as others, and harder on the "
        "index, for their vectors crowd into a cone. Links are random.",
    ]
    return report


def _p(measured: Measured, percent: float) -> float:
    return float(np.percentile(measured.milliseconds, percent))


def _draw(found: Mapping[str, Measured], path: Path) -> None:
    """Latencies up to the slowest in ten thousand, and where the time goes."""
    with drawn(path, (8.4, 3.4)) as figure:
        axes, bars = figure.subplots(1, 2, width_ratios=(3, 2))
        lines = {"floor": "/livez, 300/s"} | {f"{rate}": f"{rate} requests/s" for rate in RATES}
        for (name, label), colour in zip(lines.items(), (GREY, *COLOURS), strict=False):
            values = np.percentile(found[name].milliseconds, _PERCENTS * 100)
            axes.plot(1 / (1 - _PERCENTS), values, color=colour, label=label)
        axes.set(xscale="log", yscale="log")
        ticks = {2: "p50", 10: "p90", 100: "p99", 1_000: "p99.9", 10_000: "p99.99"}
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.set(title="GET /recommendations: latency by percentile", ylabel="ms")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)  # below the lines
        one = found[f"{min(RATES)}"]  # where more come than are answered, it is all waiting
        stages = one.stages()
        stages["everything else"] = float(np.mean(one.milliseconds)) - sum(stages.values())
        bars.bar(list(stages), list(stages.values()), color=COLOURS[0])
        bars.tick_params(axis="x", rotation=30)
        bars.set(title=f"mean time of each stage, {min(RATES)}/s", ylabel="ms")


if __name__ == "__main__":
    main(run)
