"""Commands: models asked for every event to come, in the lab and through the production path."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.commands import evaluations
from infra.commands.data import DataDir, DatasetOption, Lenient, Movies

if TYPE_CHECKING:
    from rich.console import Console

    from infra.settings import Settings
    from producers.datasets import Dataset
    from training.prequential import Questions

app = typer.Typer()

FIGURES = ("hit_rate", "ndcg", "mrr")  # shown unless told
DIFFERENT = 20  # disagreements printed at most

# What `infra.served.Agreement.counts` counts.
COUNTED = ("questions", "in the answer", "equal", "but for rounding", "different")


@app.command()
def prequential(
    dataset: DatasetOption = "latest-small",
    data_dir: DataDir = None,
    movies: Movies = None,
    lenient: Lenient = False,
    models: evaluations.Models = "",
    state: Annotated[
        str, typer.Option(help="What users are known by: as of now, midnight, the training.")
    ] = "fresh,daily,frozen",
    k: evaluations.Cuts = evaluations.CUTS,
    test: Annotated[float, typer.Option(help="The share of all ratings that is asked for.")] = 0.1,
    relevant_from: Annotated[
        float, typer.Option(min=0.5, max=5, help="Stars from which a rating is asked for.")
    ] = 4,
    tune_for: evaluations.TunedFor = "ndcg@10",
    reference: evaluations.Reference = "popularity",
    figures: Annotated[
        str, typer.Option(help="Those to show; the first one is compared, such as ndcg@10,mrr@20.")
    ] = "",
    json_file: evaluations.JsonFile = None,
    markdown_file: evaluations.MarkdownFile = None,
    track: evaluations.Track = True,
    production: Annotated[
        int,
        typer.Option(
            min=0,
            help="Instead of models: ask so many of these questions of broker, workers, Redis and "
            "API, and hold the ranks against the lab's.",
        ),
    ] = 0,
    epochs: Annotated[
        int, typer.Option(min=1, help="At most, of the towers that production serves then.")
    ] = 2,
) -> None:
    """Test, then learn: each event is asked for before it is told, with three kinds of state.

    Hyperparameters are chosen on the time before the test. Models that predict stars are left out
    unless they are named. Interrupted in any way, the same command goes on after the last model
    that was finished.
    """
    from rich.console import Console

    from infra.commands.data import load_dataset
    from infra.settings import load_settings
    from training.baselines.catalogue import rankers
    from training.dataset import Ratings
    from training.prequential import STATES, Questions, check_states
    from training.prequential_runs import Protocol
    from training.prequential_runs import evaluate as run
    from training.prequential_summary import Summary
    from training.runs import Runs
    from training.split import split_by_time

    settings, console = load_settings(), Console()
    states = evaluations.words(state)
    check_states(states)
    protocol = Protocol(
        tuple(known for known in STATES if known in states),
        evaluations.cuts(k),
        evaluations.half_stars(relevant_from),
        test=test,
        tuned_for=tune_for,
    )
    cut = evaluations.shown_at(protocol.ks)
    shown = protocol.known(evaluations.words(figures) or [f"{name}@{cut}" for name in FIGURES])
    chosen = evaluations.chosen(models, reference, rankers())
    loaded = load_dataset(dataset, data_dir, movies, lenient)
    ratings = Ratings.from_tables(loaded.ratings, loaded.movies, loaded.tags)
    if production:
        from infra.served import sample

        questions = Questions.of(
            ratings, split_by_time(ratings, test=test).test_from, protocol.relevant_from
        )
        some = sample(questions, production)
        _against_production(settings, loaded, some, epochs, console, json_file, markdown_file)
        return
    with evaluations.progress() as on_progress:
        results = run(
            ratings, loaded.source.name, chosen, protocol, Runs(settings.evaluations), on_progress
        )
    summary = Summary(results, reference, shown)
    for table in summary.tables:
        evaluations.print_table(console, *table)
    evaluations.write(summary.document(), summary.markdown(), json_file, markdown_file)
    if track:
        evaluations.record(results, settings.tracking_uri, console)


def _against_production(
    settings: "Settings",
    loaded: "Dataset",
    questions: "Questions",
    epochs: int,
    console: "Console",
    json_file: Path | None,
    markdown_file: Path | None,
) -> None:
    """Print and write how many ranks agree. Raises FreshetError where some do not."""
    from infra.commands.train import training_progress
    from infra.served import through_production
    from stream.contracts.errors import FreshetError
    from training.tables import markdown

    with training_progress() as on_progress:
        agreement = through_production(
            settings,
            loaded.ratings,
            loaded.movies,
            questions,
            epochs,
            on_progress,
            partial(on_progress, "asking"),
        )
    title = f"{loaded.source.name}: ranks of the API beside the lab's"
    found = agreement.counts()
    columns = ["answered by", *COUNTED]
    rows = [[strategy, *(f"{count:,}" for count in counts)] for strategy, counts in found.items()]
    evaluations.print_table(console, title, columns, rows)
    document = {
        "dataset": loaded.source.name,
        "since": agreement.questions.since,
        "counts": {
            strategy: dict(zip(COUNTED, counts, strict=True)) for strategy, counts in found.items()
        },
    }
    page = f"{title}\n\n{markdown(columns, rows)}"
    evaluations.write(document, page, json_file, markdown_file)
    different = agreement.different
    for index in different[:DIFFERENT].tolist():
        event = agreement.questions.events[index]
        console.print(
            f"user {agreement.questions.log.users[event]}, event {event}: rank "
            f"{agreement.lab[index]} in the lab, {agreement.answers[index].rank} of the API "
            f"({agreement.answers[index].strategy})",
            highlight=False,
        )
    if len(different):
        raise FreshetError(f"{len(different)} of {len(questions)} ranks differ from the lab's")
