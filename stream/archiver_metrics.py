"""What the archiver counts, for Prometheus."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Seconds; from a few rows on a local disk to a full file on an object store.
_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class ArchiverMetrics:
    """The metrics of one archiver, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._rows = Counter(
            "freshet_archive_rows", "Ratings written to the archive", registry=registry
        )
        self._erased = Counter(
            "freshet_archive_erased_rows",
            "Ratings erased from the archive because somebody is forgotten",
            registry=registry,
        )
        self._invalid = Counter(
            "freshet_archive_invalid_records",
            "Records left out of the archive",
            ["reason"],
            registry=registry,
        )
        self.lost = Counter(
            "freshet_archive_lost_records",
            "Offsets that the topic dropped before they were archived",
            registry=registry,
        )
        self.dropped = Counter(
            "freshet_archive_dropped_files",
            "Files older than the archive keeps, deleted",
            registry=registry,
        )
        self.failures = Counter(
            "freshet_archive_failures",
            "Times that the archiver had to begin anew",
            registry=registry,
        )
        self._seconds = Histogram(
            "freshet_archive_write_seconds",
            "Time to write one file of the archive",
            buckets=_SECONDS,
            registry=registry,
        )
        self._offset = Gauge(
            "freshet_archive_next_offset",
            "The first offset of a partition that is not archived",
            ["partition"],
            registry=registry,
        )

    def read(self, invalid: Mapping[str, int]) -> None:
        """Records were read, of which some were invalid, by reason."""
        for reason, count in invalid.items():
            self._invalid.labels(reason).inc(count)

    def at(self, partition: int, offset: int) -> None:
        """A partition is archived up to this offset."""
        self._offset.labels(partition).set(offset)

    def written(self, rows: int, erased: int, seconds: float) -> None:
        """So many rows were written, so many of older ones erased before."""
        self._rows.inc(rows)
        self._erased.inc(erased)
        self._seconds.observe(seconds)
