"""The alerts on refreshes ask for metrics, and outcomes, that there are."""

import re
from pathlib import Path

import yaml

from training.refresh_metrics import FAILED, PROMOTED, REFUSED, RefreshMetrics

RULES = Path(__file__).parents[2] / "infra" / "prometheus" / "refresh.rules.yml"


def test_alerts_name_what_there_is() -> None:
    rules = [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]
    there = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in RefreshMetrics().registry.collect()
    }
    outcomes = set()
    for rule in rules:
        asked = set(re.findall(r"freshet_\w+", rule["expr"]))
        assert asked
        assert asked <= there
        outcomes |= set(re.findall(r'outcome="(\w+)"', rule["expr"]))
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("warning", "critical")
    assert outcomes == {FAILED, REFUSED, PROMOTED}
