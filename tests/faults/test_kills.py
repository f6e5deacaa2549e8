"""kill -9 under load: whatever dies, everything is applied once, and the state is the log's."""

import pytest

from tests.planted_model import CATALOGUE
from tests.system import WORKERS, System, eventually
from tests.traffic import Load


@pytest.mark.parametrize("killed", [WORKERS[:1], WORKERS], ids=["one-worker", "both-workers"])
def test_workers_are_killed(system: System, killed: tuple[str, ...]) -> None:
    users = system.users(100)
    with Load(system, users) as load:
        eventually(lambda: sum(system.applied(users).values()) > 1_000)
        for worker in killed:
            system.stack.process(worker).kill()
        load.wait_for_more(50)

    system.assert_applied(load.produced)
    system.freshet("verify")
    system.stack.wait_ready(*killed)


def test_redis_is_killed(system: System) -> None:
    users = system.users(100)
    fan, _ = system.fan("genre")

    with Load(system, users) as load:
        eventually(lambda: sum(system.applied(users).values()) > 1_000)
        system.stack.process("redis").kill()
        load.wait_for_more(50)
        system.stack.wait_ready("redis")

    system.assert_applied(load.produced)
    system.freshet("verify")
    # What it held besides the state is back as well: the catalogue, and the model to serve.
    eventually(lambda: system.post(fan, (CATALOGUE[0].movie_id, 0.5)).status_code, (202).__eq__)
    assert system.recommend(fan)["strategy"] == "two_tower"
