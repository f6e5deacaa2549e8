"""Every metric of every list at every k, at the size of MovieLens 25M.

All but a few products of matrices runs on one core.
"""

import resource
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from benchmarks.report import Report, main
from training import compare, diversity
from training.diversity import Background
from training.metrics import judge, ranking, ranking_of_one

USERS: Final = 160_000
MOVIES: Final = 62_000
PLACES: Final = 50
HELD: Final = 31  # held-out movies a user: a fifth of a user's mean in MovieLens 25M
GENRES: Final = 20
KS: Final = (5, 10, 20, 50)
BAR: Final = 10  # s
COMPARISON_BAR: Final = 1  # s
KIB_A_GIB: Final = 2**20


def run() -> Report:
    chance = np.random.default_rng(1)
    lists = _popular(chance, PLACES)
    expected = _popular(chance, PLACES)
    held = np.repeat(np.arange(USERS), HELD)
    rows = _popular(chance, HELD).ravel()
    gains = chance.integers(1, 11, len(rows))
    vectors = (chance.random((MOVIES, GENRES)) < 0.1).astype(float)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)
    background = Background(vectors, chance.random(MOVIES) * 17)
    everyone = np.arange(USERS)

    report = Report("Metrics", "python -m benchmarks.metrics")
    judging, judged = _timed(lambda: judge(lists, held, rows, gains))
    right, values = _timed(lambda: ranking(judged, KS))
    beside, _ = _timed(
        lambda: (
            diversity.of_lists(lists, judged, expected, background, KS),
            diversity.of_all(lists, MOVIES, KS),
        )
    )
    by_rank, _ = _timed(lambda: ranking_of_one(chance.integers(1, MOVIES, USERS), KS))
    model, baseline = values["ndcg@10"], values["ndcg@20"]
    compared, _ = _timed(lambda: compare.difference(model, baseline, everyone))
    what = f"all metrics at k = 5, 10, 20, 50 of {USERS:,} lists of {PLACES}"
    report.at_most(what, judging + right + beside, "s", BAR)
    report.context(f"of that: looking up {len(rows):,} held-out movies", judging, "s")
    report.context("of that: metrics of accuracy", right, "s")
    report.context("of that: metrics beside it", beside, "s")
    report.context("metrics of accuracy from the ranks of one movie a list", by_rank, "s")
    report.at_most("comparison of two models, with intervals", compared, "s", COMPARISON_BAR)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_A_GIB  # Linux counts in KiB
    report.context("peak memory of the process", peak, "GiB")
    return report


def _popular(chance: np.random.Generator, places: int) -> np.ndarray:
    """i64[users, places]: movies of which some are in most lists, none twice in one."""
    spread = (MOVIES // places) * chance.random((USERS, places)) ** 3
    return spread.astype(np.int64) * places + chance.permuted(
        np.tile(np.arange(places), (USERS, 1)), axis=1
    )


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    done = work()
    return time.perf_counter() - started, done


if __name__ == "__main__":
    main(run)
