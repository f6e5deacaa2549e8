"""Ratings that flow meanwhile, straight to their topic, from a process of their own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from typing import Final

import numpy as np

from producers.publisher import BulkPublisher
from stream.contracts.events import RatingEvent, encode
from stream.contracts.topics import Topics
from training.tower_inputs import Ints

PULSES: Final = 50  # a second, in which ratings are published


@contextmanager
def ratings_flowing(
    broker: str, users: Ints, movies: Ints, rate: int, since: int
) -> Iterator[None]:
    """So many ratings a second while the block runs.

    Args:
        broker: where the topic is.
        users: ids, any of whom rates next.
        movies: ids, any of which is rated next; one that is here twice is so twice as often.
        rate: ratings a second.
        since: ms since the epoch, when the first one happened; later ones as they are published.
    """
    context = get_context("spawn")
    stop = context.Event()
    process = context.Process(target=_flow, args=(broker, users, movies, rate, since, stop))
    process.start()
    try:
        yield
        if not process.is_alive():
            raise RuntimeError("ratings stopped flowing: what was measured is of a quiet stack")
    finally:
        stop.set()
        process.join()


def _flow(broker: str, users: Ints, movies: Ints, rate: int, since: int, stop: Event) -> None:
    chance = np.random.default_rng(3)
    start, topic = time.monotonic(), Topics().ratings
    published = 0
    with BulkPublisher({"bootstrap.servers": broker}) as publisher:
        while not stop.is_set():
            elapsed = time.monotonic() - start
            while published < elapsed * rate:
                now = since + int(elapsed * 1_000)
                user = int(users[chance.integers(len(users))])
                event = RatingEvent(
                    event_id=f"flow-{published}",
                    user_id=user,
                    movie_id=int(movies[chance.integers(len(movies))]),
                    rating=float(chance.integers(1, 11)) / 2,
                    event_time=now,
                    produced_time=now,
                    source="replay",
                )
                publisher.publish(topic, b"%d" % user, encode(event))
                published += 1
            publisher.poll(1 / PULSES)
