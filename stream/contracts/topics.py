"""The topics, and which partition a user's events belong to."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from aiokafka.partitioner import murmur2

# librdkafka's name for the partitioner that Java clients and aiokafka use by default. Its own
# default (CRC32) would put a user's events in another partition than theirs.
LIBRDKAFKA_PARTITIONER: Final = "murmur2_random"


@dataclass(frozen=True, slots=True)
class Topics:
    """Topic and group names, under an optional prefix for a Kafka shared with others."""

    prefix: str = ""

    @property
    def ratings(self) -> str:
        return f"{self.prefix}ratings"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}ratings.dlq"

    @property
    def movies(self) -> str:
        return f"{self.prefix}movies"

    @property
    def models(self) -> str:
        return f"{self.prefix}models"

    @property
    def refreshes(self) -> str:
        return f"{self.prefix}refreshes"

    @property
    def experiments(self) -> str:
        return f"{self.prefix}experiments"

    @property
    def exposures(self) -> str:
        return f"{self.prefix}exposures"

    @property
    def feedback(self) -> str:
        return f"{self.prefix}feedback"

    @property
    def shown(self) -> tuple[str, str]:
        """Those of what was shown and what came of it, partitioned as `ratings` is."""
        return self.exposures, self.feedback

    @property
    def group(self) -> str:
        """The consumer group of the stream workers."""
        return f"{self.prefix}freshet"


@lru_cache(maxsize=1 << 18)
def partition_of(user_id: int, partitions: int) -> int:
    """The partition of a user's events: murmur2 of the key, as Java clients and aiokafka do."""
    return int(murmur2(b"%d" % user_id) & 0x7FFFFFFF) % partitions
