"""Predictions of ratings from live state: a thousand pairs, one pair, and what moves it."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from types import SimpleNamespace
from typing import Final, NamedTuple, cast

import numpy as np
from pydantic import BaseModel

from api.deps import json_bytes
from api.predict.answers import predict_batch, predict_rating
from api.predict.sensitivity import predict_sensitivity
from api.schemas.predictions import BatchQuestion, Pair, RatingQuestion
from api.serving.live import LiveMovies
from api.serving.models import ServedModel
from api.serving.watcher import Serving
from benchmarks.report import Report, main
from infra import services
from infra.commands.serve import SWITCH_INTERVAL
from infra.supervisor import Supervisor
from stream.coldstart import ItemVectors
from stream.collector import tune_collector
from stream.contracts.keys import Position
from stream.contracts.topics import partition_of
from stream.features import UserState
from stream.records import UserRecord
from stream.redis_store import RedisStore
from stream.store import Batch
from training.baselines.linear_features import group_shares
from training.dataset import Movie
from training.rating_features import FEATURES, Known
from training.rating_model import GROUPS, QUANTILES, RatingModel

MOVIES: Final = 62_000  # as many as MovieLens 25M has
NEIGHBOURS: Final = 4_000
GENRES: Final = tuple(f"Genre {number}" for number in range(20))
PARTITIONS: Final = 8
PEOPLE: Final = 1_000
MEAN, SPREAD = 154, 1.2  # ratings of a person, MovieLens' mean and the deviation of their logarithm
HEAVY: Final = 2_000  # ratings of person 1
PAIRS: Final = 1_000
TIMES: Final = 30
BAR: Final = 50.0  # ms


class World(NamedTuple):
    store: RedisStore
    serving: Serving


def run() -> Report:
    tune_collector()
    sys.setswitchinterval(SWITCH_INTERVAL)
    report = Report("Predictions of ratings", "python -m benchmarks.predict")
    with tempfile.TemporaryDirectory() as home, Supervisor(Path(home), say=print) as supervisor:
        redis = services.valkey(services.free_port(), data=None)
        supervisor.start(redis, timeout=30)
        asyncio.run(_measure(f"{redis.address}/0", report))
    report.notes.append(
        f"{MOVIES:,} movies, {NEIGHBOURS:,} of which have neighbours; people have {MEAN} ratings "
        f"on average, and one has {HEAVY:,}. From the JSON of the question to that of the answer, "
        "with one round trip to Redis in between, in one process; median of wall time, and of the "
        "CPU time of the process."
    )
    return report


async def _measure(url: str, report: Report) -> None:
    chance = np.random.default_rng(5)
    world = World(RedisStore(url), _serving(chance))
    await _fill(world.store, chance)

    def movie() -> int:
        return int(chance.integers(1, MOVIES + 1))

    batches: dict[str, Sequence[int]] = {
        f"{PAIRS:,} pairs of as many people": range(1, PAIRS + 1),
        f"{PAIRS:,} pairs of 100 people": [1 + pair % 100 for pair in range(PAIRS)],
        f"{PAIRS:,} pairs of one person": [7] * PAIRS,
        f"{PAIRS:,} pairs of one person of {HEAVY:,} ratings": [1] * PAIRS,
    }
    for what, users in batches.items():
        pairs = [Pair(user_id=user, movie_id=movie()) for user in users]
        asked = json_bytes(BatchQuestion(pairs=pairs))
        await _time(report, what, world, asked, BatchQuestion, predict_batch, BAR)
    one = json_bytes(RatingQuestion(user_id=7, movie_id=movie()))
    await _time(report, "one pair", world, one, RatingQuestion, predict_rating)
    await _time(report, "sensitivity of one pair", world, one, RatingQuestion, predict_sensitivity)
    await world.store.close()


async def _time(
    report: Report,
    what: str,
    world: World,
    body: bytes,
    question: type[BaseModel],
    answer: Callable[..., Awaitable[BaseModel | bytes]],
    bar: float | None = None,
) -> None:
    walls, cpus = [], []
    for _ in range(TIMES):
        wall, cpu = perf_counter(), process_time()
        # As FastAPI reads a body, and the routes write their answers.
        asked = question.model_validate(json.loads(body))
        found = await answer(world.store, world.serving, asked)
        if isinstance(found, BaseModel):
            json_bytes(found)
        walls.append(1_000 * (perf_counter() - wall))
        cpus.append(1_000 * (process_time() - cpu))
    if bar is None:
        report.context(what, median(walls), "ms")
    else:
        report.at_most(what, median(walls), "ms", bar)
    report.context(f"{what}, CPU", median(cpus), "ms")


def _serving(chance: np.random.Generator) -> Serving:
    ids = np.arange(1, MOVIES + 1, dtype=np.uint32)
    counts = (1e5 / np.arange(1, MOVIES + 1)).astype(np.int64)
    sums = np.stack([counts, 7 * counts, 53 * counts])
    items = ItemVectors("benchmark", ids, np.zeros((MOVIES, 1), np.float32))
    model = SimpleNamespace(
        event=SimpleNamespace(version="benchmark"),
        repertoire=SimpleNamespace(items=items, learnt=MOVIES),
        artifact=SimpleNamespace(predictor=_predictor(chance)),
        popular={},
    )
    live = LiveMovies(ids=ids, rated=counts > 0, sums=sums)
    return Serving(model=cast(ServedModel, model), live=live, partitions=PARTITIONS)


def _predictor(chance: np.random.Generator) -> RatingModel:
    """As large and as fast as one that learnt something."""
    movies = [
        Movie(at, "", (GENRES[at % 20], GENRES[at // 20 % 20]), 1930 + at % 90)
        for at in range(MOVIES)
    ]
    decades = np.arange(193, 202)
    shares = np.vstack([group_shares(movies, GENRES, decades), np.zeros(29, np.float32)])
    flags = shares[:, : len(GENRES)] > 0
    places = np.full(MOVIES + 1, -1)
    places[:NEIGHBOURS] = np.arange(NEIGHBOURS)
    alike, lifts = chance.normal(0, 0.05, (2, NEIGHBOURS, NEIGHBOURS)).astype(np.float16)
    known = Known(
        prior=np.array([3.5, 1.0, 5.0]),
        genres=np.array(GENRES),
        decades=decades,
        content=np.column_stack([np.full(MOVIES + 1, 1990), flags, shares]).astype(np.float32),
        groups=np.ceil(shares),
        places=places,
        spreads=np.append(np.ones(NEIGHBOURS, np.float32), np.float32(0)),
        alike=alike,
        lifts=lifts,
        mean=np.full(1, 3.5, np.float32),
        biases=np.zeros(MOVIES + 1, np.float32),
        factors=chance.normal(0, 0.1, (MOVIES + 1, 17)).astype(np.float32),
        penalties=np.array([1.5, 0.5], np.float32),
    )
    features = len(FEATURES) + len(GENRES)
    terms = known.expand(np.zeros((1, features), np.float32)).shape[1]
    sizes = np.sort(np.abs(chance.normal(size=20_000))).astype(np.float32)
    return RatingModel(
        known,
        weights=chance.normal(0, 0.01, 1 + terms).astype(np.float32),
        doubts=np.append(0.5, np.zeros(12)).astype(np.float32),
        least=np.full(1, 0.1, np.float32),
        sizes={
            f"{way}/{group}": sizes for way in ("then", "later") for group in range(len(GROUPS))
        },
        bounds=np.array([[-1e6], [1e6]], np.float32).repeat(features, axis=1),
        population=chance.normal(size=(len(QUANTILES), features)).astype(np.float32),
    )


async def _fill(store: RedisStore, chance: np.random.Generator) -> None:
    lengths = chance.lognormal(np.log(MEAN) - SPREAD**2 / 2, SPREAD, PEOPLE + 1).astype(int) + 1
    lengths[1] = HEAVY
    lengths[7] = MEAN
    for partition in range(PARTITIONS):
        users = {
            user: UserRecord(_person(int(lengths[user]), chance))
            for user in range(1, PEOPLE + 1)
            if partition_of(user, PARTITIONS) == partition
        }
        generation = await store.new_generation(partition)
        position = Position(generation, "benchmark", 1)
        await store.commit(partition, None, position, Batch(users, {}))


def _person(ratings: int, chance: np.random.Generator) -> UserState:
    """Who rated popular movies more often."""
    drawn = (MOVIES ** chance.random(4 * ratings)).astype("<u4")
    movies = chance.permutation(np.unique(drawn))[:ratings]
    return UserState(
        movies.tobytes(),
        (1_600_000_000 + np.arange(len(movies)) * 600).astype("<u4").tobytes(),
        chance.integers(1, 11, len(movies)).astype("u1").tobytes(),
        events=len(movies),
        last_offset=0,
    )


if __name__ == "__main__":
    main(run)
