import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli import app
from stream.contracts.errors import ConfigurationError


def invoke(*words: str) -> str:
    result = CliRunner().invoke(app, ("eval", "offline", *words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_models_side_by_side(data: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked = []
    monkeypatch.setattr("training.tracking.track", lambda result, uri: tracked.append(result))
    words = (
        *("--dataset", str(data), "--models", "random", "--split", "last", "--k", "10,100"),
        *("--relevant-from", "4", "--json", str(data / "figures" / "out.json")),
        *("--markdown", str(data / "out.md")),
    )
    output = invoke(*words)
    assert "popularity" in output
    assert "random" in output
    assert "tracked in" in output

    document = json.loads((data / "figures" / "out.json").read_text())
    assert document["reference"] == "popularity"
    assert [model["question"]["model"] for model in document["models"]] == ["popularity", "random"]
    settings = document["models"][0]["question"]["settings"]
    assert (settings["ks"], settings["relevant_from"]) == ([10, 100], 8)
    assert settings["split"] == {"kind": "last"}
    assert set(document["differences"]["random"]) >= {"ndcg@10", "recall@10"}
    # There are 72 movies, and everybody's last one is among them.
    assert document["models"][1]["figures"]["recall@100"] == 1
    assert "| model | ndcg@10 |" in (data / "out.md").read_text()
    assert [result.question.model for result in tracked] == ["popularity", "random"]

    kept = {path: path.stat().st_mtime_ns for path in (home / "evaluations").iterdir()}
    assert len(kept) == 4
    assert "tracked in" not in invoke(*words, "--no-track")
    assert kept == {path: path.stat().st_mtime_ns for path in (home / "evaluations").iterdir()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--models", "eas"), "no model 'eas': there are popularity, "),
        (("--reference", "eas"), "no model 'eas': there are popularity, "),
        (("--split", "rand"), "no split 'rand': there are random, time, last, strong, folds"),
        (("--split", "last", "--test", "0.1"), "the split 'last' has no option test"),
        (("--figures", "auc"), "no figure 'auc': there are recall@5, "),
        (("--tune-for", "auc@10"), "no metric 'auc@10': give one of recall, "),
        (("--k", "5,ten"), "--k ten: give whole numbers"),
        (("--relevant-from", "4.3"), "--relevant-from 4.3: give 0.5, 1, 1.5 .. 5 stars"),
        (("--split", "time", "--test", "0.95"), "leave nothing to train on"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_is_read(
    words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        invoke("--dataset", "nowhere", *words)
