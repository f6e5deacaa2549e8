"""Commands: the live state, made anew from the log or compared with it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from stream.archived_log import ArchivedLog
    from stream.bulk import Progress
    from stream.coldstart import ItemVectors
    from stream.contracts.topics import Topics
    from stream.redis_store import RedisStore
    from stream.verify import Verified

app = typer.Typer()

DIFFERENCES_SHOWN = 20


@app.command()
def rebuild() -> None:
    """Make everything in Redis anew from the log, beside running workers and readers.

    What the topic has dropped comes from the archive.
    """
    import asyncio

    asyncio.run(_rebuild())


@app.command()
def verify() -> None:
    """Prove that everything in Redis is what the log gives; else show where not, and exit with 1.

    What the topic has dropped comes from the archive. Workers and readers may go on meanwhile.
    """
    import asyncio

    if asyncio.run(_verify()):
        raise typer.Exit(1)


@dataclass(frozen=True)
class State:
    """What both commands work with."""

    config: dict[str, str]
    topics: "Topics"
    partitions: int
    store: "RedisStore"
    log: "ArchivedLog"
    console: "Console"

    async def items(self) -> "ItemVectors | None":
        """Of the model that serves. Without them the state has no cold-start vectors, and readers
        pool their own."""
        from pathlib import Path

        from stream.coldstart import ItemVectors
        from stream.contracts.errors import ArtifactError

        model = await self.store.model()
        try:
            return None if model is None else ItemVectors.load(Path(model.artifact))
        except ArtifactError as error:
            self.console.print(f"[yellow]no cold-start vectors:[/] {error}")
            return None

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator["Progress"]:
        from rich import progress

        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=self.console) as bar:
            task = bar.add_task(what, total=total)
            yield lambda records: bar.advance(task, records)

    async def length(self) -> int:
        """Records in the log, over all partitions."""
        return sum([await self.log.end(partition) for partition in range(self.partitions)])


@asynccontextmanager
async def _connected() -> AsyncIterator[State]:
    from rich.console import Console

    from infra.settings import load_settings
    from producers.admin import partition_count
    from stream.archive import Archive
    from stream.archived_log import ArchivedLog
    from stream.contracts.topics import Topics
    from stream.log_reader import KafkaLog
    from stream.redis_store import RedisStore

    settings = load_settings()
    config, topics = settings.librdkafka(), Topics(settings.kafka_topic_prefix)
    partitions = partition_count(config, topics.ratings)
    store = RedisStore(settings.redis())
    log = ArchivedLog(KafkaLog(config, topics.ratings), Archive.open(settings.archive))
    try:
        yield State(config, topics, partitions, store, log, Console())
    finally:
        await store.close()


async def _rebuild() -> None:
    from collections import Counter
    from time import monotonic

    from producers.publisher import Publisher
    from stream.dead_letters import KafkaDeadLetters
    from stream.log_reader import KafkaLog
    from stream.rebuild import rebuild, rebuild_catalogue

    async with _connected() as state:
        started = monotonic()
        movies, models = (
            KafkaLog(state.config, topic) for topic in (state.topics.movies, state.topics.models)
        )
        invalid = await rebuild_catalogue(state.store, movies, models)
        await state.store.put_partitions(state.partitions)
        items = await state.items()
        publisher = Publisher(state.config)
        events, users = 0, 0
        dead: Counter[str] = Counter()
        try:
            with state.progress("rebuilding", await state.length()) as progress:
                for partition in range(state.partitions):
                    rebuilt = await rebuild(
                        state.store,
                        state.log,
                        KafkaDeadLetters(publisher, state.topics.dead_letters),
                        topic=state.topics.ratings,
                        partition=partition,
                        partitions=state.partitions,
                        items=items,
                        progress=progress,
                    )
                    events += rebuilt.events
                    users += rebuilt.users
                    dead += rebuilt.dead
        finally:
            publisher.close()
        seconds = monotonic() - started
        state.console.print(
            f"rebuilt {users:,} users from {events:,} events in {seconds:.1f} s "
            f"({events / seconds:,.0f} events/s)"
        )
        for reason, count in dead.most_common():
            state.console.print(f"dead letters, {reason}: {count:,}")
        if invalid:
            state.console.print(f"invalid records of the catalogue left out: {invalid:,}")


async def _verify() -> int:
    from stream.verify import verify

    async with _connected() as state:
        items = await state.items()
        verified = []
        with state.progress("verifying", await state.length()) as progress:
            for partition in range(state.partitions):
                verified.append(
                    await verify(
                        state.store,
                        state.log,
                        topic=state.topics.ratings,
                        partition=partition,
                        partitions=state.partitions,
                        items=items,
                        progress=progress,
                    )
                )
        return _report(state.console, verified)


def _report(console: "Console", verified: list["Verified"]) -> int:
    """Print what was compared; returns how many differences there are."""
    from rich.table import Table

    table = Table("partition", "state at", "log ends at", "users", "movies", "differences")
    for partition, found in enumerate(verified):
        at = "nothing" if found.position is None else f"{found.position.next_offset:,}"
        table.add_row(
            str(partition),
            at,
            f"{found.end:,}",
            f"{found.users:,}",
            f"{found.movies:,}",
            f"{len(found.differences):,}",
        )
    console.print(table)
    differences = [
        (partition, difference)
        for partition, found in enumerate(verified)
        for difference in found.differences
    ]
    if remembered := sum(found.remembered for found in verified):
        console.print(
            f"{remembered:,} counts of movies still include people who were forgotten since, whose "
            "ratings the archive has erased: `freshet rebuild` leaves them out"
        )
    if not differences:
        console.print("[green]the live state is what the log gives[/]")
        return 0
    shown = Table("partition", "what", "by the log", "live")
    for partition, difference in differences[:DIFFERENCES_SHOWN]:
        shown.add_row(str(partition), difference.what, difference.log, difference.live)
    console.print(shown)
    console.print(
        f"[bold red]differences: {len(differences):,}[/], of which the first are shown. "
        "`freshet rebuild` makes the state anew"
    )
    return len(differences)
