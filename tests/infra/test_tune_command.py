from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli import app
from stream.contracts.errors import ConfigurationError

MODEL = "popularity-decayed"


def invoke(*words: str) -> str:
    result = CliRunner().invoke(app, ("tune", *words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_study_is_tracked_and_goes_on(data: Path, home: Path) -> None:
    from mlflow import MlflowClient

    words = (
        *(MODEL, "--dataset", str(data), "--set", "liked_from=1", "--study", "s"),
        *("--objective", "prequential", "--out", str(home / "out")),
    )
    output = invoke(*words, "--trials", "2")
    assert "The best trial of s" in output
    assert "prequential" in output
    assert (home / "out" / "s.lab.toml").read_text().startswith(f"[{MODEL}]\nhalf_life = ")

    uri = f"sqlite:///{home.absolute() / 'mlflow.db'}"
    assert f"tracked in {uri}" in output.replace("\n", "")
    client = MlflowClient(uri, uri)
    runs = client.search_runs(["1"], order_by=["attributes.start_time"])
    assert [run.info.run_name for run in runs] == ["s 0", "s 1"]
    assert runs[0].data.params == {
        "model": MODEL,
        "dataset": data.name,
        "half_life": "30.0",
        "liked_from": "1",
    }
    assert runs[0].data.tags["state"] == "COMPLETE"
    assert set(runs[0].data.metrics) == {"prequential", "seconds"}
    assert runs[0].inputs
    [used] = runs[0].inputs.dataset_inputs
    assert used.dataset.name == data.name
    assert used.dataset.digest == runs[0].data.tags["data_hash"][:36]

    invoke(*words, "--trials", "3")
    names = [run.info.run_name for run in client.search_runs(["1"])]
    assert sorted(names) == ["s 0", "s 1", "s 2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("random",), "nothing of 'random' is searched: of these models something is: popul"),
        (("eas",), "no model 'eas': there are popularity, "),
        (("ease", "--objective", "ndcg"), "no objective 'ndcg': there are offline, prequential, "),
        (("ease", "--pruning", "early"), "no pruning 'early': there are median, hyperband, none"),
        (("ease", "--set", "l3=1"), "ease has no hyperparameter 'l3': there are l2, "),
    ],
)
def test_a_wrong_name_is_refused_before_anything_is_read(
    words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        invoke(*words, "--dataset", "nowhere")
