"""Faust with one event per batch of records instead of one per record.

A Faust worker spends about 100 us of scheduling on every event. Here an event is what a fetch found
of a topic, up to `BATCH_RECORDS` records, so that the cost is paid once a batch. A partition's part
of it is the unit of our atomic commit; there are several where little is going on, and they share
what asking the store costs.

This leans on private parts of faust-streaming 0.15.3, which is why that version is pinned:
`Consumer._drain_messages` is replaced, and `Consumer.ack` with what it marks: `_acked` and
`_acked_index`. Where this differs from what it replaces, on purpose:

- Only `finish` acknowledges. Faust itself acknowledges what its streams skip while a rebalance is
  under way, as if it had been processed.
- All offsets of a batch are marked when it is finished, none when it is handed over. Marked early,
  they outlive a rebalance and let a later commit pass records that nobody processed.
- What is handed over is one fetch, and the next one only when all of it is finished. Records wait
  in the fetcher and make the next batches larger, instead of in a stream's queue, whose overflow
  stops fetching for up to a second.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from aiokafka.structs import ConsumerRecord
from faust.transport.consumer import RecordMap
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT, EventT, ServiceT
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

logger = logging.getLogger(__name__)

# Records a batch: a commit's fixed cost is spread thin, and one batch takes tens of milliseconds,
# which is how long a record that has just arrived may wait behind it.
BATCH_RECORDS: Final = 1000

# Records a fetch, over all partitions.
FETCH_RECORDS: Final = 8 * BATCH_RECORDS

# Bytes that a fetch waits for, some 400 ratings, and milliseconds after which it takes what there
# is. Three records cost about as much as thirty, here and in the broker: at a thousand ratings a
# second, waiting takes 60% off a worker that is answered as soon as there is one, and adds 10 ms to
# the time until half of them are in the state. The embedded broker looks for new records only after
# half of the wait. Faust's own 1,500 milliseconds cost half a second of freshness.
FETCH_BYTES: Final = 64 << 10
FETCH_WAIT: Final = 20

# Seconds after which a fetch that found nothing looks up whether it should stop.
POLL: Final = 1.0

# Where to begin with a partition that was just assigned; None: where its group left off.
StartOffset = Callable[[TP], Awaitable[int | None]]


class Progress(NamedTuple):
    """How a partition is getting on.

    Attributes:
        fetched: the next offset to be handed over.
        end: the offset that the partition's next record will get, as of the last fetch.
        unfinished: records handed over that are not finished.
    """

    fetched: int
    end: int
    unfinished: int


class BatchMessage(ConsumerMessage):
    """Records of some partitions of one topic as one Faust message.

    Attributes:
        value: by partition, consecutive records, one at least. `partition`, `offset` and
            `timestamp` are those of the first partition's last record.
        covers: by partition, the offsets that are done when this batch is. They begin before the
            first record where compaction or a transaction left a hole.
        finished: whether it was processed.
    """

    def __init__(
        self,
        batch: Mapping[TP, Sequence[ConsumerRecord]],
        covers: Mapping[TP, range],
        generation: int,
    ) -> None:
        tp, records = next(iter(batch.items()))
        last = records[-1]
        super().__init__(
            topic=tp.topic,
            partition=tp.partition,
            offset=last.offset,
            timestamp=last.timestamp / 1000,
            timestamp_type=last.timestamp_type,
            headers=None,
            key=None,
            value=cast(Any, {tp.partition: records for tp, records in batch.items()}),
            checksum=None,
            tp=tp,
            generation_id=generation,
        )
        self.covers = covers
        self.finished = False

    def unfinished(self, tp: TP) -> int:
        """How many records of a partition are under way in it."""
        batches = cast(Mapping[int, Sequence[Any]], self.value)
        return len(batches[tp.partition]) if tp in self.covers else 0

    def on_final_ack(self, consumer: Any) -> bool:
        return self.finished and super().on_final_ack(consumer)


class BatchSchema(faust.Schema[Any, Any]):
    """Hands the records on as they are: whoever processes them decodes them."""

    def loads_value(self, app: AppT, message: Any, **_: Any) -> Any:  # noqa: ARG002
        return message.value


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes = FETCH_BYTES  # read when it starts; Faust has no settings for it
        consumer._fetch_max_wait_ms = FETCH_WAIT
        return consumer


class BatchConsumer(driver.Consumer):
    """Faust's aiokafka consumer, in batches."""

    transport: "BatchTransport"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unfinished: set[BatchMessage] = set()
        self._all_finished = asyncio.Event()

    def finish(self, event: EventT[Any]) -> None:
        """The batch of this event is processed: its offsets may be committed."""
        message = cast(BatchMessage, event.message)
        message.finished = True
        event.ack()
        self._unfinished.discard(message)
        if not self._unfinished:
            self._all_finished.set()

    def ack(self, message: Any) -> bool:
        """As if each record had been a message of its own."""
        message.acked = True
        self._unacked_messages.discard(message)
        for tp, covers in cast(BatchMessage, message).covers.items():
            committed, index = self._committed_offset[tp] or 0, self._acked_index[tp]
            done = set(covers[max(committed - covers.start, 0) :]) - index
            index |= done
            self._acked[tp].extend(done)
        notify(self._waiting_for_ack)
        return True

    async def progress(self) -> dict[TP, Progress]:
        """How the assigned partitions are getting on; those not fetched from yet are left out."""
        found = {}
        for tp in self.assignment():
            with suppress(IllegalStateError):  # revoked meanwhile
                fetched, end = await self.position(tp), self.highwater(tp)
                if fetched is not None and end is not None:
                    unfinished = sum(it.unfinished(tp) for it in self._unfinished)
                    found[tp] = Progress(fetched, end, unfinished)
        return found

    async def perform_seek(self) -> None:
        """Go to where each assigned partition begins. Faust calls it after every rebalance."""
        await super().perform_seek()
        await self.resume(self.assignment())

    async def resume(self, tps: Iterable[TP]) -> None:
        """Go to the start offset of these partitions."""
        starts = {tp: await self.transport.start_offset(tp) for tp in sorted(tps)}
        for tp, start in starts.items():
            where = "where its group left off" if start is None else f"offset {start}"
            logger.info("%s, partition %d: reading from %s", *tp, where)
        await self.seek_wait({tp: start for tp, start in starts.items() if start is not None})

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow.wait())
                generation = self.app.consumer_generation_id
                fetched, _ = await self._wait_next_records(POLL)
                if not await self._hand_over(fetched or {}, generation):
                    await self._begin_anew()
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    async def _hand_over(self, fetched: RecordMap, generation: int) -> bool:
        """Give every batch to its stream and wait until all are finished.

        Returns False where it left something out: a rebalance came in between, and it cannot be
        known if that was fetched before or after.
        """
        self._all_finished.clear()
        self._unfinished.clear()
        for batch in batches_of(fetched):
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return False
            message = BatchMessage(batch, self._cover(batch), generation)
            self._unfinished.add(message)
            self._all_finished.clear()  # those before may be finished by now
            await self.callback(message)
        if self._unfinished:
            await self.wait_first(self._all_finished.wait(), self.suspend_flow.wait())
        return True

    def _cover(self, batch: Mapping[TP, Sequence[ConsumerRecord]]) -> dict[TP, range]:
        """The offsets from after those handed over before, by partition."""
        covers = {}
        for tp, records in batch.items():
            read, first, last = self._read_offset[tp], records[0].offset, records[-1].offset
            covers[tp] = range(first if read is None else min(read + 1, first), last + 1)
            self._read_offset[tp] = last
        return covers

    async def _begin_anew(self) -> None:
        """Read what was left out once more. A rebalance seeks, but maybe before it was fetched."""
        await self.wait(self.can_resume_flow.wait())
        if self.assignment():
            with suppress(IllegalStateError):  # the next rebalance has begun, and will seek
                await self.perform_seek()


def batches_of(fetched: RecordMap) -> Iterator[dict[TP, Sequence[ConsumerRecord]]]:
    """What was fetched, in batches of one topic and at most `BATCH_RECORDS` records.

    A partition's records keep their order, and each batch has those of a partition in one piece.
    """
    filling: defaultdict[str, dict[TP, Sequence[ConsumerRecord]]] = defaultdict(dict)
    for tp, records in fetched.items():
        for first in range(0, len(records), BATCH_RECORDS):
            piece, batch = records[first : first + BATCH_RECORDS], filling[tp.topic]
            if batch and sum(map(len, batch.values())) + len(piece) > BATCH_RECORDS:
                yield filling.pop(tp.topic)
            filling[tp.topic][tp] = piece
    yield from filling.values()


async def _group_offset(_: TP) -> int | None:
    return None


class BatchTransport(driver.Transport):
    """Plugged in by `app.transport = BatchTransport(app.conf.broker_consumer, app)`.

    Attributes:
        start_offset: where to begin with a partition that was just assigned.
    """

    Consumer = BatchConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.start_offset: StartOffset = _group_offset
