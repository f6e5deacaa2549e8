"""The user tower as it is served: from histories to vectors, on one core."""

import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.report import Report, main
from producers.planted import Parameters
from producers.synthetic import generate_tables
from training.artifact import Artifact
from training.config import Config
from training.dataset import Ratings
from training.export import write_artifact
from training.histories import Histories
from training.ranking import Ranking
from training.rating_served import learn
from training.split import split_by_time
from training.trainer import Trainer

# A catalogue of MovieLens 25M's size, whose vectors no cache holds, and people to ask about.
DATA: Final = Parameters(users=2_000, movies=62_000, ratings=300_000)
MANY: Final = 256  # users in a batch
ROUNDS: Final = 200
ONE_MS: Final = 2.0
OF_MANY_MS: Final = 0.1  # a user

ALONE: Final = Ranking(links={}, weights={}, newcomers={}, proposed={})  # no second stage


def run() -> Report:
    report = Report("The user tower", "python -m benchmarks.towers")
    ratings = Ratings.from_tables(*generate_tables(DATA))
    events = np.arange(len(ratings))
    with tempfile.TemporaryDirectory() as home:
        # As they are before training: as large and as fast as any.
        towers = Trainer(ratings, events, Config()).towers
        predictor = learn(ratings, split_by_time(ratings)).model
        directory = write_artifact(
            Path(home), towers, ALONE, predictor, ratings, events, Config(), {}
        )
        artifact = Artifact.load(directory)
        one, ninety_ninth = milliseconds(artifact, ratings, 1)
        many, _ = milliseconds(artifact, ratings, MANY)
    report.at_most("one user, median", one, "ms", ONE_MS)
    report.context("one user, p99", ninety_ninth, "ms")
    report.at_most(f"a user in batches of {MANY}, median", many / MANY, "ms", OF_MANY_MS)
    report.notes.append(
        f"ONNX Runtime with one thread, {DATA.movies:,} movies, whole histories: every round asks "
        "about other people. Filling the inputs is not counted."
    )
    return report


def milliseconds(artifact: Artifact, ratings: Ratings, users: int) -> tuple[float, float]:
    """Median and 99th percentile for so many users at once."""
    everyone, chance, taken = np.unique(ratings.users), np.random.default_rng(0), []
    for _ in range(ROUNDS):
        histories = Histories.of_users(ratings, chance.choice(everyone, users))
        inputs = histories.tower_inputs(artifact.manifest.history)
        started = time.perf_counter()
        artifact.embed_users(inputs)
        taken.append(1000 * (time.perf_counter() - started))
    median, ninety_ninth = np.percentile(taken, [50, 99])
    return float(median), float(ninety_ninth)


if __name__ == "__main__":
    main(run)
