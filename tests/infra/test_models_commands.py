"""What operators read: which models there are, what is served, and why something is not done."""

import os
import shutil
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli import app
from stream.coldstart import VECTORS
from stream.contracts.errors import ConfigurationError, Unavailable
from stream.contracts.topics import Topics
from tests.planted_model import Trait
from tests.training.test_promotion import copy_of
from training.registry import CHALLENGER, CHAMPION, Registry


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture(autouse=True)
def mlflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The aliases, which take no time here."""
    aliases = {CHALLENGER: "c"}

    def mark_champion(_: Registry, version: str) -> bool:
        aliases[CHAMPION] = version
        return True

    monkeypatch.setattr(Registry, "mark_champion", mark_champion)
    monkeypatch.setattr(Registry, "marked", lambda _: aliases)
    monkeypatch.setattr(Registry, "drop", lambda *_: ())
    return aliases


@pytest.fixture
def artifacts(home: Path, models: dict[Trait, Path]) -> Path:
    """With the versions a, b and c."""
    for version in "abc":
        copy_of(models["genre"], home / "artifacts" / version, metrics={"live_two_stage_ndcg": 0.5})
    return home / "artifacts"


@pytest.fixture
def log(broker: str, redis_url: str, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_REDIS_URL", redis_url)
    monkeypatch.setenv("FRESHET_KAFKA_BOOTSTRAP_SERVERS", broker)
    monkeypatch.setenv("FRESHET_KAFKA_TOPIC_PREFIX", topics.prefix)


def invoke(*words: str) -> str:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def listed() -> dict[str, str]:
    """What the list says that each version is."""
    rows = [line.split("│") for line in invoke("models", "list").splitlines() if "│" in line]
    return {row[1].strip(): row[5].strip() for row in rows}


@pytest.mark.usefixtures("log")
def test_from_a_promotion_to_pruning(artifacts: Path) -> None:
    assert invoke("models", "promote", "a") == "model a is promoted\n"
    assert invoke("promote", "b") == "model b is promoted\n"
    assert listed() == {"c": "challenger", "b": "served; champion", "a": "served before (1 back)"}
    assert invoke("models", "rollback") == "model a is served again\n"
    assert listed() == {"c": "challenger", "b": "", "a": "served; champion"}
    with pytest.raises(ConfigurationError, match="nothing was served before a"):
        invoke("models", "rollback")

    (artifacts / "c" / "user_tower.onnx").unlink()
    shown = invoke("models", "show", "c")
    assert "challenger" in shown
    assert "user_tower.onnx is missing" in shown
    assert "0.5000" in shown
    assert "yes, of 288 movies" in invoke("models", "show", "a")
    with pytest.raises(ConfigurationError, match=r"no model d in .*: there are c, b, a"):
        invoke("models", "show", "d")

    assert invoke("models", "prune") == "nothing to drop that is older than 7 days\n"
    (artifacts / ".d.partial").mkdir()
    assert invoke("models", "prune", "--days", "0").startswith("nothing to drop")
    hours_ago = time.time() - 2 * 3_600
    for version in "bc":
        for path in (artifacts / version, *(artifacts / version).rglob("*")):
            os.utime(path, (hours_ago, hours_ago))
    assert invoke("models", "prune", "--days", "0").splitlines() == [
        "model c is dropped",
        "model b is dropped",
    ]
    shutil.rmtree(artifacts / "a")
    gone = "not in the artifacts"
    assert listed() == {"a": f"served; champion; {gone}", "c": f"challenger; {gone}"}


@pytest.mark.usefixtures("log", "artifacts")
def test_before_there_is_a_log_nothing_is_served() -> None:
    assert listed() == {"c": "challenger", "b": "", "a": ""}
    assert "not known" not in invoke("models", "list")
    for command in ("rollback", "prune"):
        with pytest.raises(ConfigurationError, match=r"nothing is (served|promoted)"):
            invoke("models", command)


def test_what_does_not_answer_is_said_and_the_rest_shown(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_: Registry) -> dict[str, str]:
        raise Unavailable("MLflow at nowhere failed")

    monkeypatch.setattr(Registry, "marked", down)
    (artifacts / "b" / "manifest.json").write_text("{")
    (artifacts / "c" / VECTORS).write_bytes(b"")
    output = " ".join(invoke("models", "list").split())
    assert "What is served is not known: no Kafka is configured" in output
    assert "Champion and challenger are not known: MLflow at nowhere failed" in output
    assert "not to be served: no whole model artifact" in output
    assert "0.5000" in output
