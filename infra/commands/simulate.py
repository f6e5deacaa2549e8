"""Command: what an experiment would have said of people who have done everything already."""

from typing import TYPE_CHECKING, Annotated

import typer

from infra.commands.data import DataDir, DatasetOption, Lenient, Movies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console
    from rich.progress import Progress

    from infra.simulation import Past, Seen


def simulate(
    dataset: DatasetOption = "latest-small",
    data_dir: DataDir = None,
    movies: Movies = None,
    lenient: Lenient = False,
    control: Annotated[str, typer.Option(help="A model of the lab.")] = "popularity",
    treatment: Annotated[str, typer.Option(help="A model of the lab.")] = "ease",
    runs: Annotated[int, typer.Option(min=1, help="Of A against B.")] = 100,
    same_runs: Annotated[int, typer.Option(min=1, help="Of A against A.")] = 400,
    effect: Annotated[float, typer.Option(min=0.001, help="The uplift it is made to find.")] = 0.2,
    share: Annotated[float, typer.Option(help="The last share of all ratings is replayed.")] = 0.5,
    k: Annotated[int, typer.Option(min=1, help="Movies a list.")] = 10,
) -> None:
    """Replay people as if both variants had been tried on them, looked at after every list.

    A list is clicked if it has what the person rated next. Of A against B the difference ought to
    be found; of A against A, which differ in nothing, in 5% of the runs at most: else this fails.
    """
    from rich.console import Console
    from rich.progress import Progress

    from api.experiments.statistics import ALPHA
    from infra.commands.data import load_dataset
    from infra.simulation import replayed
    from stream.contracts.errors import FreshetError
    from training.baselines.catalogue import create
    from training.dataset import Ratings
    from training.prequential import Questions
    from training.split import split_by_time

    console = Console()
    loaded = load_dataset(dataset, data_dir, movies, lenient)
    ratings = Ratings.from_tables(loaded.ratings, loaded.movies, loaded.tags)
    questions = Questions.of(ratings, split_by_time(ratings, test=share).test_from, 1)
    variants = [create(control), create(treatment)]
    with Progress(console=Console(stderr=True)) as bar:
        asking = bar.add_task("lists of both variants", total=2 * len(questions))
        for model in variants:
            model.fit(questions.known)
        past = replayed(
            questions,
            variants,
            k,
            lambda at, done, of: bar.update(asking, completed=at * of + done),
        )
        same = _repeated(bar, "A against A", past.same(), same_runs, effect)
        other = _repeated(bar, "A against B", past, runs, effect)
    _print(console, past, {f"A against A, {same_runs}": same, f"A against B, {runs}": other})
    if same.always > ALPHA:
        raise FreshetError(
            f"a difference was seen in {same.always:.1%} of {same_runs} runs without one, which is "
            f"over {ALPHA:.0%}"
        )


def _repeated(bar: "Progress", title: str, past: "Past", runs: int, effect: float) -> "Seen":
    from infra.simulation import repeat

    task = bar.add_task(title, total=runs)
    return repeat(past, runs, effect, lambda done, _: bar.update(task, completed=done))


def _print(console: "Console", past: "Past", results: "Mapping[str, Seen]") -> None:
    from rich.table import Table

    people = len(set(past.users.tolist()))
    console.print(
        f"{len(past.users):,} lists for {people:,} people; clicked: control "
        f"{past.clicked[0].mean():.2%}, treatment {past.clicked[1].mean():.2%}, uplift "
        f"{past.uplift:+.1%}",
        highlight=False,
    )
    table = Table(
        "runs",
        "seen, at any look",
        "fixed test, at any look",
        "fixed test, at the end",
        "interval held",
        "lists until seen (median)",
        "uplift in the end",
    )
    for title, seen in results.items():
        table.add_row(
            title,
            f"{seen.always:.1%}",
            f"{seen.peeking:.1%}",
            f"{seen.once:.1%}",
            f"{seen.covered:.1%}",
            f"{seen.impressions:,.0f}",
            f"{seen.uplift:+.1%}",
        )
    console.print(table)
