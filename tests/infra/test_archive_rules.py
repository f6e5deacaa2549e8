"""The archiver's alerts ask for metrics that there are."""

import re
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry

from stream.archiver_metrics import ArchiverMetrics
from stream.metrics import Metrics

RULES = Path(__file__).parents[2] / "infra" / "prometheus" / "archive.rules.yml"


def names(registry: CollectorRegistry) -> set[str]:
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in registry.collect()
    }


def test_alerts_name_metrics_that_there_are() -> None:
    rules = [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]
    assert len(rules) == 3
    asks = {rule["alert"]: rule["expr"] for rule in rules}
    # One that does not run has no rows, and what is lost is counted before the first scrape.
    assert (
        "freshet_archive_rows_total[1h])) or vector(0)) == 0" in asks["FreshetArchiveStandsStill"]
    )
    assert asks["FreshetArchiveLost"] == "freshet_archive_lost_records_total > 0"
    there = names(ArchiverMetrics().registry) | names(Metrics().registry)
    for rule in rules:
        asked = set(re.findall(r"freshet_\w+", rule["expr"]))
        assert asked
        assert asked <= there
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("warning", "critical")
