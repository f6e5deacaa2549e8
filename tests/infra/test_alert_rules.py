"""Alerts ask for metrics, labels and outcomes that there are."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from api import metrics
from api.main import openapi_document
from stream.archiver_metrics import ArchiverMetrics
from stream.metrics import Metrics
from training.drift_metrics import DriftMetrics
from training.refresh_metrics import FAILED, PROMOTED, REFUSED, RefreshMetrics

RULES = {
    rule["alert"]: rule
    for path in (Path(__file__).parents[2] / "infra" / "prometheus").glob("*.rules.yml")
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
}
OURS = (Metrics(), ArchiverMetrics(), RefreshMetrics(), DriftMetrics())
SUFFIXES = {"counter": "_total", "histogram": "_bucket"}
NAMES = {
    f"{family.name}{SUFFIXES.get(family.type, '')}"
    for registry in (REGISTRY, *(one.registry for one in OURS))
    for family in registry.collect()
}


def asked(label: str) -> set[str]:
    """The values of a label that alerts ask for."""
    said = " ".join(rule["expr"] for rule in RULES.values())
    return set(re.findall(rf'{label}="([^"]+)"', said))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_it_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"freshet_\w+", rule["expr"]))
    assert named
    assert named <= NAMES
    assert {"summary", "description"} <= rule["annotations"].keys()
    assert rule["labels"]["severity"] in ("warning", "critical")


def test_labels_have_the_values_that_are_asked_for() -> None:
    assert asked("outcome") == {FAILED, REFUSED, PROMOTED}
    assert asked("route")
    assert asked("route") <= set(openapi_document()["paths"])
    assert asked("reason") == {"unauthenticated"}
    assert metrics.REFUSED._documentation.count("unauthenticated") == 1


def test_an_archiver_that_does_not_run_and_what_is_lost_are_noticed() -> None:
    """One that does not run has no rows, and what is lost is counted before the first scrape."""
    stands_still = RULES["FreshetArchiveStandsStill"]["expr"]
    assert "freshet_archive_rows_total[1h])) or vector(0)) == 0" in stands_still
    assert RULES["FreshetArchiveLost"]["expr"] == "freshet_archive_lost_records_total > 0"
