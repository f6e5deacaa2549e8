"""kill -9 under load: whatever dies, everything is applied once, and the state is the log's."""

from collections.abc import Sequence

from tests.planted_model import CATALOGUE
from tests.system import WORKERS, System, eventually
from tests.traffic import Load


def test_a_worker_is_killed_and_then_it_is_quiet(system: System) -> None:
    """Whoever takes over has to finish without a new event to remind them."""
    users = system.users(100)
    with Load(system, users) as load:
        under_way(system, users)
        system.stack.process("worker-1").kill()
        load.wait_for_more(20)

    system.assert_applied(load.produced)
    system.freshet("verify")
    system.stack.wait_ready("worker-1")


def test_all_workers_are_killed_while_people_rate(system: System) -> None:
    users = system.users(100)
    with Load(system, users) as load:
        under_way(system, users)
        for worker in WORKERS:
            system.stack.process(worker).kill()
        system.stack.wait_ready(*WORKERS)
        load.wait_for_more(20)

    system.assert_applied(load.produced)
    system.freshet("verify")


def under_way(system: System, users: Sequence[int]) -> None:
    """Return once there is a state to get wrong."""
    eventually(lambda: sum(system.applied(users).values()) > 500)


def test_redis_is_killed(system: System) -> None:
    users = system.users(100)
    fan, _ = system.fan()

    with Load(system, users) as load:
        under_way(system, users)
        system.stack.process("redis").kill()
        system.stack.wait_ready("redis")
        load.wait_for_more(20)

    system.assert_applied(load.produced)
    system.freshet("verify")
    # What it held besides the state is back as well: the catalogue, and the model to serve.
    eventually(lambda: system.post(fan, (CATALOGUE[0].movie_id, 0.5)).status_code, (202).__eq__)
    assert system.recommend(fan)["strategy"] == "two_tower"
