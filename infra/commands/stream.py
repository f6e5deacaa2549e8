"""Commands: the stream worker and the dead letters."""

from typing import Annotated

import typer

app = typer.Typer()
dlq = typer.Typer(no_args_is_help=True, help="The dead letters: records that are not valid events.")
app.add_typer(dlq, name="dlq")

VALUE_SHOWN = 60  # characters of a value in the table


@app.command()
def worker() -> None:
    """Run a stream worker until it is stopped; several share the partitions."""
    import logging
    from contextlib import ExitStack

    from infra.logs import set_up
    from infra.settings import load_settings
    from stream.worker import run

    settings = load_settings()
    set_up(settings.log_format)
    for chatty in ("aiokafka", "faust", "mode"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    with ExitStack() as stack:
        if settings.otel_enabled:
            from infra.tracing import traced

            stack.enter_context(traced("freshet-worker"))
        run(settings)


@dlq.command("list")
def list_letters(
    limit: Annotated[int, typer.Option(min=1, help="Show the latest this many.")] = 50,
    reason: Annotated[str | None, typer.Option(help="Only those that died of this.")] = None,
) -> None:
    """Show the dead letters, latest last."""
    from collections import Counter
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from infra.settings import load_settings
    from stream.contracts.topics import Topics
    from stream.dead_letters import read_dead_letters

    settings = load_settings()
    topic = Topics(settings.kafka_topic_prefix).dead_letters
    letters = [
        letter
        for letter in read_dead_letters(settings.librdkafka(), topic)
        if reason in (None, letter.reason)
    ]
    origin = Column("origin", no_wrap=True)  # `requeue` takes it as it is here
    table = Table(origin, "time (UTC)", "reason", "detail", "value", "sent back")
    for letter in letters[-limit:]:
        time = datetime.fromtimestamp(letter.timestamp / 1000, UTC)
        value = (letter.value or b"").decode(errors="backslashreplace")
        if len(value) > VALUE_SHOWN:
            value = f"{value[:VALUE_SHOWN]}... ({len(letter.value or b''):,} bytes)"
        table.add_row(
            letter.origin,
            f"{time:%F %T}",
            letter.reason,
            escape(letter.detail),
            escape(value),
            "yes" if letter.sent_back else "no",
        )
    console = Console()
    console.print(table)
    counts = Counter(letter.reason for letter in letters).most_common()
    console.print(
        f"{len(letters)} in all", *(f"{count} {word}" for word, count in counts), sep=", "
    )


@dlq.command()
def requeue(
    origin: Annotated[
        list[str] | None, typer.Option(help="Only these, as `list` shows them.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    reason: Annotated[str | None, typer.Option(help="Only those that died of this.")] = None,
) -> None:
    """Send dead letters back to their topic, byte for byte, each of them once.

    What is still invalid ends up here again, under its new place in the topic. What is of people
    who have asked to be forgotten since stays here.
    """
    import asyncio

    from rich.console import Console

    from infra.settings import load_settings
    from producers.admin import partition_count
    from stream.contracts.errors import ConfigurationError
    from stream.contracts.topics import Topics
    from stream.dead_letters import read_dead_letters, send_back
    from stream.log_reader import KafkaLog
    from stream.wishes import kept_buried

    if not (origin or every or reason):
        raise ConfigurationError("say which: --origin, --reason or --all")
    settings = load_settings()
    config, topics = settings.librdkafka(), Topics(settings.kafka_topic_prefix)
    letters = read_dead_letters(config, topics.dead_letters)
    if unknown := set(origin or ()) - {letter.origin for letter in letters}:
        raise ConfigurationError(f"no such dead letter: {', '.join(sorted(unknown))}")
    wanted = [
        letter
        for letter in letters
        if (not origin or letter.origin in origin) and reason in (None, letter.reason)
    ]
    waiting = [letter for letter in wanted if not letter.sent_back]
    log, partitions = KafkaLog(config, topics.ratings), partition_count(config, topics.ratings)
    kept = asyncio.run(kept_buried(log, partitions, waiting))
    free = [letter for letter in waiting if letter.origin not in kept]
    asyncio.run(send_back(config, topics.dead_letters, free))
    console = Console()
    for which, why in kept.items():
        console.print(f"{which} stays: {why}", highlight=False)
    console.print(f"sent back {len(free)}; {len(wanted) - len(waiting)} had been sent back before")
