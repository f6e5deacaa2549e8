"""MLflow, as the lab uses it: connections, experiments; evaluations and trials as runs.

MLflow is imported where it is used: importing it takes two seconds.
"""

import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stream.contracts.errors import Unavailable
from training.runs import Result

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from training.study import Study

STUDIES: Final = "freshet-studies"  # the experiment
EVALUATIONS: Final = "freshet-evaluations"  # the experiment
RESULT: Final = "result.json"  # the artifact: `Result.summary`

_SQLITE: Final = "sqlite:///"
_DIGEST: Final = 36  # characters of a digest that MLflow takes


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


def log_dataset(client: Any, run: str, name: str, digest: str) -> None:
    """Say what a run's model was fitted on: as its input, and as the tag ``data_hash``.

    Args:
        client: of MLflow.
        run: its id.
        name: of the data set, such as ``ml-100k``.
        digest: SHA-256 in hexadecimal, of which the input has as much as MLflow takes.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"dataset": name, "sha256": digest})
    dataset = Dataset(name, digest[:_DIGEST], "freshet", source)
    client.log_inputs(run, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    client.set_tag(run, "data_hash", digest)


def track_study(study: "Study", uri: str) -> int:
    """Record the finished trials of a study that are not recorded yet. Returns how many.

    Metrics are called as the objectives are: ``offline`` and ``prequential``. ``epoch`` is the same
    after each epoch, where a trial said so. The tag ``state`` is what became of the trial.

    Raises:
        Unavailable: MLflow does not answer.
    """
    finished = [trial for trial in study.trials if trial.state.is_finished()]
    with connected(uri) as client:
        home = experiment(client, uri, STUDIES)
        recorded = _recorded(client, home, study.id)
        new = [trial for trial in finished if str(trial.number) not in recorded]
        for trial in new:
            _track_trial(client, home, study, trial)
    return len(new)


def _recorded(client: Any, home: str, study: str) -> set[str]:
    """The numbers of the trials of a study that are there, whole."""
    numbers: set[str] = set()
    of_study, token = f"tags.study_id = '{study}' and attributes.status = 'FINISHED'", None
    while True:
        page = client.search_runs([home], of_study, page_token=token)
        numbers |= {run.data.tags["trial"] for run in page}
        token = page.token
        if not token:
            return numbers


def _track_trial(client: Any, home: str, study: "Study", trial: "FrozenTrial") -> None:
    from mlflow.entities import Metric, Param, RunTag

    from training.study import SECONDS

    plan, now = study.plan, int(time.time() * 1000)
    values = study.values(trial)
    metrics = [Metric(objective, value, now, 0) for objective, value in values.items()]
    metrics += [Metric("epoch", x, now, step) for step, x in trial.intermediate_values.items()]
    if SECONDS in trial.user_attrs:
        metrics.append(Metric("seconds", trial.user_attrs[SECONDS], now, 0))
    params = {"model": plan.model, "dataset": plan.dataset, **study.hyperparameters(trial)}
    tags = {
        "study": study.name,
        "study_id": study.id,
        "trial": str(trial.number),
        "state": trial.state.name,
    }
    run = client.create_run(home, run_name=f"{study.name} {trial.number}").info.run_id
    client.log_batch(
        run,
        metrics,
        [Param(name, _text(value)) for name, value in params.items()],
        [RunTag(name, value) for name, value in tags.items()],
    )
    log_dataset(client, run, plan.dataset, plan.digest)
    client.set_terminated(run)


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
    tags = {"question": question.key}
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
        log_dataset(client, run, question.dataset, question.digest)
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
