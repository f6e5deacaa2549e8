"""State is a view of the log: rebuilt while the product runs, and proved equal to it."""

from collections.abc import Mapping

import redis

from stream.contracts import keys
from stream.contracts.topics import partition_of
from stream.records import UserRecord, pack_user
from tests.system import PARTITIONS, System
from tests.traffic import Load, Readers


def test_rebuild_while_traffic_flows(system: System) -> None:
    quiet = [system.fan("genre")[0] for _ in range(8)]
    busy = system.users(50)
    lists = {user: system.recommend(user)["items"] for user in quiet}
    before, records = generations(system), states(system.records(quiet))

    with Load(system, busy) as load, Readers(system, quiet) as readers:
        load.wait_for_more(20)
        system.freshet("rebuild")
        load.wait_for_more(20)
        readers.wait_for_more(20)

    system.assert_applied(load.produced)
    assert all(new > old for new, old in zip(generations(system), before, strict=True))
    assert states(system.records(quiet)) == records
    for answer in readers.answers:
        assert answer.status_code == 200, answer.text
        assert answer.json()["items"] == lists[answer.json()["user_id"]]
    system.freshet("verify")


def generations(system: System) -> list[int]:
    return [position.generation for position in system.positions() if position]


def states(records: Mapping[int, UserRecord]) -> dict[int, object]:
    return {user: record.state for user, record in records.items()}


def test_a_planted_difference_is_found_and_mended(system: System) -> None:
    changed, lost = (system.fan("genre")[0] for _ in range(2))
    states_before = states(system.records([changed, lost]))
    record = system.records([changed])[changed]
    record.state.half_stars[0] -= 1
    with redis.Redis.from_url(str(system.stack.settings.redis_url)) as client:
        client.hset(users_key(system, changed), str(changed), pack_user(record))
        client.hdel(users_key(system, lost), str(lost))

    said = system.freshet("verify", status=1)
    assert f"user {changed}" in said
    assert f"user {lost}" in said

    system.freshet("rebuild")
    system.freshet("verify")
    assert states(system.records([changed, lost])) == states_before


def users_key(system: System, user: int) -> bytes:
    partition = partition_of(user, PARTITIONS)
    position = system.positions()[partition]
    assert position is not None
    return keys.users(partition, position.generation)
