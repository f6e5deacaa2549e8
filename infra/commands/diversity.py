"""Command: eval diversity: what diversification of the served list costs and gives."""

import typer

from infra.commands import evaluations
from infra.commands.data import DataDir, DatasetOption

app = typer.Typer()


@app.command()
def diversity(
    dataset: DatasetOption = "latest-small",
    data_dir: DataDir = None,
    markdown_file: evaluations.MarkdownFile = None,
) -> None:
    """Measure the list of two stages with several trade-offs between utility and diversity.

    On validation parts. What was measured before is taken from there, and by eval report too.
    """
    from rich.console import Console

    from infra.commands.data import load_dataset
    from infra.settings import load_settings
    from training.dataset import Ratings
    from training.runs import Runs
    from training.tables import markdown
    from training.trade_off import COLUMNS, TITLES, evaluate, rows

    loaded, runs = load_dataset(dataset, data_dir, None, False), Runs(load_settings().evaluations)
    ratings = Ratings.from_tables(loaded.ratings, loaded.movies, loaded.tags)
    with evaluations.progress() as on_progress:
        results = evaluate(ratings, loaded.source.name, runs, on_progress)
    texts = []
    for result in results:
        title = f"{loaded.source.name}, {TITLES[result.question.settings['asked']]}"
        evaluations.print_table(Console(), title, COLUMNS, rows(result))
        texts.append(f"{title}\n\n{markdown(COLUMNS, rows(result))}")
    evaluations.write({}, "\n".join(texts), None, markdown_file)
