"""The alerts on promotions ask for metrics that there are."""

import re
from pathlib import Path

import yaml
from prometheus_client import REGISTRY

import api.metrics  # noqa: F401 - registers the API's
from stream.metrics import Metrics

RULES = Path(__file__).parents[2] / "infra" / "prometheus" / "models.rules.yml"


def test_alerts_name_metrics_that_there_are() -> None:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    there = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for registry in (REGISTRY, Metrics().registry)
        for family in registry.collect()
    }
    assert len(group["rules"]) == 3
    for rule in group["rules"]:
        asked = set(re.findall(r"freshet_\w+", rule["expr"]))
        assert asked
        assert asked <= there
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("warning", "critical")
