"""Command: renew the model that is served."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.contracts.errors import FreshetError

if TYPE_CHECKING:
    from rich.console import Console

    from training.refresh import Report

app = typer.Typer()


@app.command()
def refresh(
    every: Annotated[
        str | None, typer.Option(help="Again and again, such as every 15m; else once.")
    ] = None,
    min_events: Annotated[int, typer.Option(min=1, help="Fewer new ones are waited for.")] = 10_000,
    drifted_events: Annotated[
        int | None,
        typer.Option(
            min=1, help="So few are enough where what is served has drifted: see `freshet drift`."
        ),
    ] = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="Train from nothing, not from the champion.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="An experiment, such as experiments/default.toml.")
    ] = None,
    gate: Annotated[
        Path | None,
        typer.Option(help="What a challenger must show: TOML of training.gate_policy.GatePolicy."),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Write them there too, for node exporter's textfile collector: *.prom."),
    ] = None,
) -> None:
    """Train on the archive of the log, from the champion; serve what comes of it if it is better.

    Both are examined on the newest events. It runs in a process of its own, with one thread and at
    a low priority; one at a time, wherever it is started. With --every a failure is told, and the
    next run cleans up.
    """
    import logging

    from rich.console import Console

    from infra.durations import seconds
    from infra.refresher import Order, apart, check, repeat
    from infra.refresher import refresh as run
    from infra.settings import load_settings
    from training.refresh_metrics import RefreshMetrics

    console, counted = Console(), RefreshMetrics()
    settings, order = load_settings(), Order(min_events, cold, config, gate, drifted_events)
    check(settings, order)

    def once() -> None:
        try:
            report = apart(run, settings, order)
            counted.ended(report)
            _say(report, console)
        except Exception:
            counted.failed()
            raise
        finally:
            if metrics is not None:
                counted.write(metrics)

    def come_what_may() -> None:
        try:
            once()
        except FreshetError as error:
            console.print(f"[bold red]error:[/] {error}", highlight=False)
        except Exception:  # whatever it was, the next run must still happen
            logging.getLogger(__name__).exception("the refresh failed, trying again")

    if every is None:
        once()
    else:
        repeat(come_what_may, seconds(every))


def _say(report: "Report", console: "Console") -> None:
    from rich.table import Table

    for remark in report.remarks:
        console.print(f"[yellow]{remark}[/]", highlight=False)
    decision = report.decision
    if decision is None:
        console.print(
            f"{report.new:,} new events, {report.behind:,} of the log not archived: too few",
            highlight=False,
        )
        return
    table = Table("figure", "value", title=f"{decision.challenger} of {report.new:,} new events")
    for figure, value in decision.figures.items():
        table.add_row(figure, f"{value:,.4f}")
    console.print(table)
    for reason in decision.reasons:
        console.print(reason, highlight=False)
    verdict = "is promoted" if decision.promoted else "is [b]not[/] promoted"
    console.print(f"model [b]{decision.challenger}[/] {verdict}", highlight=False)
    console.print(
        ", ".join(f"{step} {taken:.1f} s" for step, taken in report.seconds.items()),
        highlight=False,
    )
