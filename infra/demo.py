"""The demo: load the past, train on it, replay the rest live, and let someone new come in."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import httpx
from rich.console import Console
from rich.progress import track

from infra.commands.data import load_dataset
from infra.commands.models import promote_model
from infra.commands.train import print_outcome, training_progress
from infra.freshness import beside_others
from infra.local import FRESHET, LocalStack
from infra.newcomer import Newcomer, print_freshness
from infra.settings import Settings
from producers.replay import publish_movies, replay, select
from stream.contracts.errors import FreshetError
from stream.contracts.topics import Topics
from training.options import RunOptions
from training.pipeline import train
from training.registry import Registry

PAST: Final = 0.8  # share of the ratings that is loaded in bulk, and that the model learns from
MAX_EPOCHS: Final = 5  # by which the towers are near their best; `freshet train` takes its time
REPLAY_RATE: Final = 200  # live events a second: goes on for longer than is measured meanwhile
ROUNDS: Final = 200  # ratings whose way into a list is timed
MODEL_TIMEOUT: Final = 60.0  # s until the API serves a model that was promoted


@contextmanager
def run(settings: Settings, dataset: str, console: Console) -> Iterator[LocalStack]:
    """Show everything; the stack then runs on until the `with` block ends.

    Raises FreshetError where something does not hold that the demo shows.
    """
    began = time.monotonic()
    data = load_dataset(dataset, None, None, lenient=False)
    now = data.ratings["timestamp"][int(PAST * data.ratings.num_rows)].as_py() // 1000
    past = select(data.ratings, end=now * 1000)
    console.print(
        f"[b]{data.source.name}[/]: {past.num_rows:,} ratings before {_date(now)} are the past, "
        f"the {data.ratings.num_rows - past.num_rows:,} after it will happen live"
    )
    with LocalStack(settings, say=console.print) as stack:
        console.print(stack.table())
        kafka, topics = stack.settings.librdkafka(), Topics(settings.kafka_topic_prefix)

        console.rule("The past: loaded in bulk, then learned from")
        publish_movies(data.movies, data.tags, kafka, topics)
        replay(past, kafka, topics)
        with training_progress() as on_progress:
            outcome = train(
                past,
                data.movies,
                settings.artifacts,
                options=RunOptions(max_epochs=MAX_EPOCHS),
                on_progress=on_progress,
            )
        print_outcome(outcome, console)
        Registry(settings.tracking_uri).record(outcome, data.source.name)
        promote_model(stack.settings, outcome.version, console)

        console.rule("Now: someone new, while the others' ratings come in")
        with _live_replay(stack, dataset, now):
            headers = stack.settings.api_headers
            with httpx.Client(base_url=stack.api_url, headers=headers, timeout=30) as client:
                newcomer = Newcomer(client, console)
                newcomer.wait_for_model(outcome.version, MODEL_TIMEOUT)
                person = newcomer.onboard()
                newcomer.change_mind(person)
                rounds = track(range(ROUNDS), "rate and ask", console=console, transient=True)
                measured, rate = beside_others(
                    client,
                    stack.settings.kafka_partitions,
                    REPLAY_RATE,
                    ROUNDS,
                    lambda: newcomer.freshness(person, rounds),
                )
            print_freshness(measured, f"{ROUNDS} times, {rate:.0f} ratings/s meanwhile", console)

            console.rule("The proof: live state against the log")
            _verify(stack)
            console.print(f"All of this took {time.monotonic() - began:.0f} s.")
            yield stack


@contextmanager
def _live_replay(stack: LocalStack, dataset: str, start: int) -> Iterator[None]:
    """Within, the ratings from `start` (s) on happen, in a process of their own.

    Raises FreshetError, at the end, where not all of them came through.
    """
    command = (*FRESHET, "replay", "--dataset", dataset, "--from", _date(start))
    log = stack.settings.home / "logs" / "replay.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--rate", f"{REPLAY_RATE}/s"],
            env=os.environ | stack.env,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
            if process.poll():
                raise FreshetError(f"the replay failed: see {log}")
        finally:
            process.terminate()
            process.wait()


def _verify(stack: LocalStack) -> None:
    verified = subprocess.run([*FRESHET, "verify"], env=os.environ | stack.env, check=False)
    if verified.returncode:
        raise FreshetError("the live state is not what the log gives")


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
