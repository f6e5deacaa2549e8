"""A server that hangs: answers get worse or say so, in bounded time, and nothing is made up."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra import services
from tests.planted_model import CATALOGUE
from tests.system import System, eventually

MOVIE = CATALOGUE[0].movie_id

# What has nothing to do with the broker.
only_tansu = pytest.mark.parametrize(
    "system", [pytest.param("tansu", marks=pytest.mark.e2e)], indirect=True
)


@contextmanager
def hanging(system: System, name: str) -> Iterator[None]:
    """Within, the process neither answers nor ends."""
    pid = system.stack.process(name).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_redis_hangs(system: System) -> None:
    user, loved = system.fan()
    last = system.recommend(user)["freshness"]["last_event_position"]
    with hanging(system, "redis"):
        answer = system.recommend(user, after=last)
        assert answer["strategy"] == "popular"
        assert answer["degraded"] == ["state_unavailable"]
        assert answer["freshness"] == dict.fromkeys(answer["freshness"]) | {"included": False}
        assert len(answer["items"]) == 10
        assert system.post(user, (MOVIE, 3.0), key="not checked").status_code == 503
        position = system.rate(user, (MOVIE, 3.0))  # the log takes it all the same

    eventually(lambda: system.recommend(user)["strategy"], "two_tower".__eq__)
    system.recommend_after(user, position)
    system.assert_applied({user: len(loved) + 1})


def test_the_broker_hangs(system: System) -> None:
    user, loved = system.fan()
    with hanging(system, "broker"):
        answer = system.post(user, (MOVIE, 3.0))
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["type"] == "urn:freshet:unavailable"
        assert system.recommend(user)["strategy"] == "two_tower"

    again = eventually(lambda: system.post(user, (MOVIE, 3.0)), lambda it: it.status_code == 202)
    system.recommend_after(user, again.json()["positions"][str(user)])
    # What was not acknowledged may have arrived: a rating, unlike a click, replaces itself.
    state = system.records([user])[user].state
    assert len(state) == len(loved) + 1
    system.freshet("verify")


@only_tansu
def test_no_model_can_be_loaded(system: System) -> None:
    user, loved = system.fan()
    nowhere = f"http://127.0.0.1:{services.free_port()}"
    with system.another_api(qdrant_url=nowhere) as api:
        readiness = eventually(
            lambda: api.get("/readyz").json(), lambda it: it["checks"]["redis"]["ok"]
        )
        assert not readiness["ready"]
        assert not readiness["checks"]["model"]["ok"]
        answer = api.get(f"/api/v1/recommendations/{user}").json()
    assert (answer["strategy"], answer["degraded"]) == ("trending", ["model_unavailable"])
    assert (answer["model_version"], answer["index"]) == (None, None)
    rated = {movie.movie_id for movie in loved}
    assert len(answer["items"]) == 10
    assert rated.isdisjoint(item["movie_id"] for item in answer["items"])


@only_tansu
def test_an_api_that_never_met_redis(system: System) -> None:
    nowhere = f"redis://127.0.0.1:{services.free_port()}"
    with system.another_api(redis_url=nowhere) as api:
        for answer in (
            api.get("/readyz"),
            api.get("/api/v1/recommendations/1"),
            api.get("/api/v1/onboarding/suggested-movies"),
            api.post("/api/v1/ratings", json={"user_id": 1, "movie_id": MOVIE, "rating": 3.0}),
        ):
            assert answer.status_code == 503, answer.text
            assert "Traceback" not in answer.text
