"""Commands: the API."""

import typer

app = typer.Typer()

GRACE = 3  # s for requests under way when the process is told to stop

# s for which a thread may hold the GIL while another one wants it, by default 0.005. A request asks
# for it a dozen times; while a model is loaded beside it, each time would take that long.
SWITCH_INTERVAL = 0.0005


@app.command("api")
def serve() -> None:
    """Serve the REST API on FRESHET_API_HOST:FRESHET_API_PORT, until stopped."""
    import logging
    import sys

    import uvicorn

    from api.deps import connect
    from api.main import create_app
    from infra.settings import load_settings
    from stream.collector import tune_collector

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = load_settings()
    app = create_app(connect(settings))
    tune_collector()
    sys.setswitchinterval(SWITCH_INTERVAL)
    uvicorn.run(
        app,
        host=settings.api_host,
        port=settings.api_port,  # 0: any free one, which uvicorn logs
        loop="uvloop",
        http="httptools",
        access_log=False,  # the metrics count requests
        log_config=None,
        timeout_graceful_shutdown=GRACE,
    )
