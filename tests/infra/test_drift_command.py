"""What operators, programs and Prometheus are told of drift."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner, Result

from infra.cli import app
from infra.commands import drift as command
from infra.refresher import Order, events_needed
from infra.settings import Settings
from stream.contracts.errors import (
    ArtifactError,
    ConfigurationError,
    DatasetError,
    FreshetError,
    NoTopic,
)
from stream.contracts.events import encode
from stream.features import DAY
from stream.log import Record
from tests.exposures import page
from tests.fakes import MemoryLog
from tests.training.build import clubs, ratings
from training.compare import Interval
from training.drift import Age, Check, Drift, lost_quality, sentences, shifts, staleness
from training.drift_metrics import DriftMetrics
from training.follow_up import DAYS, shown_quality

FOLLOW_UPS = {
    "user_id": pl.Int64,
    "impression_id": pl.String,
    "version": pl.String,
    "followed": pl.Boolean,
    "rank": pl.Float64,
}

RULES = Path(__file__).parents[2] / "infra" / "prometheus" / "drift.rules.yml"

FINE = Check("shift_rating", 0.1, 0.25, "as before")
UNKNOWN = Check("lost_quality", np.nan, 0.2, "nobody came")
WORSE = Check("model_days", 15.0, 14.0, "since the first event not learnt")


def run(monkeypatch: pytest.MonkeyPatch, found: Drift | None, *options: str) -> Result:
    monkeypatch.setattr(command, "measure_drift", lambda _: found)
    return CliRunner().invoke(app, ["drift", *options])


def test_without_drift_it_exits_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, Drift("v1", 0, (FINE, UNKNOWN)))
    assert result.exit_code == 0, result.output
    assert "Model v1" in result.output
    assert "too little" in result.output
    assert "drift │" not in result.output


def test_with_drift_it_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, Drift("v1", 0, (FINE, WORSE)))
    assert result.exit_code == 1
    assert re.search(r"model_days +│ 15 +│ 14 +│ drift", result.output)


def test_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, Drift("v1", 5, (UNKNOWN, WORSE)), "--json")
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert document["version"] == "v1"
    assert [check["value"] for check in document["checks"]] == [None, 15.0]
    assert [check["above"] for check in document["checks"]] == [False, True]


def test_for_prometheus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "drift.prom"
    run(monkeypatch, Drift("v1", 5_000, (UNKNOWN, WORSE)), "--metrics", str(path))
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }
    assert np.isnan(samples.pop(("freshet_drift", "lost_quality")))
    assert samples == {
        ("freshet_drift", "model_days"): 15,
        ("freshet_drift_limit", "lost_quality"): 0.2,
        ("freshet_drift_limit", "model_days"): 14,
        ("freshet_drift_measured_timestamp_seconds",): 5,
        ("freshet_drift_model_info", "v1"): 1,
    }


def test_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    error = run(monkeypatch, None).exception
    assert isinstance(error, ConfigurationError)
    assert "nothing is served that could drift" in str(error)


def test_a_new_measurement_replaces_the_last() -> None:
    metrics = DriftMetrics()
    metrics.show(Drift("v1", 5_000, (FINE,)))
    metrics.show(Drift("v2", 6_000, (WORSE,)))
    assert metrics.registry.get_sample_value("freshet_drift", {"check": FINE.name}) is None
    assert metrics.registry.get_sample_value("freshet_drift", {"check": WORSE.name}) == 15
    assert metrics.registry.get_sample_value("freshet_drift_model_info", {"version": "v1"}) is None


def test_every_check_has_an_alert() -> None:
    log, nothing = ratings(clubs(users=30)), Interval(np.nan, np.nan, np.nan)
    checks = [
        *shifts(log, log.users > 15),
        lost_quality("ndcg@10", 0.1, nothing, 0),
        shown_quality(pl.DataFrame(schema=FOLLOW_UPS), "v1", 0.1),
        *staleness(Age(0, 0, 0, 0, 0)),
    ]
    selectors = re.findall(r'check=~?"([^"]+)"', RULES.read_text())
    for check in checks:
        matching = [selector for selector in selectors if re.fullmatch(selector, check.name)]
        assert len(matching) == 1, check.name


def test_what_was_shown_in_the_last_days_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 20_000 * DAY
    shown = {days: page(now - days * DAY, (1,), user=days) for days in (1, DAYS, DAYS + 1)}
    log = MemoryLog()
    for days, event in shown.items():
        log.append(0, Record(days, event.event_time, b"%d" % event.user_id, encode(event)))
    monkeypatch.setattr("producers.admin.partition_count", lambda *_: 1)
    monkeypatch.setattr("stream.log_reader.KafkaLog", lambda *_: log)
    settings = Settings(kafka_bootstrap_servers="nowhere:1")
    window = settings.experiment_window_seconds * 1000
    assert command._shown(settings, now) == ([shown[1], shown[DAYS]], window)


def test_a_cluster_without_the_topic_of_what_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(error: FreshetError) -> None:
        def count(*_: object) -> int:
            raise error

        monkeypatch.setattr("producers.admin.partition_count", count)

    settings = Settings(kafka_bootstrap_servers="nowhere:1")
    fails(NoTopic("Kafka has no topic exposures"))
    assert command._shown(settings, 0) is None
    fails(ConfigurationError("Kafka refuses the password"))
    with pytest.raises(ConfigurationError, match="refuses"):
        command._shown(settings, 0)


def test_drift_makes_a_refresh_come_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()

    def needed(found: Drift | None, order: Order) -> tuple[int, tuple[str, ...]]:
        monkeypatch.setattr(command, "measure_drift", lambda _: found)
        return events_needed(settings, order)

    calm, stale = Drift("v1", 0, (FINE, UNKNOWN)), Drift("v1", 0, (FINE, WORSE))
    order = Order(min_events=10_000, drifted_events=4_000)
    assert needed(calm, order) == (10_000, ())
    assert needed(None, order) == (10_000, ())
    assert needed(stale, order) == (4_000, sentences([WORSE]))
    assert needed(stale, replace(order, min_events=100))[0] == 100
    assert needed(stale, Order(min_events=10_000)) == (10_000, ())


@pytest.mark.parametrize(
    "error", [DatasetError("nothing is archived"), ArtifactError("another version wrote the model")]
)
def test_drift_that_cannot_be_told_stops_no_refresh(
    monkeypatch: pytest.MonkeyPatch, error: FreshetError
) -> None:
    def fail(_: Settings) -> Drift:
        raise error

    monkeypatch.setattr(command, "measure_drift", fail)
    assert events_needed(Settings(), Order(min_events=10_000, drifted_events=10)) == (10_000, ())
