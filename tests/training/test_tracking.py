import json
from math import nan
from pathlib import Path

import numpy as np
import pytest

from stream.contracts.errors import Unavailable
from training.runs import Question, Result
from training.tracking import EVALUATIONS, RESULT, track


def result() -> Result:
    settings = {"split": {"kind": "random", "test": 0.2}, "relevant_from": 1}
    figures = {"ndcg@5": 0.25, "ndcg@10": 0.5, "gini@5": nan, "fit_seconds": 1.5}
    details = {
        "intervals": {"ndcg@5": [0.2, 0.3], "ndcg@10": [0.4, 0.6]},
        "choices": [{"hyperparameters": {"l2": 100.0}, "trials": []}],
    }
    question = Question("offline", "planted", "abc", "ease", settings)
    return Result(question, figures, details, np.array([1]), {"ndcg@5": np.array([0.25])})


def test_a_result_is_a_run_with_a_curve_per_metric(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert track(result(), uri)
    assert not track(result(), uri)  # once

    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(EVALUATIONS)
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "ease planted"
    assert run.info.status == "FINISHED"
    assert run.data.params["model"] == "ease"
    assert run.data.params["l2"] == "100.0"
    assert json.loads(run.data.params["split"]) == {"kind": "random", "test": 0.2}
    assert run.data.tags["data_hash"] == "abc"
    curves = {
        name: [
            (point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)
        ]
        for name in ("ndcg", "ndcg_low", "ndcg_high", "fit_seconds")
    }
    assert curves == {
        "ndcg": [(5, 0.25), (10, 0.5)],
        "ndcg_low": [(5, 0.2), (10, 0.4)],
        "ndcg_high": [(5, 0.3), (10, 0.6)],
        "fit_seconds": [(0, 1.5)],
    }
    assert "gini" not in run.data.metrics  # it is not a number
    stored = client.download_artifacts(run.info.run_id, RESULT, str(tmp_path))
    assert json.loads(Path(stored).read_text())["figures"]["ndcg@10"] == 0.5


def test_a_run_that_was_interrupted_is_recorded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_text", interrupt)
        with pytest.raises(KeyboardInterrupt):
            track(result(), uri)
    assert track(result(), uri)
    assert not track(result(), uri)


def test_a_server_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with pytest.raises(Unavailable, match=r"MLflow at http://127.0.0.1:9 failed"):
        track(result(), "http://127.0.0.1:9")
