"""The production path as the prequential protocol uses it: broker, agents, Redis, API.

Ratings happen again, in the lab's order and with their own event times: those before the training
moment in bulk, the rest through POST /ratings. Before each one that is asked for, GET
/recommendations gives the list that has everything the user rated before.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import numpy as np
import pyarrow as pa
from prometheus_client.parser import text_string_to_metric_families

from api.schemas.common import MAX_LIMIT
from api.schemas.ratings import MAX_BATCH
from infra.freshness import WAIT_MS, applied, body_of
from infra.local import LocalStack
from producers.replay import publish_movies, replay
from producers.tables import RATINGS, TAGS
from stream.contracts.errors import FreshetError
from stream.contracts.topics import Topics
from training.artifact import Artifact
from training.dataset import Ratings
from training.prequential import Questions
from training.promotion import announce
from training.recommender import OnProgress
from training.tower_inputs import Ints

# s until something that was published is in an answer: a worker's first assignment may take 25.
TIMEOUT: Final = 90.0
PAUSE: Final = 0.01  # s between two times of asking whether it is so

# Metrics of the API.
CATALOGUE: Final = "freshet_api_catalogue_movies"
LOOKS: Final = "freshet_api_looks_total"

BEYOND: Final = MAX_LIMIT + 1  # any rank that the API's longest answer does not show


class Answer(NamedTuple):
    """What the API said to a question: the rank, at most BEYOND, and how it was found."""

    rank: int
    strategy: str


class Production:
    """A running stack to which ratings happen again.

    Raises FreshetError where it refuses or degrades, or there is no progress for `TIMEOUT`.

    Args:
        stack: newly started, so that nothing has happened to it.
        client: of its API.
        log: what is to happen.
    """

    def __init__(self, stack: LocalStack, client: httpx.Client, log: Ratings) -> None:
        self._client = client
        self._log = log
        self._partitions = stack.settings.kafka_partitions
        self._kafka = stack.settings.librdkafka()
        self._topics = Topics(stack.settings.kafka_topic_prefix)
        self._positions: dict[int, str] = {}  # of each user's last rating that was posted
        self._published = 0

    def begin(self, movies: pa.Table, until: int, artifact: Path) -> None:
        """Publish catalogue and past, have the artifact served; return once all of that is so.

        Args:
            movies: `producers.tables.MOVIES`.
            until: ms since the epoch; what happened before it is the past.
            artifact: its directory.
        """
        past = np.argsort(self._log.times, kind="stable")
        past = past[self._log.times[past] < until]
        publish_movies(movies, TAGS.empty_table(), self._kafka, self._topics)
        replay(_table(self._log, past), self._kafka, self._topics)
        self._published = len(past)
        version = announce(Artifact.load(artifact), self._kafka, self._topics.models).version
        self._wait("the catalogue", lambda: self._metric(CATALOGUE) == movies.num_rows)
        self._wait(f"model {version}", lambda: self._model() == version)
        self._wait_applied()

    def rate(self, events: Ints) -> None:
        """Post these ratings, in order, each with the time at which it happened."""
        log = self._log
        for start in range(0, len(events), MAX_BATCH):
            body = [
                {
                    "user_id": int(log.users[event]),
                    "movie_id": log.movies[log.rows[event]].movie_id,
                    "rating": float(log.half_stars[event] / 2),
                    "event_time": int(log.times[event]),
                }
                for event in events[start : start + MAX_BATCH]
            ]
            accepted = body_of(self._client.post("/api/v1/ratings", json=body))
            self._positions |= {int(user): at for user, at in accepted["positions"].items()}
            self._published += len(body)

    def ask(self, event: int) -> Answer:
        """The rank of the movie of this event in its user's list, as of what is published."""
        # How hot movies are is of what everybody did, as of when the API looked.
        self._wait_applied()
        looked = self._metric(LOOKS)
        # One look may be under way that began before.
        self._wait("a look at the heats", lambda: self._metric(LOOKS) >= looked + 2)
        found = self._list(int(self._log.users[event]))
        movies = [item["movie_id"] for item in found["items"]]
        movie = self._log.movies[self._log.rows[event]].movie_id
        rank = movies.index(movie) + 1 if movie in movies else BEYOND
        return Answer(rank, found["strategy"])

    def _list(self, user: int) -> dict[str, Any]:
        params: dict[str, str | int] = {"limit": MAX_LIMIT, "use_cache": False}
        if user in self._positions:
            params |= {"after": self._positions[user], "wait_ms": WAIT_MS}
        found = body_of(self._client.get(f"/api/v1/recommendations/{user}", params=params))
        if found["degraded"] or found["freshness"]["included"] is False:
            raise FreshetError(
                f"user {user} got a list that lacks something: degraded {found['degraded']}, "
                f"freshness {found['freshness']}"
            )
        return found

    def _wait_applied(self) -> None:
        """As long as it takes, which for a large past is long, while there is progress."""
        while (done := self._applied()) < self._published:
            what = f"more than {done:,} of {self._published:,} ratings to be applied"
            self._wait(what, partial(self._applied_more_than, done))

    def _applied_more_than(self, ratings: int) -> bool:
        return self._applied() > ratings

    def _applied(self) -> int:
        return applied(self._client, self._partitions)

    def _wait(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not holds():
            if time.monotonic() > deadline:
                raise FreshetError(f"still waiting for {what} after {TIMEOUT:g} s")
            time.sleep(PAUSE)

    def _model(self) -> str:
        return str(self._client.get("/readyz").json()["checks"]["model"]["detail"])

    def _metric(self, name: str) -> float:
        """The value of a metric of the API that has no labels."""
        exposition = self._client.get("/metrics").text
        return next(
            float(sample.value)
            for family in text_string_to_metric_families(exposition)
            for sample in family.samples
            if sample.name == name
        )


def drive(
    production: Production, questions: Questions, on_progress: OnProgress = lambda *_: None
) -> list[Answer]:
    """Ask the API each question in the state right before its event.

    Args:
        production: begun until `questions.since`.
        questions: n of them.
        on_progress: told how many are answered.
    """
    answers: list[Answer] = []
    published = 0
    known = questions.observed("fresh").tolist()
    for event, before in zip(questions.events.tolist(), known, strict=True):
        production.rate(questions.told[published:before])
        published = before
        answers.append(production.ask(event))
        on_progress(len(answers), len(known))
    return answers


def _table(log: Ratings, events: Ints) -> pa.Table:
    """`producers.tables.RATINGS`, in the order of the events."""
    ids = np.array([movie.movie_id for movie in log.movies], np.uint32)
    stars = (log.half_stars[events] / 2).astype(np.float32)
    columns = (log.users[events], ids[log.rows[events]], stars, log.times[events])
    return pa.table([pa.array(column) for column in columns], schema=RATINGS)
