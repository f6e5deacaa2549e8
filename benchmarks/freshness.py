"""From a rating that the API accepted to a list that includes it: at rest, and under replay."""

import os
import random
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from benchmarks.report import Report, main
from infra.commands.data import load_dataset
from infra.commands.models import promote_model
from infra.freshness import Round, beside_others, percentiles, rate_and_ask
from infra.local import ANY_PORTS, FRESHET, LocalStack
from infra.newcomer import Newcomer
from infra.settings import Settings
from producers.replay import publish_movies
from stream.contracts.topics import Topics
from training.options import RunOptions
from training.pipeline import train

DATASET: Final = "100k"  # always there
ROUNDS: Final = 500
FIRST_USER: Final = 1_000_001
USERS: Final = 50  # who rate, in all partitions
PARTITIONS: Final = 8
RATE: Final = 2_000  # ratings a second of the replay
IDLE_BARS: Final = (30.0, 150.0)  # ms: p50, p99
REPLAY_BARS: Final = (100.0, 500.0)  # ms: p50, p99


def run() -> Report:
    report = Report("Freshness", "python -m benchmarks.freshness")
    console = Console(stderr=True)
    data = load_dataset(DATASET, None, None, lenient=False)
    movies = data.movies["movie_id"].to_pylist()
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), api_port=0, kafka_partitions=PARTITIONS)
        with LocalStack(settings, ports=ANY_PORTS, say=console.print) as stack:
            publish_movies(data.movies, data.tags, stack.settings.librdkafka(), Topics())
            options = RunOptions(max_epochs=1)
            outcome = train(data.ratings, data.movies, settings.artifacts, options=options)
            promote_model(stack.settings, outcome.version, console)
            with httpx.Client(base_url=stack.api_url, timeout=30) as client:
                Newcomer(client, console).wait_for_model(outcome.version, timeout=60)
                _rounds(client, movies, 20)  # connections and caches are warm after that
                idle = _rounds(client, movies, ROUNDS)
                command = (*FRESHET, "replay", "--dataset", DATASET, "--rate", f"{RATE}/s")
                with subprocess.Popen(
                    command, env=os.environ | stack.env, stderr=subprocess.DEVNULL
                ) as replay:
                    busy, rate = beside_others(
                        client, PARTITIONS, RATE, ROUNDS, lambda: _rounds(client, movies, ROUNDS)
                    )
                    replay.terminate()
    _add(report, "replay idle", idle, IDLE_BARS)
    _add(report, f"{RATE:,} ratings/s replaying", busy, REPLAY_BARS)
    report.context("ratings a second that were applied meanwhile", rate, "")
    report.notes.append(
        "Measured by one client over HTTP, from the answer to `POST /ratings` to the answer of the "
        "`GET` that includes the rating; each round is one after the other."
    )
    return report


def _rounds(client: httpx.Client, movies: Sequence[int], rounds: int) -> list[Round]:
    chance = random.Random(1)
    return [
        rate_and_ask(
            client,
            chance.randrange(FIRST_USER, FIRST_USER + USERS),
            [(chance.choice(movies), chance.randint(1, 10) / 2)],
        )
        for _ in range(rounds)
    ]


def _add(report: Report, when: str, rounds: list[Round], bars: tuple[float, float]) -> None:
    included = percentiles([it.accepted_to_included for it in rounds])
    total = percentiles([it.total for it in rounds])
    report.at_most(f"accepted to included, {when}, p50", included["p50"], "ms", bars[0])
    report.at_most(f"accepted to included, {when}, p99", included["p99"], "ms", bars[1])
    report.context(f"sent to included, {when}, p50", total["p50"], "ms")


if __name__ == "__main__":
    main(run)
