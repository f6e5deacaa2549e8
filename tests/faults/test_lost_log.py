"""The embedded broker dies, and the log with it: what was derived from it goes as well."""

import pytest

from stream.contracts.keys import Position
from tests.planted_model import CATALOGUE
from tests.system import WORKERS, System, eventually


@pytest.mark.parametrize("system", [pytest.param("tansu", marks=pytest.mark.e2e)], indirect=True)
def test_a_broker_that_lost_its_log(system: System) -> None:
    user, _ = system.fan()
    before = system.positions()
    system.stack.process("broker").kill()
    eventually(lambda: system.stack.process("api").restarts)
    system.stack.wait_ready("broker", "api", *WORKERS)

    # Nothing of the new log is taken for something of the old one that was applied already.
    rated = eventually(
        lambda: system.post(user, (CATALOGUE[0].movie_id, 2.0)), lambda it: it.status_code == 202
    )
    position = rated.json()["positions"][str(user)]
    assert position.endswith(":0")
    system.assert_applied({user: 1})
    # The API was started again too, and is ready before it has loaded the model.
    eventually(
        lambda: system.recommend_after(user, position), lambda it: it["strategy"] == "two_tower"
    )
    old = topics(before)
    eventually(lambda: topics(system.positions()), old.isdisjoint)
    system.freshet("verify")
    system.populate()


def topics(positions: list[Position | None]) -> set[str]:
    return {position.topic_id for position in positions if position}
