"""Command: the archiver."""

from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def archive(
    once: Annotated[
        bool, typer.Option("--once", help="Archive what the log has now, and end.")
    ] = False,
) -> None:
    """Write the log of ratings to the archive until stopped; a second one stands by."""
    import logging

    from infra.settings import load_settings
    from stream.archiver import run, run_once

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = load_settings()
    if once:
        run_once(settings)
    else:
        run(settings)
