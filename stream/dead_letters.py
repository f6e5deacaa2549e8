"""Records that break their contract: buried with where they are from, listed, and sent back.

A dead letter is the original value, byte for byte; its headers say what else the original was and
what is wrong with it. Its key is its origin, so that one buried twice counts once. That one was
sent back is noted under the same key in the same topic: the log alone knows. The original's time is
part of the origin, for a topic that was deleted and created again has the same places once more.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from producers.admin import partition_count
from producers.connection import Connection
from producers.publisher import Message as Outgoing
from producers.publisher import Publisher
from stream.log import DeadLetter

# Seconds without an answer after which the broker is called unavailable.
TIMEOUT: Final = 30.0

# Letters sent back before it is noted: those sent again if the process dies in between, which
# changes nothing, for a rating replaces itself.
CHUNK: Final = 200

# ms that the broker waits for more at the end of the topic; by default 500.
FETCH_WAIT: Final = 20

_SENT_BACK: Final = "sent-back"
_REASON: Final = "reason"


@dataclass(frozen=True, slots=True)
class Buried:
    """A dead letter as the topic holds it.

    Attributes:
        origin: what tells it from another; an earlier release put no time into it.
        topic, partition, offset: where the original is.
        timestamp: its time in ms.
        key, value: its bytes.
        reason, detail: why it is dead, in a word and in a sentence.
        sent_back: whether it was sent back.
    """

    origin: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    reason: str
    detail: str
    sent_back: bool


class KafkaDeadLetters:
    """`DeadLetters` in a topic of their own."""

    def __init__(self, publisher: Publisher, topic: str) -> None:
        self._publisher = publisher
        self._topic = topic

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        await self._publisher.send([_encode(self._topic, letter) for letter in letters])


async def send_back(config: Mapping[str, str], topic: str, letters: Sequence[Buried]) -> None:
    """Publish the originals again, to where their keys belong now, and note it.

    Args:
        config: `Settings.librdkafka()`.
        topic: the dead letters' topic.
        letters: what to send back, even what was sent back before.

    Raises BrokerUnavailable; some may then have been sent back and not noted.
    """
    publisher = Publisher(config, TIMEOUT)
    note = [(_SENT_BACK, b"")]
    try:
        for first in range(0, len(letters), CHUNK):
            chunk = letters[first : first + CHUNK]
            await publisher.send([Outgoing(it.topic, it.key, it.value) for it in chunk])
            await publisher.send([Outgoing(topic, it.origin.encode(), None, note) for it in chunk])
    finally:
        await asyncio.to_thread(publisher.close)


def read_dead_letters(
    config: Mapping[str, str], topic: str, timeout: float = TIMEOUT
) -> list[Buried]:
    """Every letter once, in the order in which they were first buried.

    Args:
        config: `Settings.librdkafka()`.
        topic: the dead letters' topic.
        timeout: seconds to wait for an answer.

    Raises BrokerUnavailable, or ConfigurationError where there is no such topic.
    """
    letters: dict[bytes, Message] = {}
    sent_back = set()
    for message in _read(config, topic, timeout):
        key, headers = message.key() or b"", _headers(message)
        if _SENT_BACK in headers:
            sent_back.add(key)
        elif _REASON in headers:  # whatever else is in the topic is none of ours
            letters.setdefault(key, message)
    return [_decode(letter, key in sent_back) for key, letter in letters.items()]


def _encode(topic: str, letter: DeadLetter) -> Outgoing:
    record = letter.record
    headers = {
        _REASON: letter.reason,
        "detail": letter.detail,
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp),
    }
    packed = [(name, text.encode()) for name, text in headers.items()]
    if record.key is not None:
        packed.append(("key", record.key))
    origin = f"{letter.topic}/{letter.partition}/{record.offset}@{record.timestamp}"
    return Outgoing(topic, origin.encode(), record.value, packed)


def _decode(message: Message, sent_back: bool) -> Buried:
    headers = _headers(message)
    return Buried(
        origin=(message.key() or b"").decode(),
        topic=headers["topic"].decode(),
        partition=int(headers["partition"]),
        offset=int(headers["offset"]),
        timestamp=int(headers["timestamp"]),
        key=headers.get("key"),
        value=message.value(),
        reason=headers[_REASON].decode(),
        detail=headers["detail"].decode(),
        sent_back=sent_back,
    )


def _headers(message: Message) -> dict[str, bytes]:
    return cast(dict[str, bytes], dict(message.headers() or ()))


def _read(config: Mapping[str, str], topic: str, timeout: float) -> Iterator[Message]:
    """All messages of a topic, partition by partition as they come."""
    partitions = partition_count(config, topic)
    connection = Connection(config)
    consumer = Consumer(
        connection.config(
            group_id="freshet-dead-letters",  # required, and never joined
            enable_auto_commit=False,
            enable_partition_eof=True,
            auto_offset_reset="earliest",  # where an operator had the first ones deleted
            fetch_wait_max_ms=FETCH_WAIT,
        )
    )
    try:
        for partition in range(partitions):
            consumer.assign([TopicPartition(topic, partition, 0)])
            while (message := consumer.poll(timeout)) is not None:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    break
                else:
                    raise connection.failure(f"reading {topic}", error)
            else:
                raise connection.failure(f"reading {topic}", KafkaError(KafkaError._TIMED_OUT))
    finally:
        consumer.close()
