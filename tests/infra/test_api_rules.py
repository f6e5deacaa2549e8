"""The API's alerts ask for metrics and labels that there are."""

import re
from pathlib import Path

import yaml
from prometheus_client import REGISTRY

from api import metrics
from api.main import openapi_document

RULES = Path(__file__).parents[2] / "infra" / "prometheus" / "api.rules.yml"


def test_alerts_name_metrics_that_there_are() -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    there = {
        f"{family.name}{suffix}"
        for family in REGISTRY.collect()
        for suffix in {"counter": ("_total",), "histogram": ("_bucket",)}.get(family.type, ("",))
    }
    assert len(group["rules"]) == 5
    for rule in group["rules"]:
        asked = set(re.findall(r"freshet_\w+", rule["expr"]))
        assert asked
        assert asked <= there
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_labels_have_the_values_that_are_asked_for() -> None:
    text = RULES.read_text()
    assert set(re.findall(r'route="([^"]+)"', text)) <= set(openapi_document()["paths"])
    assert metrics.REFUSED._documentation.count("unauthenticated") == 1
    assert set(re.findall(r'reason="(\w+)"', text)) == {"unauthenticated"}
