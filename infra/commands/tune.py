"""Commands: a search for hyperparameters."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.commands import evaluations
from infra.commands.data import DataDir, DatasetOption, Lenient, Movies

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from rich.console import Console

    from training.study import Study

app = typer.Typer()

EXPERIMENTS = Path("experiments")
WORDS = {"RUNNING": "running", "PRUNED": "given up", "FAIL": "failed"}


@app.command()
def tune(
    model: Annotated[str, typer.Argument(help="Such as towers, ease or sasrec.")] = "towers",
    dataset: DatasetOption = "latest-small",
    data_dir: DataDir = None,
    movies: Movies = None,
    lenient: Lenient = False,
    objective: Annotated[
        str,
        typer.Option(
            help="What is maximised on validation parts: offline NDCG@10, prequential hit@10, or "
            "both, which gives a Pareto front."
        ),
    ] = "both",
    trials: Annotated[
        int, typer.Option(min=1, help="Of the study in all, those before included.")
    ] = 50,
    workers: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 1,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which no trial begins.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A hyperparameter that is not searched, such as recency=0.9."),
    ] = None,
    pruning: Annotated[
        str,
        typer.Option(
            help="How trials are given up after an epoch: median, hyperband or none. Only with a "
            "single objective, and models that learn in epochs."
        ),
    ] = "median",
    seed: Annotated[int, typer.Option(min=0, help="Of what is tried.")] = 0,
    study: Annotated[
        str, typer.Option(help="Its name. [default: of model, data set and objective]")
    ] = "",
    storage: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Directory of studies; machines that share it share the work."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Directory for what was found.")
    ] = EXPERIMENTS,
    track: Annotated[bool, typer.Option(help="Record each trial in MLflow.")] = True,
) -> None:
    """Search for a model's hyperparameters, and write the best as experiments.

    Interrupted in any way, the same command goes on; with more trials it searches on.
    """
    from dataclasses import replace
    from typing import cast

    from rich.console import Console

    from infra.commands.data import load_dataset
    from infra.settings import load_settings
    from training import findings
    from training.dataset import Ratings
    from training.search import Effort, search
    from training.search_space import settled
    from training.study import Objective, Plan, Pruning
    from training.tracking import track_study

    settings, console = load_settings(), Console()
    effort = Effort(trials=trials, workers=workers, timeout=timeout)
    plan = Plan(  # whatever is wrong with it is so before the data are read
        model=model,
        dataset=dataset,
        objective=cast(Objective, objective),
        settled=settled(model, set_ or []),
        pruning=cast(Pruning, pruning),
        seed=seed,
    )
    loaded = load_dataset(dataset, data_dir, movies, lenient)
    ratings = Ratings.from_tables(loaded.ratings, loaded.movies, loaded.tags)
    plan = replace(plan, dataset=loaded.source.name, digest=ratings.digest)
    name = study or f"{model}-{loaded.source.name}-{objective}"
    with _progress(trials) as on_trials:
        found = search(storage or settings.studies, name, plan, ratings, effort, on_trials)
    _print(found, console)
    for path in findings.write(found, out):
        console.print(f"written to {path}", highlight=False)
    if track:
        track_study(found, settings.tracking_uri)
        console.print(f"tracked in {settings.tracking_uri}", highlight=False)


@contextmanager
def _progress(trials: int) -> "Iterator[Callable[[Sequence[FrozenTrial]], None]]":
    """A bar with what has become of the trials, and the best values so far."""
    from optuna.trial import TrialState
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[states]}"),
        TextColumn("best {task.fields[best]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=trials, states="", best="-")

        def show(begun: "Sequence[FrozenTrial]") -> None:
            states = [trial.state for trial in begun]
            complete = [trial.values for trial in begun if trial.state == TrialState.COMPLETE]
            others = (TrialState.RUNNING, TrialState.PRUNED, TrialState.FAIL)
            bar.update(
                task,
                completed=len(complete) + states.count(TrialState.PRUNED),
                states=", ".join(
                    f"{states.count(state)} {WORDS[state.name]}"
                    for state in others
                    if state in states
                ),
                best=" / ".join(f"{max(values):.4f}" for values in zip(*complete, strict=True))
                or "-",
            )

        yield show


def _print(study: "Study", console: "Console") -> None:
    """The front, and the defaults beside it."""
    from training import findings

    several = len(study.objectives) > 1
    title = "The Pareto front" if several else "The best trial"
    evaluations.print_table(
        console, f"{title} of {study.name}", findings.columns(study), findings.rows(study)
    )
    if several and study.plan.pruning != "none":
        console.print(
            "No trial was given up early: with two objectives there is no order of trials.",
            highlight=False,
        )
