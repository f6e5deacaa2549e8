"""State is a view of the log: rebuilt while the product runs, and proved equal to it."""

from collections.abc import Mapping, Sequence
from typing import Any

import redis

from stream.contracts import keys
from stream.contracts.topics import partition_of
from stream.features import UserState
from stream.records import UserRecord, pack_user
from tests.planted_model import BY_ID
from tests.system import PARTITIONS, System
from tests.traffic import Load, Readers


def test_a_planted_difference_is_found_and_mended_while_traffic_flows(system: System) -> None:
    quiet = [system.fan()[0] for _ in range(4)]
    changed, lost = (system.fan()[0] for _ in range(2))
    busy = system.users(50)
    loved = {user: genres(system.recommend(user)["items"]) for user in quiet}
    records = states(system.records([*quiet, changed, lost]))
    before = generations(system)

    with redis.Redis.from_url(str(system.stack.settings.redis_url)) as client:
        record = system.records([changed])[changed]
        first, *others = record.state.half_stars
        record.state.half_stars = bytes([first - 1, *others])
        client.hset(users_key(system, changed), str(changed), pack_user(record))
        client.hdel(users_key(system, lost), str(lost))
        said = system.freshet("verify", status=1)
        assert f"user {changed}" in said
        assert f"user {lost}" in said

        with Load(system, busy) as load, Readers(system, quiet) as readers:
            load.wait_for_more(10)
            system.freshet("rebuild")
            load.wait_for_more(10)
            readers.wait_for_more(10)
        if client.config_get("save")["save"]:
            client.save()  # lest a snapshot with the difference is what it starts from again

    assert states(system.records(records)) == records
    assert all(new > old for new, old in zip(generations(system), before, strict=True))
    for answer in readers.personal():  # what others do moves places, not what somebody loves
        assert genres(answer["items"]) == loved[answer["user_id"]]
    system.assert_applied(load.produced)
    system.freshet("verify")


def generations(system: System) -> list[int]:
    return [position.generation for position in system.positions() if position]


def genres(items: Sequence[Mapping[str, Any]]) -> set[str]:
    return {BY_ID[item["movie_id"]].genre for item in items}


def states(records: Mapping[int, UserRecord]) -> dict[int, UserState]:
    return {user: record.state for user, record in records.items()}


def users_key(system: System, user: int) -> bytes:
    partition = partition_of(user, PARTITIONS)
    position = system.positions()[partition]
    assert position is not None
    return keys.users(partition, position.generation)
