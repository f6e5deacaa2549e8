"""Commands: the API."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from infra.settings import Settings

app = typer.Typer()

# s for requests under way when the process is told to stop: longer than the longest may take, which
# waits ten for an event to be applied.
GRACE = 15

# s for which a connection may be idle, by default 5. Many clients keep theirs as long, so that now
# and then one was closed just as its next request came.
KEEP_ALIVE = 9

# s for which a thread may hold the GIL while another one wants it, by default 0.005. A request asks
# for it a dozen times; while a model is loaded beside it, each time would take that long.
SWITCH_INTERVAL = 0.0005


@app.command("api")
def serve() -> None:
    """Serve the REST API on FRESHET_API_HOST:FRESHET_API_PORT, until stopped.

    Where others than this machine reach it, it needs a key first: `freshet keys create`.
    """
    import asyncio
    import sys
    from contextlib import ExitStack

    from api.deps import connect
    from api.main import create_app
    from api.observe import NameRequest
    from api.serving.memory import one_heap
    from infra.connections import PatientConfig, PatientServer, connection_limit
    from infra.logs import set_up
    from infra.settings import load_settings
    from stream.collector import tune_collector

    one_heap()
    settings = load_settings()
    set_up(settings.log_format, NameRequest())
    if settings.api_keys_needed:
        asyncio.run(_check_keys(settings))
    services = connect(settings)
    tune_collector()
    sys.setswitchinterval(SWITCH_INTERVAL)
    config = PatientConfig(
        create_app(services, settings.cors_origins),
        host=settings.api_host,
        port=settings.api_port,  # 0: any free one, which uvicorn logs
        loop="uvloop",
        access_log=False,  # the API logs requests by route
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=KEEP_ALIVE,
        limit=connection_limit(),
    )
    with ExitStack() as stack:
        if settings.otel_enabled:
            from infra.tracing import traced

            stack.enter_context(traced("freshet-api"))
        PatientServer(config, services.stopping, settings.api_drain_seconds).run()


@app.command("openapi")
def openapi(
    out: Annotated[Path | None, typer.Option(help="A file; otherwise it is printed.")] = None,
) -> None:
    """Say what the API is, for those who generate a client of it."""
    import json

    from api.main import openapi_document

    text = json.dumps(openapi_document(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text)


async def _check_keys(settings: "Settings") -> None:
    """Raises ConfigurationError where nobody could ask the API anything, or anybody everything."""
    from api.guard.keys import KeyStore
    from stream.contracts.errors import ConfigurationError

    store = KeyStore(settings.redis())
    try:
        keys = await store.all()
    finally:
        await store.close()
    if all(key.expired for key in keys.values()):
        raise ConfigurationError(
            f"the API asks for keys on {settings.api_host}, and there is no valid one: create one "
            "with `freshet keys create --scope admin`, or set FRESHET_API_HOST=127.0.0.1 and leave "
            "FRESHET_API_AUTH unset to serve this machine alone"
        )
