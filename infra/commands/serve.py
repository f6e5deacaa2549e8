"""Commands: the API."""

import typer

app = typer.Typer()

GRACE = 3  # s for requests under way when the process is told to stop


@app.command("api")
def serve() -> None:
    """Serve the REST API on FRESHET_API_HOST:FRESHET_API_PORT, until stopped."""
    import logging

    import uvicorn

    from api.deps import connect
    from api.main import create_app
    from infra.settings import load_settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = load_settings()
    uvicorn.run(
        create_app(connect(settings)),
        host=settings.api_host,
        port=settings.api_port,  # 0: any free one, which uvicorn logs
        loop="uvloop",
        http="httptools",
        access_log=False,  # the metrics count requests
        log_config=None,
        timeout_graceful_shutdown=GRACE,
    )
