"""kill -9 of Apache Kafka while people rate: every answer 202 stays true."""

import pytest

from tests.system import System
from tests.traffic import Load, Posts


@pytest.mark.parametrize(
    "system", [pytest.param("apache", marks=[pytest.mark.e2e, pytest.mark.apache])], indirect=True
)
def test_the_broker_is_killed(system: System) -> None:
    users = system.users(100)
    with Load(system, users) as load, Posts(system) as posts:
        posts.wait_for_more(20)
        system.stack.process("broker").kill()
        posts.wait_for(503)
        system.stack.wait_ready("broker")
        posts.wait_for(202)

    assert {answer.status_code for answer in posts.answers.values()} == {202, 503}
    for answer in posts.answers.values():
        assert answer.status_code == 202 or int(answer.headers["Retry-After"]) > 0
    accepted = [user for user, answer in posts.answers.items() if answer.status_code == 202]
    system.assert_applied(dict.fromkeys(accepted, 1))
    system.assert_applied(load.produced)
    system.freshet("verify")
