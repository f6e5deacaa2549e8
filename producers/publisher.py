"""Publishing: an acknowledgement means that the broker has the message on all in-sync replicas.

Two ways over an idempotent producer, which retries without doubling or reordering a message:
`Publisher` for whoever waits for the position of what they sent, `BulkPublisher` for as many
messages as possible.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Final, NamedTuple, Self, cast

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Report

from producers.admin import MAX_DEAD_LETTER_BYTES
from producers.connection import Connection
from stream.contracts import tracing
from stream.contracts.topics import LIBRDKAFKA_PARTITIONER

POLL: Final = 0.1  # s: how long one wait for delivery reports blocks
ROOM: Final = 0.01  # s: how long to wait for room in a full queue, about 5,000 messages' time
PATIENCE: Final = 30.0  # s without an acknowledgement, which a broker's restart may well take
HESITATION: Final = 1.0  # s without an acknowledgement that nobody need hear of

_IDEMPOTENT: Final = {
    "enable_idempotence": True,
    "acks": "all",
    "partitioner": LIBRDKAFKA_PARTITIONER,
    "message_max_bytes": MAX_DEAD_LETTER_BYTES,
}

_PRODUCER_UNHARMED: Final = {KafkaError._QUEUE_FULL, KafkaError.MSG_SIZE_TOO_LARGE}


class Message(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Delivered(NamedTuple):
    """Where the broker put a message."""

    topic: str
    partition: int
    offset: int


class Publisher:
    """Sends a few messages at once and waits for the broker; for event loops.

    Args:
        config: `Settings.librdkafka()`.
        timeout: seconds in which the broker must acknowledge. librdkafka looks for overdue
            messages once a second, so a failure may take a second longer.
    """

    def __init__(self, config: Mapping[str, str], timeout: float = 5.0) -> None:
        self._config = config
        self._timeout = timeout
        self._line = _Line(config, timeout)

    async def send(self, messages: Sequence[Message]) -> list[Delivered]:
        """Publish, and return where each message is, in the order of `messages`.

        Messages of one key keep their order, also over several calls.

        Raises:
            BrokerUnavailable: not everything was acknowledged in time. Nothing of it is sent any
                more, but what was under way then may arrive. Sending it again under the same
                event ids is safe, because a rating replaces itself.
            ConfigurationError: the broker refuses the client or the message.
        """
        if not messages:
            return []
        line = self._line
        delivery = _Delivery(len(messages))
        with tracing.span("publish", "producer"):
            origin = tracing.headers()
            for index, (topic, key, value, headers) in enumerate(messages):
                report = partial(delivery.report, index)
                told: list[tuple[str, str | bytes | None]] = [*headers, *origin]
                try:
                    line.producer.produce(topic, value, key, on_delivery=report, headers=told)
                except BufferError:
                    report(KafkaError(KafkaError._QUEUE_FULL), None)
                except KafkaException as error:
                    report(error.args[0], None)
            await delivery.complete
        if delivery.failures:
            if any(error.code() not in _PRODUCER_UNHARMED for error in delivery.failures):
                self._replace(line)
            raise line.connection.failure(
                f"publishing {len(delivery.failures)} of {len(messages)} messages",
                delivery.failures[0],
            )
        return delivery.delivered

    async def check(self) -> None:
        """Returns if the broker answers within `timeout`; raises as `send` does."""
        line = self._line
        try:
            # Asked for one topic by name, a broker might create it.
            await asyncio.to_thread(line.producer.list_topics, timeout=self._timeout)
        except KafkaException as error:
            raise line.connection.failure("asking", error.args[0]) from error

    def _replace(self, line: "_Line") -> None:
        """A fatal error ends a producer, and a broker that forgot it may refuse it for ever."""
        if self._line is line:
            line.close()
            self._line = _Line(self._config, self._timeout)

    def close(self) -> None:
        """Returns once everything sent is acknowledged or has failed."""
        self._line.close()
        self._line.join()


class _Line(threading.Thread):
    """A producer and the thread that serves its delivery reports, until all have come."""

    def __init__(self, config: Mapping[str, str], timeout: float) -> None:
        super().__init__(name="publisher", daemon=True)
        self.connection = Connection(config)
        self.producer = Producer(
            self.connection.config(
                **_IDEMPOTENT, linger_ms=0, delivery_timeout_ms=int(timeout * 1000)
            )
        )
        self._open = True
        self.start()

    def run(self) -> None:
        while self._open or len(self.producer):
            with suppress(KafkaException):  # fatal; every message then fails with its reason
                self.producer.poll(POLL)

    def close(self) -> None:
        self._open = False


class _Delivery:
    """The delivery reports of one `send`. They come on the line's thread."""

    def __init__(self, expected: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._left = expected
        self.complete: asyncio.Future[None] = self._loop.create_future()
        self.delivered = [Delivered("", -1, -1)] * expected
        self.failures: list[KafkaError] = []

    def report(self, index: int, error: KafkaError | None, report: Report | None) -> None:
        with self._lock:
            if error is not None:
                self.failures.append(error)
            elif report is not None:
                place = (report.topic(), report.partition(), report.offset())
                self.delivered[index] = Delivered(*cast(tuple[str, int, int], place))
            self._left -= 1
            if self._left:
                return
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.complete.done():  # the sender may have been cancelled
            self.complete.set_result(None)


class BulkPublisher:
    """Publishes in order and without a gap, or says that it could not.

    Whatever happens, what is in a partition is the beginning of what was published to it:
    librdkafka retries without end and stops for good rather than leave something out, and once the
    broker has acknowledged nothing for `patience` seconds the rest is withdrawn.

    Args:
        config: `Settings.librdkafka()`.
        patience: seconds without any acknowledgement after which to give up.
    """

    def __init__(self, config: Mapping[str, str], patience: float = PATIENCE) -> None:
        self._connection = Connection(config)
        self._producer = Producer(
            {"on_delivery": self._report}
            | self._connection.config(
                **_IDEMPOTENT,
                enable_gapless_guarantee=True,
                delivery_timeout_ms=0,  # for ever: `patience` decides
                delivery_report_only_error=True,
                linger_ms=20,
                compression_type="lz4",
            )
        )
        self._patience = patience
        self._published = 0
        self._moved = (0, time.monotonic())  # acknowledged, and since when
        self._failure: KafkaError | None = None
        self.failed = 0

    @property
    def waiting(self) -> int:
        """How many messages the broker has not acknowledged yet."""
        return len(self._producer)

    @property
    def acknowledged(self) -> int:
        """How many messages the broker has acknowledged."""
        return self._published - self.waiting - self.failed

    @property
    def trouble(self) -> str:
        """What keeps the broker from acknowledging anything, if it has been a while."""
        stands_still = time.monotonic() - self._moved[1] > HESITATION and self.waiting
        return self._connection.complaint if stands_still else ""

    def publish(self, topic: str, key: bytes, value: bytes, partition: int = -1) -> None:
        """Queue a message, waiting while the queue is full; the key decides without `partition`.

        Raises as `poll` does.
        """
        while True:
            try:
                self._producer.produce(topic, value, key, partition)
            except BufferError:
                self.poll(ROOM)
            except KafkaException as error:
                self._give_up(error.args[0])
            else:
                self._published += 1
                return

    def poll(self, timeout: float = 0.0) -> None:
        """Serve delivery reports for up to `timeout` seconds.

        Raises:
            BrokerUnavailable: something published was not acknowledged; nothing more will be sent.
            ConfigurationError: the broker refuses the client or the message.
        """
        try:
            self._producer.poll(timeout)
        except KafkaException as error:
            self._give_up(error.args[0])
        acknowledged, now = self.acknowledged, time.monotonic()
        if self._failure is not None:
            self._give_up(self._failure)
        if acknowledged != self._moved[0] or not self.waiting:
            self._moved = acknowledged, now
        elif now - self._moved[1] > self._patience:
            self._give_up(KafkaError(KafkaError._TIMED_OUT))

    def flush(self) -> None:
        """Returns once everything published is acknowledged; raises as `poll` does."""
        while self.waiting:
            self.poll(ROOM)
        self.poll()

    def _report(self, error: KafkaError | None, _: Report) -> None:
        if error is not None:
            self._failure = self._failure or error
            self.failed += 1

    def _give_up(self, reason: KafkaError) -> None:
        acknowledged = self.acknowledged
        self._producer.purge()
        with suppress(KafkaException):  # of the gap that the purge leaves
            self._producer.flush(POLL)
        raise self._connection.failure(
            f"publishing {self._published - acknowledged:,} of {self._published:,} messages",
            reason,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.flush()
        else:
            self._producer.purge()
