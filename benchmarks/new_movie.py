"""From `POST /movies` to the first list that has the movie, before anybody rated it."""

import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from benchmarks.report import Report, main
from infra.commands.data import load_dataset
from infra.commands.models import promote_model
from infra.freshness import body_of, percentiles, rate_and_ask
from infra.local import ANY_PORTS, LocalStack
from infra.newcomer import Newcomer
from infra.settings import Settings
from producers.replay import publish_movies
from stream.contracts.errors import FreshetError
from stream.contracts.topics import Topics
from training.options import RunOptions
from training.pipeline import train

DATASET: Final = "100k"  # always there
ROUNDS: Final = 100
FAN: Final = 1_000_001
FIRST_MOVIE: Final = 1_000_001
LIMIT: Final = 100
PAUSE: Final = 0.005  # s between two times of asking, which is as exact as a round is measured
PATIENCE: Final = 20.0  # s after which a movie is held not to be recommended at all
BAR: Final = 1_000.0  # ms: p99


def run() -> Report:
    report = Report("A new movie", "python -m benchmarks.new_movie")
    console = Console(stderr=True)
    data = load_dataset(DATASET, None, None, lenient=False)
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), api_port=0)
        with LocalStack(settings, ports=ANY_PORTS, say=console.print) as stack:
            publish_movies(data.movies, data.tags, stack.settings.librdkafka(), Topics())
            options = RunOptions(max_epochs=1)
            outcome = train(data.ratings, data.movies, settings.artifacts, options=options)
            promote_model(stack.settings, outcome.version, console)
            with httpx.Client(base_url=stack.api_url, timeout=30) as client:
                Newcomer(client, console).wait_for_model(outcome.version, timeout=60)
                timings = _rounds(client, data.movies["movie_id"].to_pylist())
    found = percentiles(timings)
    for name in ("p50", "p99"):
        report.at_most(f"sent to recommended, {name}", found[name], "ms", BAR)
    report.context("slowest", max(timings), "ms")
    report.notes.append(
        f"{ROUNDS} movies, one after the other, at a random moment between two looks of the API "
        f"({settings.api_look_seconds:g} s apart). Each is of the kind that the person likes best, "
        "and is rated by them afterwards. The clock runs from sending the `POST` to the answer of "
        f"the first `GET` that has the movie among its {LIMIT}."
    )
    return report


def _rounds(client: httpx.Client, movies: list[int]) -> list[float]:
    """ms of each round."""
    chance = random.Random(1)
    liked = rate_and_ask(client, FAN, [(movie, 4.5) for movie in chance.sample(movies, 5)])
    timings = []
    for number in range(ROUNDS):
        time.sleep(chance.random())
        best = liked.recommendations["items"][0]
        movie = {
            "movie_id": FIRST_MOVIE + number,
            "title": f"Premiere {number}",
            "genres": best["genres"],
            "year": best["year"],
        }
        timings.append(_until_recommended(client, movie))
        liked = rate_and_ask(client, FAN, [(FIRST_MOVIE + number, 4.5)])
    return timings


def _until_recommended(client: httpx.Client, movie: Mapping[str, Any]) -> float:
    """ms. Raises FreshetError where that does not happen."""
    params = {"limit": LIMIT, "use_cache": False}
    sent = time.perf_counter()
    body_of(client.post("/api/v1/movies", json=movie))
    while time.perf_counter() < sent + PATIENCE:
        answer = body_of(client.get(f"/api/v1/recommendations/{FAN}", params=params))
        if movie["movie_id"] in [item["movie_id"] for item in answer["items"]]:
            return (time.perf_counter() - sent) * 1e3
        time.sleep(PAUSE)
    raise FreshetError(f"{movie} was not recommended within {PATIENCE:g} s")


if __name__ == "__main__":
    main(run)
