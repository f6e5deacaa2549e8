"""What a refresh on the same machine costs those who are served meanwhile."""

import asyncio
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.api_load import LIMIT, check_list
from benchmarks.load import Request, load
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
from infra.refresher import NICENESS, apart
from infra.supervisor import Supervisor
from producers.planted import Parameters
from producers.synthetic import generate_tables
from stream.redis_store import RedisStore
from training.artifact import Artifact
from training.config import Config
from training.dataset import Ratings

DATA: Final = Parameters(users=610, movies=9_742, ratings=610 * 154)  # as latest-small
RATE: Final = 100  # requests a second
WARM_SECONDS: Final = 3
SECONDS: Final = 30  # of each measurement
# s of training: longer than the measurement by what a process takes to load torch and the ratings.
TRAINING_SECONDS: Final = 90
P99_BAR: Final = 2.0  # times that of the quiet, as for promotions


def run() -> Report:
    ratings = Ratings.from_tables(*generate_tables(DATA))
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        artifact = untrained(home, ratings)
        with Supervisor(home / "logs", say=print) as supervisor:
            redis = services.valkey(services.free_port(), data=None)
            broker = services.tansu(services.free_port())
            supervisor.start(redis, broker, timeout=START_TIMEOUT)
            asyncio.run(_prepare(redis.address, ratings, artifact))
            url = start_api(supervisor, redis.address, broker.address)
            quiet = _measure(url)
            beside, steps = _beside_training(url, home / "begun")
    return _report(quiet, beside, steps)


def train(begun: Path) -> int:
    """What takes a refresh its time, for a while; how many steps that were.

    Args:
        begun: a file that appears with the first step.
    """
    import torch

    from training.options import RunOptions
    from training.trainer import Trainer

    torch.set_num_threads(1)
    ratings = Ratings.from_tables(*generate_tables(DATA))
    trainer = Trainer(ratings, np.arange(len(ratings)), Config(), RunOptions())
    begun.touch()
    until = time.monotonic() + TRAINING_SECONDS

    def stop_in_time(*_: int) -> None:
        if time.monotonic() > until:
            raise TimeoutError

    while True:
        try:
            trainer.epoch(stop_in_time)
        except TimeoutError:
            return trainer.step


async def _prepare(redis: str, ratings: Ratings, artifact: Artifact) -> None:
    store = RedisStore(redis)
    await fill(store, ratings, users_of(ratings), artifact)
    await store.put_model(promotion(artifact, "first"))
    await store.close()


def _beside_training(url: str, begun: Path) -> tuple[list[float], int]:
    with ThreadPoolExecutor(1) as pool:
        steps = pool.submit(apart, train, begun)
        while not begun.exists() and not steps.done():
            time.sleep(0.1)
        return _measure(url), steps.result()


def _measure(url: str) -> list[float]:
    """Milliseconds of each request."""
    lists = [
        Request(f"/api/v1/recommendations/{user}?limit={LIMIT}&use_cache=false")
        for user in range(1, DATA.users + 1)
    ]
    load(url, lists, RATE, WARM_SECONDS, check_list)
    answered = load(url, lists, RATE, SECONDS, check_list, seed=1)
    if wrong := [one.wrong for one in answered if one.wrong]:
        raise RuntimeError(f"{len(wrong)} requests failed: {wrong[0]}")
    return [one.milliseconds for one in answered]


def _report(quiet: list[float], beside: list[float], steps: int) -> Report:
    report = Report(f"A refresh beside {RATE} requests a second", "python -m benchmarks.beside")
    for name, some in (("quiet", quiet), ("beside the training", beside)):
        for percent in (50, 99):
            report.context(f"GET {name}, p{percent}", np.percentile(some, percent), "ms")
    ratio = np.percentile(beside, 99) / np.percentile(quiet, 99)
    report.at_most("p99 beside the training, to the quiet one", ratio, "times", P99_BAR)
    report.context("steps of the training meanwhile", steps / TRAINING_SECONDS, "1/s")
    report.notes.append(
        f"The training is of {DATA.movies:,} movies, in a process as `freshet refresh` starts it: "
        f"one thread, niceness {NICENESS}. Client and API are on the same machine."
    )
    return report


if __name__ == "__main__":
    main(run)
