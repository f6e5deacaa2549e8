"""Dead letters, on a real broker: nothing of the original is lost, and each goes back once."""

import asyncio
from collections.abc import Iterable

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from infra.cli import app
from infra.settings import Settings
from producers.admin import ensure_topics
from producers.publisher import Message, Publisher
from stream.contracts.errors import ConfigurationError
from stream.contracts.events import MAX_EVENT_BYTES
from stream.contracts.topics import Topics, partition_of
from stream.dead_letters import Buried, KafkaDeadLetters, read_dead_letters, send_back
from stream.log import DeadLetter, Record
from stream.log_reader import KafkaLog

PARTITIONS = 4
USER = 7
TIME = 123_456  # ms

# A mebibyte less the room that Kafka's own limit needs for the rest of the record.
LARGEST = (1 << 20) - 1000


@pytest.fixture
def config(broker: str, topics: Topics) -> dict[str, str]:
    config = {"bootstrap.servers": broker}
    ensure_topics(config, topics, PARTITIONS, 1)
    return config


def letter(
    topics: Topics,
    offset: int,
    value: bytes | None = b"{",
    key: bytes | None = b"%d" % USER,
    reason: str = "malformed_json",
    time: int = TIME,
) -> DeadLetter:
    return DeadLetter(topics.ratings, 1, Record(offset, time, key, value), reason, "said “so”")


async def bury(config: dict[str, str], topics: Topics, letters: Iterable[DeadLetter]) -> None:
    publisher = Publisher(config)
    try:
        await KafkaDeadLetters(publisher, topics.dead_letters).bury(list(letters))
    finally:
        await asyncio.to_thread(publisher.close)


async def read_back(config: dict[str, str], topics: Topics) -> list[tuple[int, Record]]:
    """Everything in the `ratings` topic."""
    log = KafkaLog(config, topics.ratings)
    return [
        (partition, record)
        for partition in range(PARTITIONS)
        async for chunk in log.read(partition, 0, await log.end(partition))
        for record in chunk
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"7", b"{"),
        (b"7", b""),
        (b"7", None),
        (None, b"\xff\x00 no text"),
        (b"", b"x" * (MAX_EVENT_BYTES + 1)),
        (b"\xfe" * 300, b"x" * LARGEST),
    ],
    ids=["plain", "no bytes", "no value", "no key", "oversized", "largest"],
)
async def test_what_is_buried_is_read_as_it_was(
    config: dict[str, str], topics: Topics, key: bytes | None, value: bytes | None
) -> None:
    await bury(config, topics, [letter(topics, 5, value, key)])
    assert read_dead_letters(config, topics.dead_letters) == [
        Buried(
            origin=f"{topics.ratings}/1/5@123456",
            topic=topics.ratings,
            partition=1,
            offset=5,
            timestamp=TIME,
            key=key,
            value=value,
            reason="malformed_json",
            detail="said “so”",
            sent_back=False,
        )
    ]


async def test_one_buried_twice_is_one(config: dict[str, str], topics: Topics) -> None:
    await bury(config, topics, [letter(topics, 5), letter(topics, 6)])
    await bury(config, topics, [letter(topics, 5), letter(topics, 9)])
    origins = [found.origin for found in read_dead_letters(config, topics.dead_letters)]
    assert origins == [f"{topics.ratings}/1/{offset}@{TIME}" for offset in (5, 6, 9)]


async def test_a_topic_made_anew_has_letters_of_its_own(
    config: dict[str, str], topics: Topics
) -> None:
    def found() -> list[tuple[bytes | None, bool]]:
        return [(it.value, it.sent_back) for it in read_dead_letters(config, topics.dead_letters)]

    await bury(config, topics, [letter(topics, 5, b"old")])
    await send_back(config, topics.dead_letters, read_dead_letters(config, topics.dead_letters))
    await bury(config, topics, [letter(topics, 5, b"new", time=TIME + 1)])
    assert found() == [(b"old", True), (b"new", False)]


async def test_letters_of_an_earlier_release_have_no_time_in_their_origin(
    config: dict[str, str], topics: Topics
) -> None:
    told = {"reason": "empty", "detail": "", "topic": topics.ratings, "timestamp": f"{TIME}"}
    publisher = Publisher(config)
    for offset in (5, 6):
        headers = [*told.items(), ("partition", "1"), ("offset", str(offset))]
        packed = [(name, text.encode()) for name, text in headers]
        key = f"{topics.ratings}/1/{offset}".encode()
        await publisher.send([Message(topics.dead_letters, key, b"", packed)])
    await publisher.send([Message(topics.dead_letters, key, None, [("sent-back", b"")])])
    await asyncio.to_thread(publisher.close)
    found = read_dead_letters(config, topics.dead_letters)
    assert [it.sent_back for it in found] == [False, True]
    await send_back(config, topics.dead_letters, found[:1])
    assert all(it.sent_back for it in read_dead_letters(config, topics.dead_letters))


async def test_what_others_put_into_the_topic_is_passed_over(
    config: dict[str, str], topics: Topics
) -> None:
    publisher = Publisher(config)
    await publisher.send([Message(topics.dead_letters, b"k", b"v")])
    await asyncio.to_thread(publisher.close)
    await bury(config, topics, [letter(topics, 5)])
    assert [found.offset for found in read_dead_letters(config, topics.dead_letters)] == [5]


async def test_sent_back_byte_for_byte_to_where_the_key_belongs(
    config: dict[str, str], topics: Topics
) -> None:
    await bury(config, topics, [letter(topics, 5, b"one"), letter(topics, 6, b"y" * LARGEST)])
    await send_back(config, topics.dead_letters, read_dead_letters(config, topics.dead_letters))
    found = await read_back(config, topics)
    home = partition_of(USER, PARTITIONS)
    assert [(partition, record.key) for partition, record in found] == [(home, b"7")] * 2
    assert [record.value for _, record in found] == [b"one", b"y" * LARGEST]
    # Buried once more by a worker that processes the batch again, it stays sent back.
    await bury(config, topics, [letter(topics, 5, b"one")])
    assert all(it.sent_back for it in read_dead_letters(config, topics.dead_letters))


class TestCommands:
    @pytest.fixture(autouse=True)
    def environment(
        self, config: dict[str, str], topics: Topics, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = Settings(
            kafka_bootstrap_servers=config["bootstrap.servers"], kafka_topic_prefix=topics.prefix
        )
        for name, value in settings.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("COLUMNS", "200")

    def test_list_shows_and_counts(self, config: dict[str, str], topics: Topics) -> None:
        letters = [letter(topics, offset, b"[red]" * 100) for offset in range(3)]
        letters.append(letter(topics, 3, reason="misrouted"))
        asyncio.run(bury(config, topics, letters))
        shown = CliRunner().invoke(app, ["dlq", "list", "--limit", "2"]).output
        assert f"{topics.ratings}/1/3@{TIME} " in shown
        assert f"{topics.ratings}/1/1@" not in shown
        assert "(500 bytes)" in shown
        assert "[red][red]" in shown
        assert "4 in all, 3 malformed_json, 1 misrouted" in shown
        some = CliRunner().invoke(app, ["dlq", "list", "--reason", "misrouted"]).output
        assert "1 in all, 1 misrouted" in some

    def test_requeue_sends_each_back_once(self, config: dict[str, str], topics: Topics) -> None:
        letters = [letter(topics, offset, b"%d" % offset) for offset in range(3)]
        letters.append(letter(topics, 3, b"3", reason="misrouted"))
        asyncio.run(bury(config, topics, letters))

        def requeue(*options: str) -> str:
            return CliRunner().invoke(app, ["dlq", "requeue", *options]).output

        assert "sent back 1; 0 " in requeue("--reason", "misrouted")
        assert "sent back 1; 0 " in requeue("--origin", f"{topics.ratings}/1/2@{TIME}")
        assert "sent back 2; 2 " in requeue("--all")
        assert "sent back 0; 4 " in requeue("--all")
        found = asyncio.run(read_back(config, topics))
        assert [record.value for _, record in found] == [b"3", b"2", b"0", b"1"]
        listed = CliRunner().invoke(app, ["dlq", "list"]).output
        assert listed.count("yes") == 4

    def test_requeue_has_to_be_told_which(self, topics: Topics) -> None:
        assert isinstance(CliRunner().invoke(app, ["dlq", "requeue"]).exception, ConfigurationError)
        unknown = CliRunner().invoke(app, ["dlq", "requeue", "--origin", "ratings/0/1"])
        assert "ratings/0/1" in str(unknown.exception)


@pytest.mark.apache
async def test_what_is_buried_after_the_first_were_deleted(
    apache_broker: str, topics: Topics
) -> None:
    config = {"bootstrap.servers": apache_broker}
    ensure_topics(config, topics, PARTITIONS, 1)
    await bury(config, topics, [letter(topics, 1), letter(topics, 2)])
    deleted = TopicPartition(topics.dead_letters, 0, 2)
    admin = AdminClient({**config})
    admin.delete_records([deleted])[deleted].result(10)
    assert read_dead_letters(config, topics.dead_letters) == []
    await bury(config, topics, [letter(topics, 3)])
    assert [it.offset for it in read_dead_letters(config, topics.dead_letters)] == [3]
