"""MLflow, as training and evaluation use it: connections, experiments, evaluations as runs.

MLflow is imported where it is used: importing it takes two seconds.
"""

import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from stream.contracts.errors import Unavailable
from training.runs import Result

EVALUATIONS: Final = "freshet-evaluations"  # the experiment
RESULT: Final = "result.json"  # the artifact: `Result.summary`

_SQLITE: Final = "sqlite:///"


@contextmanager
def connected(uri: str) -> Iterator[Any]:
    """An MlflowClient; what it raises in the block becomes Unavailable.

    Args:
        uri: of MLflow; an SQLite database is created where there is none.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table it makes
    try:
        yield MlflowClient(uri, uri)
    except MlflowException as error:
        raise Unavailable(f"MLflow at {uri} failed: {error}") from error


def experiment(client: Any, uri: str, name: str) -> str:
    """The experiment's id. Beside a local database its files are kept beside it too."""
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    files = None
    if uri.startswith(_SQLITE):
        database = Path(uri.removeprefix(_SQLITE)).absolute()
        files = (database.parent / "mlruns").as_uri()
    return str(client.create_experiment(name, files))


def track(result: Result, uri: str) -> bool:
    """Record a model's result as a run; False where the same question has a finished one already.

    A figure at k, such as ``ndcg@10``, is the metric ``ndcg`` at step k, which MLflow draws as a
    curve, with ``ndcg_low`` and ``ndcg_high`` where it has an interval. Others keep their names.

    Raises:
        Unavailable: MLflow does not answer.
    """
    from mlflow.entities import Metric, Param, RunTag

    question = result.question
    params = {"protocol": question.protocol, "dataset": question.dataset, "model": question.model}
    params |= {name: _text(value) for name, value in question.settings.items()}
    choices = result.details.get("choices", [])
    for fold, choice in enumerate(choices, 1):
        of = f"fold{fold}." if len(choices) > 1 else ""
        params |= {f"{of}{name}": _text(x) for name, x in choice["hyperparameters"].items()}
    tags = {"question": question.key, "data_hash": question.digest}
    with connected(uri) as client:
        home = experiment(client, uri, EVALUATIONS)
        recorded = f"tags.question = '{question.key}' and attributes.status = 'FINISHED'"
        if client.search_runs([home], recorded, max_results=1):
            return False
        run = client.create_run(home, run_name=f"{question.model} {question.dataset}").info.run_id
        now = int(time.time() * 1000)
        client.log_batch(
            run,
            [Metric(name, value, now, step) for name, value, step in _metrics(result)],
            [Param(name, value) for name, value in params.items()],
            [RunTag(name, value) for name, value in tags.items()],
        )
        client.log_text(run, json.dumps(result.summary, indent=2), RESULT)
        client.set_terminated(run)
    return True


def _metrics(result: Result) -> Iterator[tuple[str, float, int]]:
    """Name, value and step of all that are numbers."""
    intervals = result.details.get("intervals", {})
    for figure, value in result.figures.items():
        name, _, k = figure.partition("@")
        low, high = intervals.get(figure, (math.nan, math.nan))
        for suffix, number in (("", value), ("_low", low), ("_high", high)):
            if math.isfinite(number):
                yield name + suffix, float(number), int(k or 0)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
