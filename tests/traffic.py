"""What goes on beside a test: ratings that stream in, and people who ask for recommendations."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from types import TracebackType
from typing import Any, Final, Self

import httpx

from producers.publisher import BulkPublisher
from stream.contracts.events import encode
from tests.planted_model import CATALOGUE
from tests.system import DEADLINE, System, eventually, rating


class _Background:
    """Does something over and over in a thread while the block runs; what it raises comes out."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._done = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def step(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """After the last step."""

    def wait_for_more(self, steps: int) -> None:
        """Return after this many more steps."""
        target = self._done + steps
        eventually(lambda: self._done >= target or not self._thread.is_alive())
        assert self._done >= target, self._error

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.step()
                self._done += 1
            self.finish()
        except BaseException as error:  # noqa: BLE001 - raised where the block ends
            self._error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error


class Load(_Background):
    """Ratings straight to the topic, `RATE` a second, in turn by these users.

    Attributes:
        produced: how many of each user; complete, and acknowledged by the broker, after the block.
    """

    RATE: Final = 1_000
    PULSE: Final = 20  # ratings at once

    def __init__(self, system: System, users: Sequence[int]) -> None:
        super().__init__()
        self._topic = system.topics.ratings
        self._publisher = BulkPublisher(system.kafka)
        pairs = ((user, movie.movie_id) for movie in cycle(CATALOGUE) for user in users)
        self._events = (rating(*pair, stars=(i % 10 + 1) / 2) for i, pair in enumerate(pairs))
        self._due = time.monotonic()
        self.produced: Counter[int] = Counter()

    def step(self) -> None:
        for _ in range(self.PULSE):
            event = next(self._events)
            self._publisher.publish(self._topic, b"%d" % event.user_id, encode(event))
            self.produced[event.user_id] += 1
        self._due += self.PULSE / self.RATE
        self._stop.wait(self._due - time.monotonic())

    def finish(self) -> None:
        self._publisher.flush()


class Readers(_Background):
    """GETs of these users' recommendations, in turn, one after the other.

    Attributes:
        answers: all of them, in order.
    """

    PAUSE: Final = 0.01  # seconds after each: enough requests to meet every moment of a change

    def __init__(self, system: System, users: Sequence[int]) -> None:
        super().__init__()
        self._api = httpx.Client(base_url=system.stack.api_url, timeout=DEADLINE)
        self._users = cycle(users)
        self.answers: list[httpx.Response] = []

    def step(self) -> None:
        self.answers.append(self._api.get(f"/api/v1/recommendations/{next(self._users)}"))
        self._stop.wait(self.PAUSE)

    def finish(self) -> None:
        self._api.close()

    def personal(self) -> list[dict[str, Any]]:
        """The answers, which have all succeeded, without those that Redis came too late for.

        On a machine that is busy enough, it may: such an answer says so, and is a popular list.
        """
        assert {answer.status_code for answer in self.answers} == {200}
        answers = [answer.json() for answer in self.answers]
        assert all(set(answer["degraded"]) <= {"state_unavailable"} for answer in answers)
        return [answer for answer in answers if not answer["degraded"]]


class Posts(_Background):
    """POSTs of a rating, each by someone new, whatever comes of it.

    Attributes:
        answers: by user, in order.
    """

    def __init__(self, system: System) -> None:
        super().__init__()
        self._api = httpx.Client(base_url=system.stack.api_url, timeout=DEADLINE)
        self._users = system.users
        self.answers: dict[int, httpx.Response] = {}

    def step(self) -> None:
        (user,) = self._users(1)
        body = {"user_id": user, "movie_id": CATALOGUE[0].movie_id, "rating": 4.0}
        self.answers[user] = self._api.post("/api/v1/ratings", json=body)

    def finish(self) -> None:
        self._api.close()

    def wait_for(self, status: int) -> None:
        """Return once a request that begins from now on is answered with this status."""
        known = len(self.answers) + 1
        eventually(
            lambda: any(it.status_code == status for it in list(self.answers.values())[known:])
        )
