"""Rebuilds the live state of a partition from the log, beside the workers and their readers.

The new state grows in a generation of its own, which one commit makes the live one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final, TypeVar

from stream.bulk import PartitionFold, Progress
from stream.coldstart import ItemVectors, records_of
from stream.contracts.errors import InvalidEvent, StoreUnavailable
from stream.contracts.events import decode_model, decode_movie
from stream.contracts.keys import Position
from stream.log import DeadLetters, LogRecord, PartitionLog
from stream.processor import Processor
from stream.store import Batch, StateStore

# Times to catch up with a live state that moves on before switching to a position behind it. Each
# has only what arrived during the one before to do, so that more would hardly help.
ROUNDS: Final = 10

# Dead letters published before their acknowledgements are waited for, each time with a deadline.
BURIED_AT_ONCE: Final = 1_000

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild of one partition did.

    Attributes:
        events: how many rating events it folded.
        users: how many users had any when it switched.
        dead: records it buried, by reason.
    """

    events: int
    users: int
    dead: Counter[str]


async def rebuild(
    store: StateStore,
    log: PartitionLog,
    dead_letters: DeadLetters,
    *,
    topic: str,
    partition: int,
    partitions: int,
    items: ItemVectors | None,
    progress: Progress,
) -> Rebuilt:
    """Make one partition's state anew from the log and switch to it.

    1. Number a generation, higher than any: nobody else writes there.
    2. Fold the log up to its end, or to the live position.
    3. Write what changed into the generation.
    4. Bury what the live state has not got to and so may not have been buried. As in processing,
       before the commit.
    5. Switch, if live is still what it was. Where it moved on, catch up with it (steps 2 to 5),
       lest what has been answered is taken back. If it keeps moving, switch all the same.
    6. Drop what was live, and apply what the log has beyond the switch: no event may come to make
       a worker do it.

    Readers and workers see one generation or the other. Raises BrokerUnavailable, or
    StoreUnavailable also where the state was emptied or replaced meanwhile.
    """
    fold = PartitionFold(log, topic, partition, partitions, progress)
    dead: Counter[str] = Counter()
    # 1.
    topic_id = await log.topic_id()
    live = await store.position(partition)
    generation = await store.new_generation(partition)
    processed = live.next_offset if live and live.topic_id == topic_id else 0
    # 2.
    target = max(await log.end(partition), processed)
    for rounds in count():
        changed, letters = await fold.advance(target)
        # 3.
        await store.write(
            partition, generation, Batch(records_of(changed.users, items), changed.movies)
        )
        # 4.
        unburied = [letter for letter in letters if letter.record.offset >= processed]
        for first in range(0, len(unburied), BURIED_AT_ONCE):
            await dead_letters.bury(unburied[first : first + BURIED_AT_ONCE])
        dead.update(letter.reason for letter in unburied)
        # 5.
        new = Position(generation, topic_id, fold.next_offset)
        now = await store.commit(partition, live, new, Batch())
        if now == new:
            break
        if now is None or now == live or now.generation > generation:
            raise StoreUnavailable(
                f"the state of partition {partition} was emptied or replaced during the rebuild: "
                "run `freshet rebuild` again"
            )
        live = now
        if rounds < ROUNDS:
            target = now.next_offset
    # 6.
    await store.drop_before(partition, generation)
    processor = Processor(
        store,
        log,
        dead_letters,
        topic=topic,
        partitions=partitions,
        items=lambda: items,
        known_movies=frozenset,
    )
    rest = await processor.catch_up(partition)
    return Rebuilt(fold.events + rest.applied, len(fold.state.users), dead + rest.dead)


async def rebuild_catalogue(store: StateStore, movies: PartitionLog, models: PartitionLog) -> int:
    """Put the catalogue and the model to serve back from the topics that they are kept in.

    Returns how many invalid records were left out. Raises BrokerUnavailable or StoreUnavailable.
    """
    invalid = 0
    async for records in movies.read(0, await movies.begin(0), await movies.end(0)):
        events, left_out = _valid(decode_movie, records)
        await store.put_movies(events)
        invalid += left_out
    async for records in models.read(0, await models.begin(0), await models.end(0)):
        promotions, left_out = _valid(decode_model, records)
        for promotion in promotions[-1:]:
            await store.put_model(promotion)
        invalid += left_out
    return invalid


def _valid(
    decode: Callable[[bytes | None], E], records: Sequence[LogRecord]
) -> tuple[list[E], int]:
    events = []
    for record in records:
        with suppress(InvalidEvent):  # it is counted, and the command says how many were
            events.append(decode(record.value))
    return events, len(records) - len(events)
