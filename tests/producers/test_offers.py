"""What nobody waits for: it comes if the broker is there, and is counted as lost if it is not."""

import json

import pytest
from confluent_kafka import Consumer, TopicPartition

from producers import offers
from producers.admin import ensure_topics
from producers.offers import Offers
from producers.publisher import Message
from stream.contracts.topics import Topics, partition_of

NOBODY = {"bootstrap.servers": "127.0.0.1:1"}
PARTITIONS = 3


def test_messages_come_in_order_in_the_partition_of_their_key(broker: str, topics: Topics) -> None:
    config = {"bootstrap.servers": broker}
    ensure_topics(config, topics, PARTITIONS, 1)
    lost: list[int] = []
    line = Offers(config, lost.append)
    for number in range(50):
        line.offer(Message(topics.exposures, b"42", json.dumps(number).encode()))
    line.close()
    assert lost == []
    consumer = Consumer({**config, "group.id": "test", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topics.exposures, partition_of(42, PARTITIONS), 0)])
    values: list[int] = []
    while len(values) < 50:
        message = consumer.poll(10)
        assert message is not None
        if message.error() is None:
            values.append(json.loads(message.value() or b""))
    consumer.close()
    assert values == list(range(50))


def test_a_full_queue_and_an_absent_broker_lose_and_say_so(
    monkeypatch: pytest.MonkeyPatch, topics: Topics
) -> None:
    monkeypatch.setattr(offers, "ROOM", 10)
    monkeypatch.setattr(offers, "CLOSING", 0.05)
    lost: list[int] = []
    line = Offers(NOBODY, lost.append)
    for _ in range(15):
        line.offer(Message(topics.exposures, b"42", b"{}"))
    assert lost == [1] * 5
    line.close()
    assert sum(lost) == 15
