import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from infra.cli import app
from infra.production import BEYOND, Answer
from infra.served import Agreement, answers_of, sample
from infra.settings import Settings
from stream.contracts.errors import ConfigurationError, FreshetError
from tests.training.build import clubs, ratings, tables
from training.prequential import Questions

LOG = ratings(clubs(users=60))
MOMENT = int(np.quantile(LOG.times, 0.9))


def invoke(*words: str) -> str:
    result = CliRunner().invoke(
        app, ("eval", "prequential", *words), catch_exceptions=False, env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0, result.output
    return result.output


def test_states_side_by_side(data: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked = []
    monkeypatch.setattr("training.tracking.track", lambda result, uri: tracked.append(result))
    words = (
        *("--dataset", str(data), "--models", "random", "--state", "frozen,fresh", "--k", "5,72"),
        *("--json", str(data / "out.json"), "--markdown", str(data / "out.md")),
    )
    output = invoke(*words)
    for heading in ("by state", "the user's ratings before", "days since the training", "Costs"):
        assert heading in output
    assert [result.question.model for result in tracked] == ["popularity", "random"]

    document = json.loads((data / "out.json").read_text())
    popularity, random = document["models"]
    assert popularity["question"]["settings"]["states"] == ["fresh", "frozen"]
    # There are 72 movies.
    assert random["figures"]["frozen/hit_rate@72"] == 1
    assert {row["model"] for row in document["groups"]} == {"popularity", "random"}
    page = (data / "out.md").read_text()
    assert "| model | fresh beside frozen |" in page

    kept = {path: path.stat().st_mtime_ns for path in (home / "evaluations").iterdir()}
    assert len(kept) == 4
    assert "tracked in" not in invoke(*words, "--no-track")
    assert kept == {path: path.stat().st_mtime_ns for path in (home / "evaluations").iterdir()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--models", "eas"), "no model 'eas': there are popularity, "),
        (("--reference", "eas"), "no model 'eas': there are popularity, "),
        (("--state", "fresh,weekly"), "no state 'weekly': there are fresh, daily, frozen"),
        (("--figures", "recall@10"), "no figure 'recall@10': there are hit_rate@5, "),
        (("--figures", "ndcg@7"), "no figure 'ndcg@7': there are hit_rate@5, "),
        (("--tune-for", "auc@10"), "no metric 'auc@10' .* give one of hit_rate, ndcg, mrr"),
        (("--k", "5,ten"), "--k ten: give whole numbers"),
        (("--relevant-from", "3.7"), "--relevant-from 3.7: give 0.5, 1, 1.5 .. 5"),
        (("--test", "0"), "leave nothing of one part"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_is_read(
    words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        invoke("--dataset", "nowhere", *words)


def test_ranks_that_differ_are_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = [7, 7, BEYOND]

    def through(*arguments: object) -> Agreement:
        questions = arguments[3]
        assert isinstance(questions, Questions)
        answers = [Answer(rank, "two_tower") for rank in served]
        return Agreement(questions, np.array([7, 8, 9]), answers, np.array([False, True, False]))

    monkeypatch.setattr("infra.served.through_production", through)
    words = ("--dataset", str(data), "--production", "3")
    with pytest.raises(FreshetError, match="1 of 3 ranks differ"):
        invoke(*words)
    served[2] = 9
    files = {option: data / f"ranks{option}" for option in ("--json", "--markdown")}
    output = invoke(*words, *(str(word) for pair in files.items() for word in pair))
    assert "3 3 2 1 0" in " ".join(output.split())
    counts = json.loads(files["--json"].read_text())["counts"]
    assert list(counts["all"].values()) == [3, 3, 2, 1, 0]
    assert "| all | 3 | 3 | 2 | 1 | 0 |" in files["--markdown"].read_text()


def test_a_sample_is_spread_over_all_questions() -> None:
    questions = Questions.of(LOG, MOMENT)
    some = sample(questions, 5)
    assert len(some) == 5
    assert set(some.events) <= set(questions.events)
    assert some.events[[0, -1]].tolist() == questions.events[[0, -1]].tolist()
    assert sample(questions, 10_000).events.tolist() == questions.events.tolist()


def test_a_configured_index_is_not_written_to(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, qdrant_url="http://localhost:6333")
    questions = Questions.of(LOG, MOMENT)
    with pytest.raises(ConfigurationError, match="unset FRESHET_QDRANT_URL"):
        answers_of(settings, tables(clubs(users=60))[1], questions, tmp_path)
