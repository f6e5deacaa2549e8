"""Training: a whole run on a million ratings, and an epoch on as many as MovieLens 25M has."""

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.report import Report, main
from producers.planted import Parameters
from producers.synthetic import MOVIES_FILE, RATINGS_FILE, write

WHOLE: Final = Parameters(users=6_000, movies=3_700, ratings=1_000_000)  # as MovieLens 1M
WHOLE_SECONDS: Final = 600
EPOCH_SECONDS: Final = 1_200
KIB_A_GIB: Final = 2**20  # Linux counts a process's memory in KiB
CORES: Final = 2


class Epoch(NamedTuple):
    """What the first epoch took, both models side by side.

    Attributes:
        loading: s from the files to the first step.
        training: s of the epoch, from that of the steps that were done.
        steps: of the epoch, of both models.
        done: of those.
        peak: GiB that the process had resident at most.
    """

    loading: float
    training: float
    steps: int
    done: int
    peak: float


class _Enough(Exception):  # noqa: N818 - nothing went wrong
    pass


def run(ratings: int, share: float) -> Report:
    report = Report("Training", f"python -m benchmarks.training{_options(ratings, share)}")
    with tempfile.TemporaryDirectory() as scratch:
        seconds, peak = whole_run(made(WHOLE, Path(scratch) / "whole"), Path(scratch))
    what = f"{WHOLE.ratings:,} ratings from Parquet to a model with its index"
    report.at_most(what, seconds, "s", WHOLE_SECONDS)
    report.context("... peak memory of the process", peak, "GiB")
    with tempfile.TemporaryDirectory() as scratch:
        large = Parameters(users=round(162_000 * ratings / 25e6), ratings=ratings)
        epoch = alone(first_epoch, made(large, Path(scratch)), share)
    what = f"an epoch of both models on {ratings:,} ratings"
    report.at_most(what, epoch.training, "s", EPOCH_SECONDS)
    report.context("... from Parquet to its first step", epoch.loading, "s")
    report.context("... peak memory of the process", epoch.peak, "GiB")
    report.notes.append(
        "Both models, the one that is measured and the one that is exported, train side by side, "
        f"a thread each. {epoch.done:,} of the epoch's {epoch.steps:,} steps were done."
    )
    return report


def made(parameters: Parameters, directory: Path) -> Path:
    """A directory with synthetic data."""
    alone(write, parameters, directory)
    return directory


def alone(function: Callable[..., object], *arguments: object) -> object:
    """What the function returns, in a process of its own: memory is counted by process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def whole_run(data: Path, home: Path) -> tuple[float, float]:
    """Seconds that `freshet train` takes, its start included, and GiB at most."""
    command = [sys.executable, "-m", "infra", "train", "--dataset", str(data), "--no-track"]
    environment = {**os.environ, "FRESHET_HOME": str(home), "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - started, used.ru_maxrss / KIB_A_GIB


def first_epoch(data: Path, share: float) -> Epoch:
    """Train for a share of the first epoch."""
    import numpy as np
    import pyarrow.parquet as pq

    from training.config import Config
    from training.dataset import Ratings
    from training.epochs import torch_threads
    from training.split import split_by_time
    from training.trainer import Trainer

    def train(trainer: Trainer) -> int:
        enough = max(round(trainer.steps * share), 1)

        def stop(done: int, _: int) -> None:
            if done == enough < trainer.steps:
                raise _Enough

        try:
            trainer.epoch(stop)
        except _Enough:
            return enough
        return trainer.steps

    started = time.perf_counter()
    tables = (pq.read_table(data / file) for file in (RATINGS_FILE, MOVIES_FILE))
    ratings = Ratings.from_tables(*tables)
    config = Config()
    known = (split_by_time(ratings).train, np.arange(len(ratings)))
    with torch_threads(1), ThreadPoolExecutor(CORES) as pool:
        trainers = [Trainer(ratings, events, config) for events in known]
        ready = time.perf_counter()
        done = sum(pool.map(train, trainers))
        seconds = time.perf_counter() - ready
    steps = sum(trainer.steps for trainer in trainers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_A_GIB
    return Epoch(ready - started, seconds * steps / done, steps, done, peak)


def _options(ratings: int, share: float) -> str:
    said = f" --ratings {ratings}" if ratings != Parameters().ratings else ""
    return said + (f" --share {share}" if share < 1 else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ratings", type=int, default=Parameters().ratings, help="of the epoch")
    parser.add_argument("--share", type=float, default=1.0, help="of the epoch that is trained")
    given, rest = parser.parse_known_args()
    sys.argv[1:] = rest  # the file of the report
    main(lambda: run(given.ratings, given.share))
