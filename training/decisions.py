"""What the gate decided, told to everyone: as an event, and in MLflow beside the challenger.

MLflow is imported where it is used: importing it takes two seconds.
"""

import json
import time
from collections.abc import Mapping
from typing import Final

import msgspec

from producers.publisher import BulkPublisher
from stream.contracts.events import RefreshEvent, decode_refresh, encode
from stream.topic_events import topic_events
from training.gate import Decision
from training.registry import MODEL
from training.tracking import connected

DECISION: Final = "decision.json"  # the artifact of the challenger's run
OUTCOME: Final = "gate"  # tag of run and model version: what came of it
PREFIX: Final = "gate/"  # of the metrics


def publish_decision(decision: Decision, kafka: Mapping[str, str], topic: str) -> RefreshEvent:
    """Tell whoever listens; returns once the broker has it. Told again it has the same id.

    Args:
        decision: of the gate.
        kafka: `Settings.librdkafka()`.
        topic: `Topics.refreshes`.

    Raises:
        BrokerUnavailable: it was not acknowledged.
    """
    now = int(time.time() * 1000)
    event = RefreshEvent(
        event_id=decision.challenger,
        champion=decision.champion,
        challenger=decision.challenger,
        promoted=decision.promoted,
        reasons=decision.reasons,
        figures=decision.figures,
        event_time=now,
        produced_time=now,
    )
    with BulkPublisher(kafka) as publisher:
        publisher.publish(topic, decision.challenger.encode(), encode(event))
    return event


def decision_about(version: str, kafka: Mapping[str, str], topic: str) -> RefreshEvent | None:
    """The last decision about a model; None where nobody decided, and none could be told yet.

    Args:
        version: of the model, the challenger then.
        kafka: `Settings.librdkafka()`.
        topic: `Topics.refreshes`.

    Raises:
        BrokerUnavailable: no answer in time.
    """
    events = topic_events(kafka, topic, decode_refresh)
    return next((event for event in reversed(events) if event.challenger == version), None)


def log_decision(decision: Decision, tracking_uri: str) -> bool:
    """Record it with the run that trained the challenger; False where MLflow does not know it.

    Figures are metrics behind `PREFIX`, one at k, such as ``champion_ndcg@10``, at step k. Whether
    it was promoted is the tag `OUTCOME` of the run and of the model version, and everything is in
    `DECISION`.

    Raises:
        Unavailable: MLflow does not answer.
    """
    with connected(tracking_uri) as client:
        from mlflow.entities import Metric, RunTag

        found = client.search_model_versions(
            f"name = '{MODEL}' and tags.version = '{decision.challenger}'", max_results=1
        )
        if not found:
            return False
        [challenger] = found
        now, outcome = int(time.time() * 1000), "promoted" if decision.promoted else "refused"
        metrics = []
        for figure, value in decision.figures.items():
            name, _, k = figure.partition("@")
            metrics.append(Metric(PREFIX + name, value, now, int(k or 0)))
        client.log_batch(challenger.run_id, metrics, tags=[RunTag(OUTCOME, outcome)])
        client.log_text(
            challenger.run_id, json.dumps(msgspec.to_builtins(decision), indent=2), DECISION
        )
        client.set_model_version_tag(MODEL, challenger.version, OUTCOME, outcome)
        return True
