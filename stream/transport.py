"""Faust with one event per partition batch instead of one per record.

A Faust worker spends about 100 us of scheduling on every event. Here an event is a run of up to
`BATCH_RECORDS` records of one partition, so that the cost is paid once a batch, and a batch is also
the unit of our atomic commit.

This leans on private parts of faust-streaming 0.15.3, which is why that version is pinned:
`Consumer._drain_messages` is replaced and `Consumer._add_gap` called. Where this differs from what
it replaces, on purpose:

- Only `finish` acknowledges. Faust itself acknowledges what its streams skip while a rebalance is
  under way, as if it had been processed.
- A batch's earlier offsets are marked when it is finished, not when it is handed over. Marked
  early, they outlive a rebalance and let a later commit pass records that nobody processed.
- What is handed over is one fetch, and the next one only when all of it is finished. Records wait
  in the fetcher and make the next batches larger, instead of in a stream's queue, whose overflow
  stops fetching for up to a second.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
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

logger = logging.getLogger(__name__)

# Records a batch: a commit's fixed cost is spread thin, and one batch takes tens of milliseconds,
# which is how long a record that has just arrived may wait behind it.
BATCH_RECORDS: Final = 1000

# Records a fetch, over all partitions.
FETCH_RECORDS: Final = 8 * BATCH_RECORDS

# Milliseconds a fetch waits for the first record. The embedded broker looks for new records only
# after half of this time, so it bounds how late an idle worker sees an event. Ten cost 5% of a core
# on either side when nothing happens; Faust's own 1,500 cost half a second of freshness.
FETCH_WAIT: Final = 10

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
    """Consecutive records of one partition as one Faust message.

    Attributes:
        value: the records, one at least. `offset` and `timestamp` are the last one's.
        covers_from: the first offset that is done when this batch is: that of the first record, or
            an earlier one where compaction or a transaction left a hole before it.
        finished: whether it was processed.
    """

    def __init__(
        self, tp: TP, records: Sequence[ConsumerRecord], covers_from: int, generation: int
    ) -> None:
        last = records[-1]
        super().__init__(
            topic=tp.topic,
            partition=tp.partition,
            offset=last.offset,
            timestamp=last.timestamp / 1000,
            timestamp_type=last.timestamp_type,
            headers=None,
            key=None,
            value=cast(Any, records),
            checksum=None,
            tp=tp,
            generation_id=generation,
        )
        self.covers_from = covers_from
        self.finished = False

    def on_final_ack(self, consumer: Any) -> bool:
        return self.finished and super().on_final_ack(consumer)


class BatchSchema(faust.Schema[Any, Any]):
    """Hands the records on as they are: whoever processes them decodes them."""

    def loads_value(self, app: AppT, message: Any, **_: Any) -> Any:  # noqa: ARG002
        return message.value


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT  # read when it starts; Faust has no setting for it
        return consumer


class BatchConsumer(driver.Consumer):
    """Faust's aiokafka consumer, in batches."""

    transport: "BatchTransport"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unfinished: set[BatchMessage] = set()
        self._all_finished = asyncio.Event()

    async def finish(self, event: EventT[Any]) -> None:
        """The batch of this event is processed: its offsets may be committed."""
        message = cast(BatchMessage, event.message)
        message.finished = True
        await self._add_gap(message.tp, message.covers_from, message.offset - 1)
        event.ack()
        self._unfinished.discard(message)
        if not self._unfinished:
            self._all_finished.set()

    async def progress(self) -> dict[TP, Progress]:
        """How the assigned partitions are getting on; those not fetched from yet are left out."""
        found = {}
        for tp in self.assignment():
            with suppress(IllegalStateError):  # revoked meanwhile
                fetched, end = await self.position(tp), self.highwater(tp)
                if fetched is not None and end is not None:
                    batches = (it.value for it in self._unfinished if it.tp == tp)
                    found[tp] = Progress(fetched, end, sum(len(batch or ()) for batch in batches))
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
        for tp, records in fetched.items():
            for first in range(0, len(records), BATCH_RECORDS):
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return False
                batch = records[first : first + BATCH_RECORDS]
                read = self._read_offset[tp]
                begin = batch[0].offset if read is None else min(read + 1, batch[0].offset)
                message = BatchMessage(tp, batch, begin, generation)
                self._read_offset[tp] = message.offset
                self._unfinished.add(message)
                self._all_finished.clear()  # those before may be finished by now
                await self.callback(message)
        if self._unfinished:
            await self.wait_first(self._all_finished.wait(), self.suspend_flow.wait())
        return True

    async def _begin_anew(self) -> None:
        """Read what was left out once more. A rebalance seeks, but maybe before it was fetched."""
        await self.wait(self.can_resume_flow.wait())
        if self.assignment():
            with suppress(IllegalStateError):  # the next rebalance has begun, and will seek
                await self.perform_seek()


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
