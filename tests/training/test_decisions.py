import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from producers.admin import ensure_topics
from producers.publisher import BulkPublisher
from stream.contracts.errors import BrokerUnavailable, Unavailable
from stream.contracts.events import RefreshEvent
from stream.contracts.topics import Topics
from tests.producers.kafka import records
from training.decisions import (
    DECISION,
    OUTCOME,
    decision_about,
    log_decision,
    publish_decision,
)
from training.gate import Decision
from training.registry import MODEL

DECIDED = Decision(
    champion="v1",
    challenger="v2",
    promoted=False,
    reasons=("its lists cover 1% of the catalogue", "they crowd on fewer movies"),
    figures={"champion_ndcg@10": 0.25, "challenger_ndcg@10": 0.26, "lists": 400.0},
)


def test_a_decision_is_an_event(broker: str, topics: Topics) -> None:
    kafka = {"bootstrap.servers": broker}
    ensure_topics(kafka, topics, 1, 1)
    first = replace(DECIDED, challenger="v1", champion=None, promoted=True)
    sent = [publish_decision(one, kafka, topics.refreshes) for one in (first, DECIDED, DECIDED)]
    [messages] = records(kafka, topics.refreshes, 1)
    assert [message.key() for message in messages] == [b"v1", b"v2", b"v2"]
    events = [
        msgspec.json.decode(message.value() or b"", type=RefreshEvent) for message in messages
    ]
    assert events == sent
    assert events[0].event_id != events[1].event_id == events[2].event_id  # told twice
    assert [(event.champion, event.promoted) for event in events[:2]] == [
        (None, True),
        ("v1", False),
    ]
    assert (events[1].reasons, events[1].figures) == (DECIDED.reasons, DECIDED.figures)


def test_the_last_decision_about_a_model_is_found(broker: str, topics: Topics) -> None:
    kafka = {"bootstrap.servers": broker}
    assert decision_about("v2", kafka, topics.refreshes) is None  # there is no topic yet
    ensure_topics(kafka, topics, 1, 1)
    assert decision_about("v2", kafka, topics.refreshes) is None
    for promoted, version in ((False, "v2"), (True, "v2"), (False, "v3")):
        decided = replace(DECIDED, challenger=version, promoted=promoted)
        publish_decision(decided, kafka, topics.refreshes)
    found = decision_about("v2", kafka, topics.refreshes)
    assert found is not None
    assert (found.challenger, found.promoted) == ("v2", True)


def test_a_decision_that_the_broker_does_not_get(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = partial(BulkPublisher, patience=0.5)
    monkeypatch.setattr("training.decisions.BulkPublisher", impatient)
    with pytest.raises(BrokerUnavailable):
        publish_decision(DECIDED, {"bootstrap.servers": "127.0.0.1:1"}, "refreshes")


def test_a_decision_is_with_the_run_of_the_challenger(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    home = client.create_experiment(MODEL, (tmp_path / "mlruns").as_uri())
    client.create_registered_model(MODEL)
    runs = {}
    for version in ("v1", "v2"):
        run = runs[version] = client.create_run(home).info.run_id
        client.create_model_version(MODEL, "somewhere", run, {"version": version})

    assert log_decision(DECIDED, uri)
    logged = client.get_run(runs["v2"]).data
    assert logged.metrics == {
        "gate/champion_ndcg": 0.25,
        "gate/challenger_ndcg": 0.26,
        "gate/lists": 400,
    }
    [at] = client.get_metric_history(runs["v2"], "gate/champion_ndcg")
    assert at.step == 10
    assert logged.tags[OUTCOME] == "refused"
    assert client.get_model_version(MODEL, "2").tags[OUTCOME] == "refused"
    kept = Path(client.download_artifacts(runs["v2"], DECISION, str(tmp_path)))
    assert msgspec.convert(json.loads(kept.read_text()), Decision) == DECIDED

    assert log_decision(replace(DECIDED, promoted=True), uri)
    assert client.get_model_version(MODEL, "2").tags[OUTCOME] == "promoted"
    assert not client.get_run(runs["v1"]).data.metrics
    assert not log_decision(replace(DECIDED, challenger="v3"), uri)


def test_mlflow_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Unavailable, match=r"MLflow at http://127\.0\.0\.1:1 failed"):
        log_decision(DECIDED, "http://127.0.0.1:1")
