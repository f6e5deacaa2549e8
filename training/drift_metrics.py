"""Drift as metrics for Prometheus; infra/prometheus/drift.rules.yml says when to be told."""

from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from training.drift import Drift

_OF_A_CHECK: Final = ("check",)


class DriftMetrics:
    """The last measurement, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._value = Gauge(
            "freshet_drift",
            "What a check of drift found, NaN where there is too little to tell",
            _OF_A_CHECK,
            registry=registry,
        )
        self._limit = Gauge(
            "freshet_drift_limit", "Above which it is drift", _OF_A_CHECK, registry=registry
        )
        self._measured = Gauge(
            "freshet_drift_measured_timestamp_seconds",
            "When drift was measured, since the epoch",
            registry=registry,
        )
        self._model = Gauge(
            "freshet_drift_model_info",
            "1 for the model version that was measured",
            ("version",),
            registry=registry,
        )

    def show(self, drift: Drift) -> None:
        """From now on, instead of what was measured before."""
        for gauge in (self._value, self._limit, self._model):
            gauge.clear()
        for check in drift.checks:
            self._value.labels(check.name).set(check.value)
            self._limit.labels(check.name).set(check.limit)
        self._model.labels(drift.version).set(1)
        self._measured.set(drift.measured_at / 1000)

    def write(self, path: Path) -> None:
        """For node exporter's textfile collector, in one atomic step."""
        write_to_textfile(str(path), self.registry)
