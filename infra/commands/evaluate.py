"""Commands: how good the models are."""

from typing import Annotated

import typer

from infra.commands import diversity, evaluations, prequential, report
from infra.commands.data import DataDir, DatasetOption, Lenient, Movies

app = typer.Typer()
evaluate = typer.Typer(
    no_args_is_help=True,
    short_help="How good the models are.",
    help="How good the models are. What was measured is kept in `evaluations` in FRESHET_HOME and "
    "not measured again, even after a change of a model's code: delete that directory to start "
    "afresh, or the files in it that begin with the model's name.",
)
evaluate.add_typer(prequential.app)
evaluate.add_typer(report.app)
evaluate.add_typer(diversity.app)
app.add_typer(evaluate, name="eval")

FIGURES = ("ndcg", "recall", "precision", "hit_rate", "map", "coverage")  # shown unless told


@evaluate.command()
def offline(
    dataset: DatasetOption = "latest-small",
    data_dir: DataDir = None,
    movies: Movies = None,
    lenient: Lenient = False,
    split: Annotated[
        str,
        typer.Option(
            help="What is held out: random (of each user's ratings), time (the latest), last (of "
            "each user), strong (users whom the model has not met), folds."
        ),
    ] = "random",
    test: Annotated[
        float | None,
        typer.Option(help="The share held out; of the users for strong. [default: 0.2; 0.1]"),
    ] = None,
    folds: Annotated[int | None, typer.Option(help="How many. [default: 5]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of what is random. [default: 0]")] = None,
    models: evaluations.Models = "",
    k: evaluations.Cuts = evaluations.CUTS,
    relevant_from: Annotated[
        float, typer.Option(min=0.5, max=5, help="Stars from which a rating is to be found.")
    ] = 0.5,
    tune_for: evaluations.TunedFor = "ndcg@10",
    reference: evaluations.Reference = "popularity",
    figures: Annotated[
        str, typer.Option(help="Those to show; the first one is compared, such as rmse,ndcg@10.")
    ] = "",
    json_file: evaluations.JsonFile = None,
    markdown_file: evaluations.MarkdownFile = None,
    track: evaluations.Track = True,
) -> None:
    """Measure models on ratings that they have not seen, as the literature does.

    Hyperparameters are chosen on a validation part of what a model may know. Interrupted in any
    way, the same command goes on after the last model that was finished.
    """
    from rich.console import Console

    from infra.commands.data import load_dataset
    from infra.settings import load_settings
    from training.baselines.catalogue import MODELS
    from training.dataset import Ratings
    from training.offline import Protocol
    from training.offline import evaluate as run
    from training.runs import Runs
    from training.split import named
    from training.summary import Summary
    from training.tables import COSTS

    settings, console = load_settings(), Console()
    protocol = Protocol(
        named(split, test=test, folds=folds, seed=seed),
        evaluations.cuts(k),
        evaluations.half_stars(relevant_from),
        tune_for,
    )
    cut = evaluations.shown_at(protocol.ks)
    shown = protocol.known(evaluations.words(figures) or [f"{name}@{cut}" for name in FIGURES])
    chosen = evaluations.chosen(models, reference, MODELS)
    loaded = load_dataset(dataset, data_dir, movies, lenient)
    ratings = Ratings.from_tables(loaded.ratings, loaded.movies, loaded.tags)
    with evaluations.progress() as on_progress:
        results = run(
            ratings, loaded.source.name, chosen, protocol, Runs(settings.evaluations), on_progress
        )
    summary = Summary(results, reference, shown)
    evaluations.print_table(console, summary.title, summary.columns, summary.rows)
    evaluations.print_table(console, "", COSTS, summary.costs)
    evaluations.write(summary.document(), summary.markdown(), json_file, markdown_file)
    if track:
        evaluations.record(results, settings.tracking_uri, console)
