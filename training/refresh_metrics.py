"""Refreshes as metrics for Prometheus."""

from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, write_to_textfile

from training.refresh import Report

# What came of a run.
PROMOTED: Final = "promoted"
REFUSED: Final = "refused"
WAITED: Final = "waited"  # for more events
FAILED: Final = "failed"


class RefreshMetrics:
    """Of the runs of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._runs = Counter(
            "freshet_refresh_runs",
            "Refreshes, by what came of them",
            ["outcome"],
            registry=registry,
        )
        for outcome in (PROMOTED, REFUSED, WAITED, FAILED):
            self._runs.labels(outcome)
        self._ended = Gauge(
            "freshet_refresh_ended_timestamp_seconds",
            "When a refresh ended last, by what came of it, since the epoch",
            ["outcome"],
            registry=registry,
        )
        self._seconds = Gauge(
            "freshet_refresh_step_seconds",
            "What each step of the last refresh took",
            ["step"],
            registry=registry,
        )
        self._new = Gauge(
            "freshet_refresh_new_events",
            "Archived events that were neither learnt nor asked before the last refresh",
            registry=registry,
        )
        self._behind = Gauge(
            "freshet_refresh_archive_behind_events",
            "Events of the log that were not archived at the last refresh",
            registry=registry,
        )
        self._figures = Gauge(
            "freshet_refresh_gate",
            "What the gate's last decision rests on",
            ["figure"],
            registry=registry,
        )

    def ended(self, report: Report) -> None:
        """A refresh came to its end."""
        self._new.set(report.new)
        self._behind.set(report.behind)
        self._seconds.clear()
        for step, taken in report.seconds.items():
            self._seconds.labels(step).set(taken)
        if report.decision is None:
            self._count(WAITED)
            return
        self._figures.clear()
        for figure, value in report.decision.figures.items():
            self._figures.labels(figure).set(value)
        self._count(PROMOTED if report.decision.promoted else REFUSED)

    def failed(self) -> None:
        """A refresh raised an error."""
        self._count(FAILED)

    def write(self, path: Path) -> None:
        """For node exporter's textfile collector, in one atomic step."""
        write_to_textfile(str(path), self.registry)

    def _count(self, outcome: str) -> None:
        self._runs.labels(outcome).inc()
        self._ended.labels(outcome).set_to_current_time()
