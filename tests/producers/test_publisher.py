import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import services
from infra.supervisor import Supervisor
from producers.admin import ensure_topics
from producers.publisher import BulkPublisher, Delivered, Message, Publisher
from stream.contracts.errors import BrokerUnavailable, ConfigurationError
from stream.contracts.topics import Topics, partition_of
from tests.producers.kafka import records

PARTITIONS = 4
NOBODY = {"bootstrap.servers": "127.0.0.1:1"}


@pytest.fixture
def config(broker: str, topics: Topics) -> dict[str, str]:
    config = {"bootstrap.servers": broker}
    ensure_topics(config, topics, PARTITIONS, 1)
    return config


def messages(topics: Topics, *users: int) -> list[Message]:
    return [Message(topics.ratings, b"%d" % user, b"rating %d" % user) for user in users]


async def test_a_message_is_where_the_answer_says(config: dict[str, str], topics: Topics) -> None:
    users = range(1, 60)
    publisher = Publisher(config)
    try:
        places = await publisher.send(messages(topics, *users))
    finally:
        publisher.close()

    log = records(config, topics.ratings, PARTITIONS)
    for user, place in zip(users, places, strict=True):
        assert place.topic == topics.ratings
        assert place.partition == partition_of(user, PARTITIONS)
        record = log[place.partition][place.offset]
        assert (record.offset(), record.key()) == (place.offset, b"%d" % user)
        assert record.value() == b"rating %d" % user
    assert sum(map(len, log)) == len(users)


async def test_many_at_once_keep_each_users_order(config: dict[str, str], topics: Topics) -> None:
    publisher = Publisher(config)
    try:
        answers = await asyncio.gather(
            *(
                publisher.send([Message(topics.ratings, b"7", b"%d" % (2 * n + m)) for m in (0, 1)])
                for n in range(100)
            )
        )
    finally:
        publisher.close()
    assert [place.offset for answer in answers for place in answer] == list(range(200))
    log = records(config, topics.ratings, PARTITIONS)[partition_of(7, PARTITIONS)]
    assert [record.value() for record in log] == [b"%d" % n for n in range(200)]


async def test_headers_and_nothing_to_send(config: dict[str, str], topics: Topics) -> None:
    publisher = Publisher(config)
    try:
        assert await publisher.send([]) == []
        await publisher.send([Message(topics.dead_letters, None, b"x", [("reason", b"why")])])
        await publisher.check()
    finally:
        publisher.close()
    assert records(config, topics.dead_letters, 1)[0][0].headers() == [("reason", b"why")]


async def test_no_broker_is_no_acknowledgement(topics: Topics) -> None:
    publisher = Publisher(NOBODY, timeout=0.3)
    try:
        with pytest.raises(BrokerUnavailable, match=r"2 of 2 messages .*Connection refused"):
            await publisher.send(messages(topics, 1, 2))
        with pytest.raises(BrokerUnavailable, match="127"):
            await publisher.check()
    finally:
        publisher.close()


async def test_a_message_that_is_too_large_is_refused(
    config: dict[str, str], topics: Topics
) -> None:
    publisher = Publisher(config)
    try:
        with pytest.raises(ConfigurationError, match="too large"):
            await publisher.send([Message(topics.ratings, b"1", bytes(3 << 20))])
        await publisher.send(messages(topics, 1))
    finally:
        publisher.close()


async def test_a_cancelled_request_leaves_the_publisher_working(
    config: dict[str, str], topics: Topics
) -> None:
    publisher = Publisher(config)
    try:
        sending = asyncio.create_task(publisher.send(messages(topics, 1)))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await publisher.send(messages(topics, 1))
    finally:
        publisher.close()


def test_a_loop_that_has_closed_leaves_the_publisher_working(
    config: dict[str, str], topics: Topics
) -> None:
    publisher = Publisher(config)

    async def leave() -> None:
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)
        await publisher.send(messages(topics, 1))

    loop = asyncio.new_event_loop()
    task = loop.create_task(leave())
    loop.run_forever()
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    try:
        assert len(asyncio.run(publisher.send(messages(topics, 1)))) == 1
    finally:
        publisher.close()


@pytest.fixture
def mortal(tmp_path: Path) -> "Iterator[tuple[Supervisor, dict[str, str]]]":
    """A broker that may be killed; it comes back on the same port, having forgotten everything."""
    with Supervisor(tmp_path, say=print) as supervisor:
        service = services.tansu(services.free_port())
        supervisor.start(service, timeout=60)
        yield supervisor, {"bootstrap.servers": service.address}


async def test_a_broker_that_forgot_us_takes_messages_again(
    mortal: tuple[Supervisor, dict[str, str]], topics: Topics
) -> None:
    supervisor, config = mortal
    ensure_topics(config, topics, PARTITIONS, 1)
    publisher = Publisher(config, timeout=5)
    try:
        await publisher.send(messages(topics, 1, 2, 3))
        supervisor.child("broker").kill()
        with pytest.raises(BrokerUnavailable):
            await publisher.send(messages(topics, 1, 2, 3))
        supervisor.wait_ready("broker", timeout=60)
        ensure_topics(config, topics, PARTITIONS, 1)
        places = await _send_until_taken(publisher, messages(topics, 1, 2, 3))
    finally:
        publisher.close()
    log = records(config, topics.ratings, PARTITIONS)
    assert [log[p.partition][p.offset].value() for p in places] == [
        b"rating 1",
        b"rating 2",
        b"rating 3",
    ]


async def _send_until_taken(publisher: Publisher, wanted: list[Message]) -> list[Delivered]:
    """A refused producer is replaced after it failed once, so the second try must do."""
    try:
        return await publisher.send(wanted)
    except BrokerUnavailable:
        return await publisher.send(wanted)


def test_bulk_waits_for_room_and_keeps_order(config: dict[str, str], topics: Topics) -> None:
    count = 130_000  # more than the queue of the client holds
    with BulkPublisher(config) as publisher:
        for n in range(count):
            publisher.publish(topics.ratings, b"%d" % (n % 9), b"%d" % n)
        publisher.flush()
        assert (publisher.acknowledged, publisher.waiting, publisher.failed) == (count, 0, 0)
        assert publisher.trouble == ""
    log = records(config, topics.ratings, PARTITIONS)
    assert sum(map(len, log)) == count
    for records_of_one in log:
        values = [int(record.value() or b"") for record in records_of_one]
        assert values == sorted(values)
    for user in range(9):
        assert log[partition_of(user, PARTITIONS)]


def test_bulk_gives_up_on_a_broker_that_is_not_there(topics: Topics) -> None:
    publisher = BulkPublisher(NOBODY, patience=0.3)
    for n in range(5):
        publisher.publish(topics.ratings, b"1", b"%d" % n)
    with pytest.raises(BrokerUnavailable, match=r"5 of 5 messages .*Connection refused"):
        publisher.flush()
    assert (publisher.acknowledged, publisher.failed) == (0, 5)


def test_bulk_reports_what_is_refused(config: dict[str, str], topics: Topics) -> None:
    publisher = BulkPublisher(config)
    with pytest.raises(ConfigurationError, match="too large"):
        publisher.publish(topics.ratings, b"1", bytes(3 << 20))


def test_bulk_withdraws_what_an_error_interrupts(topics: Topics) -> None:
    def interrupted() -> Any:
        with BulkPublisher(NOBODY) as publisher:
            publisher.publish(topics.ratings, b"1", b"")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # at once: nobody waits for the broker
        interrupted()


def test_bulk_gives_up_on_a_broker_that_lost_its_log(
    mortal: tuple[Supervisor, dict[str, str]], topics: Topics
) -> None:
    supervisor, config = mortal
    ensure_topics(config, topics, 1, 1)
    publisher = BulkPublisher(config, patience=5)
    publisher.publish(topics.ratings, b"1", b"0")
    publisher.flush()
    supervisor.child("broker").kill()
    supervisor.wait_ready("broker", timeout=60)
    ensure_topics(config, topics, 1, 1)
    publisher.publish(topics.ratings, b"1", b"1")
    with pytest.raises(BrokerUnavailable, match="1 of 2 messages"):
        publisher.flush()
