"""Commands: the API's keys."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from rich.console import Console

    from api.guard.keys import ApiKey, KeyStore

    T = TypeVar("T")

app = typer.Typer()
keys = typer.Typer(no_args_is_help=True, help="Who may ask the API, and what.")
app.add_typer(keys, name="keys")


@keys.command()
def create(
    scope: Annotated[
        Literal["read", "write", "admin"], typer.Option(help="Each may do what those before may.")
    ],
    name: Annotated[str, typer.Option(help="Whose it is.")] = "",
    expires: Annotated[str | None, typer.Option(help="After so long, such as 90d.")] = None,
    rate: Annotated[str | None, typer.Option(help="Of its own, such as '100/s burst 200'.")] = None,
) -> None:
    """Create a key. It is shown once: Redis has only its hash."""
    from api.guard.keys import new_key
    from api.guard.limits import quota
    from infra.durations import seconds

    if rate is not None:
        quota(rate)
    key, token = new_key(name, scope, seconds(expires) if expires else None, rate)
    _run(lambda store: store.put(key))
    _show(key, token)


@keys.command("list")
def list_keys() -> None:
    """Show the keys; `freshet_api_key_requests_total` says which are used."""
    from rich.console import Console
    from rich.table import Table

    found = _run(lambda store: store.all())
    table = Table("id", "name", "scope", "rate", "created (UTC)", "expires (UTC)")
    for key in sorted(found.values(), key=lambda key: key.created):
        ends = "never" if key.expires is None else _time(key.expires)
        table.add_row(
            *(key.key_id, key.name, key.scope, key.rate or "", _time(key.created)),
            f"[red]{ends}[/]" if key.expired else ends,
        )
    Console().print(table)


@keys.command()
def revoke(key_id: Annotated[str, typer.Argument(help="Which, by its id.")]) -> None:
    """End a key: within a second no API takes it."""
    _run(lambda store: store.revoke(key_id))
    _console().print(f"key {key_id} is revoked")


@keys.command()
def rotate(
    key_id: Annotated[str, typer.Argument(help="Which, by its id.")],
    overlap: Annotated[
        str, typer.Option(help="For so long the old one is good as well, such as 24h.")
    ] = "24h",
) -> None:
    """Create a key in the place of another, which ends when its user has had time to change."""
    from infra.durations import seconds

    lives = seconds(overlap)
    key, token = _run(lambda store: store.rotate(key_id, lives))
    _show(key, token)
    _console().print(f"key {key_id} ends in {overlap}, or when it was to end before that")


def _show(key: "ApiKey", token: str) -> None:
    console = _console()
    console.print(f"key {key.key_id}, scope {key.scope}; it is not shown again:")
    console.print(token, soft_wrap=True)


def _run(ask: "Callable[[KeyStore], Awaitable[T]]") -> "T":
    import asyncio

    from api.guard.keys import KeyStore
    from infra.settings import load_settings

    async def asking() -> "T":
        store = KeyStore(load_settings().redis())
        try:
            return await ask(store)
        finally:
            await store.close()

    return asyncio.run(asking())


def _time(ms: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(ms / 1000, UTC):%F %T}"


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)
