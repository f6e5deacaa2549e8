"""Commands: what concerns one person."""

from typing import TYPE_CHECKING, Annotated

import typer

from stream.contracts.events import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from api.intake.forgetting import Forgotten
    from infra.forgotten import Finding
    from infra.settings import Settings

app = typer.Typer()
user = typer.Typer(no_args_is_help=True, help="What concerns one person.")
app.add_typer(user, name="user")

APPLIED_WITHIN = 10_000  # ms: with a healthy worker it takes some 10 ms


@user.command()
def forget(
    user_id: Annotated[int, typer.Argument(min=1, max=MAX_ID, help="Whom.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Look for what is left in every place; 1 if any is.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the archive with --verify.")
    ] = 60.0,
) -> None:
    """Forget a person: ratings, features, vector, and the answers and lists kept for them.

    The wish is in the log then, and archive and next training set follow it. To forget somebody
    unknown, or again, changes nothing; who rates afterwards is new.
    """
    import asyncio

    from rich.console import Console

    from infra.settings import load_settings

    if asyncio.run(_forget(load_settings(), user_id, verify, wait, Console())):
        raise typer.Exit(1)


async def _forget(
    settings: "Settings", user_id: int, verify: bool, wait: float, console: "Console"
) -> int:
    """In how many places something is left; 0 where that was not to be verified."""
    import asyncio
    from functools import partial

    from api.intake.forgetting import Forgetting
    from api.intake.idempotency import IdempotentRequests
    from api.lists.freshness import LogPosition
    from infra.forgotten import Places, findings
    from producers.admin import partition_count
    from producers.publisher import Publisher
    from stream.archive import Archive
    from stream.contracts.topics import Topics
    from stream.dead_letters import read_dead_letters
    from stream.experiments.store import RedisExperiments
    from stream.log_reader import KafkaLog
    from stream.redis_store import RedisStore

    kafka, topics = settings.librdkafka(), Topics(settings.kafka_topic_prefix)
    partitions = partition_count(kafka, topics.ratings)
    store, idempotent = RedisStore(settings.redis()), IdempotentRequests(settings.redis())
    outcomes, publisher = RedisExperiments(settings.redis()), Publisher(kafka)
    try:
        forgetting = Forgetting(store, publisher, topics, idempotent)
        forgotten = await forgetting.forget(user_id, APPLIED_WITHIN)
        _say(console, forgotten)
        if not verify:
            return 0
        places = Places(
            store=store,
            idempotent=idempotent,
            log=KafkaLog(kafka, topics.ratings),
            partitions=partitions,
            archive=Archive.open(settings.archive),
            dead_letters=partial(read_dead_letters, kafka, topics.dead_letters),
            outcomes=outcomes.holding,
            patience=wait,
        )
        found = await findings(places, user_id, LogPosition.parse(forgotten.position))
        return _report(console, user_id, found)
    finally:
        await asyncio.to_thread(publisher.close)
        await idempotent.close()
        await outcomes.close()
        await store.close()


def _say(console: "Console", forgotten: "Forgotten") -> None:
    console.print(
        f"the wish of user {forgotten.user_id} is in the log at {forgotten.position}; there were "
        f"{forgotten.ratings:,} ratings in the live state, {forgotten.answers:,} stored answers, "
        f"and {forgotten.lists:,} kept lists"
    )
    if not forgotten.applied:
        console.print(
            "[yellow]the live state has not applied it yet:[/] a worker does as soon as one runs"
        )


def _report(console: "Console", user_id: int, found: "Sequence[Finding]") -> int:
    """Print what was found; returns in how many places something is left."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("place", f"what it has of user {user_id}", "")
    for it in found:
        verdict = "[bold red]left[/]" if it.left else "[green]as it ought[/]"
        table.add_row(it.place, escape(it.says), verdict)
    console.print(table)
    left = sum(finding.left for finding in found)
    if left:
        console.print(
            f"[bold red]something is left of user {user_id}[/] in {left} of {len(found)} places"
        )
    else:
        console.print(f"[green]nothing is left of user {user_id}[/] but what the log says above")
    return left
