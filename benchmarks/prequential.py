"""Prequential evaluation: 50,000 events against 3,500 movies, each asked for in three states."""

import time
from typing import Final

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.report import Report, main
from producers.planted import Parameters
from producers.synthetic import generate_tables
from training.baselines.catalogue import create
from training.dataset import Ratings
from training.prequential import STATES, Questions, ask
from training.split import split_by_time

DATA: Final = Parameters(users=3_000, movies=3_500, ratings=500_000, seed=1)
EVERY: Final = 1  # half stars: all ratings are asked for
SECONDS: Final = 120
CORES: Final = 2


def run() -> Report:
    report = Report("Prequential evaluation", "python -m benchmarks.prequential")
    with threadpool_limits(CORES):
        log = Ratings.from_tables(*generate_tables(DATA))
        questions = Questions.of(log, split_by_time(log).test_from, relevant_from=EVERY)
        known = questions.known
        for name, what in (("ease", "EASE"), ("popularity", "popularity, which observes")):
            began = time.perf_counter()
            model = create(name)
            model.fit(known)
            report.context(f"{what}: fit on {len(known):,} ratings", _since(began), "s")
            total = 0.0
            for state in STATES:
                began = time.perf_counter()
                ask(model, questions, state)
                seconds = _since(began)
                total += seconds
                report.context(f"... {state} state", len(questions) / seconds, "events/s")
            asked = f"... {len(questions):,} events in all three states"
            if name == "ease":
                report.at_most(asked, total, "s", SECONDS)
            else:
                report.context(asked, total, "s")
    return report


def _since(began: float) -> float:
    return time.perf_counter() - began


if __name__ == "__main__":
    main(run)
