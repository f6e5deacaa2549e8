"""Command: eval report: every protocol on the small data sets, as a page with pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.commands import evaluations
from infra.commands.data import DataDir

if TYPE_CHECKING:
    from training.dataset import Ratings
    from training.report.parts import OnProgress

app = typer.Typer()

PAGE = Path("docs/evaluation.md")


@app.command()
def report(
    datasets: Annotated[
        str, typer.Option(help="Releases, files or directories, separated by commas.")
    ] = "latest-small,100k",
    data_dir: DataDir = None,
    models: evaluations.Models = "",
    out: Annotated[Path, typer.Option(help="The page; pictures go to a folder beside it.")] = PAGE,
) -> None:
    """Measure all models in both protocols and write what came of it, with plots.

    What was measured before is taken from there. Interrupted in any way, the same command goes on
    after the last model that was finished; a model that fails is left out, and the page says why.
    """
    from infra.commands.data import load_dataset
    from infra.settings import load_settings
    from training import renewal
    from training.baselines.catalogue import MODELS
    from training.dataset import Ratings
    from training.report.page import Study, write_page
    from training.report.parts import measure, parts
    from training.report.trade_offs import TradeOffs
    from training.runs import Runs
    from training.trade_off import ASKED, question

    runs = Runs(load_settings().evaluations)
    chosen = evaluations.words(models) or list(MODELS)
    studies: dict[str, Study] = {}
    for argument in evaluations.words(datasets):
        loaded = load_dataset(argument, data_dir, None, False)
        ratings = Ratings.from_tables(loaded.ratings, loaded.movies, loaded.tags)
        if ratings.digest in studies:
            other = studies[ratings.digest].dataset
            typer.echo(f"{argument} is what was measured as {other}: left out", err=True)
            continue
        name = loaded.source.name
        wanted = parts(name, argument, chosen)
        with _progress(name, sum(len(part.models) for part in wanted.values())) as on_progress:
            measured = measure(ratings, name, wanted, runs, on_progress)
        asked = [runs.find(question(name, ratings, way)) for way in ASKED]
        found = TradeOffs(
            f"freshet eval diversity --dataset {argument}", [one for one in asked if one]
        )
        studies[ratings.digest] = Study(
            name,
            _described(ratings),
            len(ratings.movies),
            measured,
            found,
            runs.find(renewal.question(name, ratings, renewal.Plan())),
        )
    command = f"freshet eval report --datasets {','.join(evaluations.words(datasets))}"
    if models:
        command += f" --models {','.join(chosen)}"
    write_page(list(studies.values()), out, command)
    failed = sum(len(part.failed) for study in studies.values() for part in study.measured.values())
    typer.echo(f"wrote {out}" + (f"; {failed} models failed, it says why" if failed else ""))
    if failed:
        raise typer.Exit(1)


def _described(ratings: "Ratings") -> str:
    import numpy as np

    movies, users = len(np.unique(ratings.rows)), len(np.unique(ratings.users))
    days = ratings.times.astype("datetime64[ms]").astype("datetime64[D]")
    return (
        f"{len(ratings):,} ratings of {movies:,} movies by {users:,} users, {days.min()} to "
        f"{days.max()}; the catalogue has {len(ratings.movies):,}."
    )


@contextmanager
def _progress(dataset: str, models: int) -> Iterator["OnProgress"]:
    """A bar over all models of all parts, and one for the step of the present one."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        whole = bar.add_task(dataset, total=models)
        present = bar.add_task("")

        def show(part: str, model: str, stage: str, done: int, of: int) -> None:
            if stage == "finished":
                bar.advance(whole)
            bar.update(present, description=f"{part}, {model}: {stage}", completed=done, total=of)

        yield show
