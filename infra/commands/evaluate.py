"""Commands: how good the models are."""

import typer

app = typer.Typer()
evaluate = typer.Typer(no_args_is_help=True, help="How good the models are.")
app.add_typer(evaluate, name="eval")


@evaluate.command()
def offline() -> None:
    """Measure models on ratings that they have not seen, as the literature does."""
