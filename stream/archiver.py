"""The archiver: one process that follows the log and writes it into the archive.

It remembers nothing: it goes on where the archive ends, and whatever goes wrong, it begins anew
from what is there. A second one waits until the first has ended.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from infra.settings import Settings
from producers.admin import ensure_topics
from stream.archive import Archive
from stream.archiver_metrics import ArchiverMetrics
from stream.archiving import Archiving, Limits
from stream.contracts.errors import Busy, TopicRecreated, Unavailable
from stream.contracts.topics import Topics
from stream.health import HealthServer
from stream.lease import Lease

LEASE: Final = "archive"

# Seconds until it begins anew, at first and at most: a service is back soon, room on a disk is not.
FIRST_WAIT: Final = 0.2
LONGEST_WAIT: Final = 30.0

# Seconds between two tries of one that stands by, so long it goes on without any.
STAND_BY: Final = 1.0

logger = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Be the archiver until SIGTERM or SIGINT. Raises as `Archiver.run` does."""
    asyncio.run(_run(settings))


def run_once(settings: Settings) -> None:
    """Archive what the log has now. Raises as `Archiver.catch_up` does."""
    archiver_of(settings).catch_up()


def archiver_of(settings: Settings) -> "Archiver":
    """The archiver of what is configured. Raises ConfigurationError."""
    topics = Topics(settings.kafka_topic_prefix)
    return Archiver(
        settings.librdkafka(),
        topics.ratings,
        Archive.open(settings.archive),
        partial(Lease, settings.redis(), f"{topics.prefix}{LEASE}"),
        Limits(
            settings.archive_flush_rows,
            settings.archive_flush_seconds,
            settings.archive_retention_days,
        ),
    )


async def _run(settings: Settings) -> None:
    await asyncio.to_thread(
        ensure_topics,
        settings.librdkafka(),
        Topics(settings.kafka_topic_prefix),
        settings.kafka_partitions,
        settings.kafka_replication,
    )
    archiver = archiver_of(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    host, port = settings.worker_metrics_host, settings.archive_metrics_port
    with HealthServer(host, port, archiver.metrics.registry, archiver.check_ready) as server:
        logger.info("metrics and readiness on http://%s:%d", host, server.port)
        await asyncio.to_thread(archiver.run, stop)


class Archiver:
    """Follows a topic of ratings into an archive.

    Attributes:
        metrics: what it counts.
    """

    def __init__(
        self,
        config: Mapping[str, str],
        topic: str,
        archive: Archive,
        lease: Callable[[], Lease],
        limits: Limits,
    ) -> None:
        """
        Args:
            config: `Settings.librdkafka()`.
            topic: the name of the topic.
            archive: where to.
            lease: a new one that keeps other archivers away.
            limits: when to write.
        """
        self._config = config
        self._topic = topic
        self._archive = archive
        self._lease = lease
        self._limits = limits
        self._problem: str | None = "it has not begun yet"
        self.metrics = ArchiverMetrics()

    async def check_ready(self) -> None:
        """Raises Unavailable with what keeps it from archiving."""
        if self._problem is not None:
            raise Unavailable(self._problem)

    def run(self, stop: threading.Event) -> None:
        """Archive until `stop`, and then what was read until then.

        Begins anew for as long as a service is away. Raises what that cannot mend:
        ConfigurationError or DatasetError.
        """
        wait = FIRST_WAIT
        while not stop.is_set():
            try:
                with self._lease() as lease, self._archiving(lease) as archiving:
                    while not stop.is_set():
                        archiving.step()
                        if archiving.works:
                            self._problem = None
                    archiving.write_all()
            except (Unavailable, TopicRecreated) as error:
                if isinstance(error, Busy):
                    wait = STAND_BY
                else:
                    wait = FIRST_WAIT if self._problem is None else min(2 * wait, LONGEST_WAIT)
                    self.metrics.failures.inc()
                if self._problem != str(error):
                    logger.warning("begins anew in %.1f s, and until it can: %s", wait, error)
                self._problem = str(error)
                stop.wait(wait)

    def catch_up(self) -> None:
        """Archive what the log has now. Raises Unavailable or TopicRecreated as well."""
        with self._lease() as lease, self._archiving(lease) as archiving:
            while not archiving.caught_up:
                archiving.step()

    def _archiving(self, lease: Lease) -> Archiving:
        return Archiving(
            self._config, self._topic, self._archive, lease, self._limits, self.metrics
        )
