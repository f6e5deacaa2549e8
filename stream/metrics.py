"""What a worker counts, for Prometheus."""

import time
from collections.abc import Mapping

from faust.types import TP
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from stream.processor import Outcome

# Seconds; the first steps are what an idle worker takes, the last what a backlog does.
_LATENCIES = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15, 60)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

# Latencies observed a batch at most, evenly spread over it: one costs about a microsecond.
SAMPLES = 32


class Metrics:
    """The metrics of one worker, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._applied = Counter(
            "freshet_events_applied", "Rating events applied to the state", registry=registry
        )
        self._duplicates = Counter(
            "freshet_duplicates",
            "Records delivered that had been applied before",
            registry=registry,
        )
        self._dead = Counter(
            "freshet_dead_letters",
            "Records sent to the dead letters",
            ["reason"],
            registry=registry,
        )
        self._unknown = Counter(
            "freshet_unknown_movies",
            "Events applied whose movie the catalogue does not know",
            registry=registry,
        )
        self._size = Histogram(
            "freshet_batch_records", "Records in a batch", buckets=_SIZES, registry=registry
        )
        self._seconds = Histogram(
            "freshet_batch_seconds",
            "Time from having a batch to having committed it",
            buckets=_LATENCIES,
            registry=registry,
        )
        self._latency = Histogram(
            "freshet_event_to_commit_seconds",
            "Time from when an event was produced until it was in the state, sampled",
            buckets=_LATENCIES,
            registry=registry,
        )
        self._lag = Gauge(
            "freshet_lag_records",
            "Records of an assigned partition that are not processed",
            ["topic", "partition"],
            registry=registry,
        )
        self.invalid = Counter(
            "freshet_invalid_records",
            "Records of the catalogue and model topics that break their contract",
            ["topic", "reason"],
            registry=registry,
        )
        self.artifact_failures = Counter(
            "freshet_artifact_failures",
            "Promoted models whose item vectors could not be loaded",
            registry=registry,
        )
        self._model = Info("freshet_model", "The model behind the vectors", registry=registry)

    def batch(self, records: int, seconds: float, outcome: Outcome) -> None:
        """A batch of the `ratings` topic was committed, `seconds` after it was begun."""
        self._size.observe(records)
        self._seconds.observe(seconds)
        self._applied.inc(outcome.applied)
        self._duplicates.inc(outcome.duplicates)
        self._unknown.inc(outcome.unknown_movies)
        for reason, count in outcome.dead.items():
            self._dead.labels(reason).inc(count)
        now = time.time()
        stride = len(outcome.produced_times) // SAMPLES + 1
        for produced in outcome.produced_times[::stride]:
            self._latency.observe(now - produced / 1000)

    def lag(self, lags: Mapping[TP, int]) -> None:
        """The assigned partitions as of now."""
        self._lag.clear()
        for tp, records in lags.items():
            self._lag.labels(tp.topic, tp.partition).set(records)

    def model(self, version: str) -> None:
        self._model.info({"version": version})
