"""Redis keys and the packed values whose layout readers depend on; nobody formats a key inline.

A partition's keys carry its number as hash tag, so that they share a slot and one script can
commit them together on a Redis Cluster too. All state of a partition belongs to a generation;
`{p}:live` names the one to read and how far it has got, and is what a commit compares and sets.
A generation is three keys whatever the number of users, so that dropping one is one command.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

CATALOGUE: Final = b"{catalogue}"  # hash: movie id -> JSON of MovieEvent
CATALOGUE_VERSION: Final = b"{catalogue}:version"  # rises with every change; readers poll it
CATALOGUE_CHANGED: Final = b"{catalogue}:changed"  # sorted set: movie id by the version it came in
PARTITIONS: Final = b"partitions"  # string: how many partitions `ratings` has
SERVING_MODEL: Final = b"model:serving"  # JSON of the last ModelEvent
EXPERIMENTS: Final = b"experiments"  # hash: name -> JSON of the last ExperimentEvent
OUTCOME_PARTITIONS: Final = b"outcomes:partitions"  # string: how many `exposures` has
API_KEYS: Final = b"{api-keys}"  # hash: key id -> JSON of `api.guard.keys.ApiKey`
API_KEYS_VERSION: Final = b"{api-keys}:version"  # counts changes, so that readers can poll it


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition's state has got, in which log and which generation.

    Attributes:
        generation: which copy of the partition's state is live.
        topic_id: the identity of the topic; a recreated topic has another one.
        next_offset: the first offset that is not applied yet.
    """

    generation: int
    topic_id: str
    next_offset: int

    def encode(self) -> bytes:
        return f"{self.generation}|{self.topic_id}|{self.next_offset}".encode()

    @classmethod
    def decode(cls, value: bytes) -> "Position":
        generation, topic_id, next_offset = value.decode().split("|")
        return cls(int(generation), topic_id, int(next_offset))


def live(partition: int) -> bytes:
    """String: the encoded `Position`."""
    return b"{%d}:live" % partition


def generations(partition: int) -> bytes:
    """String: the last generation number handed out."""
    return b"{%d}:generations" % partition


def users(partition: int, generation: int) -> bytes:
    """Hash: user id -> packed user record (`stream.records`)."""
    return b"{%d}:%d:users" % (partition, generation)


def movies(partition: int, generation: int) -> bytes:
    """Hash: movie id -> packed `MovieState`, this partition's share of the movie's counts."""
    return b"{%d}:%d:movies" % (partition, generation)


def changed(partition: int, generation: int) -> bytes:
    """Sorted set: movie id by the `next_offset` of the last commit that wrote it.

    What was written before the generation was switched to need not be there: who reads another
    generation than before reads all of it.
    """
    return b"{%d}:%d:changed" % (partition, generation)


def kept(partition: int, user_id: int) -> bytes:
    """Hash: name -> when it expires, and what readers keep for the user (`stream.kept`)."""
    return b"{%d}:kept:%d" % (partition, user_id)


def outcome_position(partition: int) -> bytes:
    """String: how far a partition of `exposures` and of `feedback` is counted."""
    return b"{%d}:outcomes:position" % partition


def outcomes(partition: int) -> bytes:
    """Hash: user id -> packed `stream.experiments.outcomes.Person`."""
    return b"{%d}:outcomes:people" % partition


def outcome_sums(partition: int) -> bytes:
    """Hash: experiment, round, variant and two figures -> the sum of their products over people."""
    return b"{%d}:outcomes:sums" % partition


def idempotency(digest: str) -> bytes:
    """String: the stored answer to a request that named this idempotency key."""
    return b"idempotency:%s" % digest.encode()


def lease(name: str) -> bytes:
    """String: the token of who holds the lease; it ends by itself."""
    return b"lease:%s" % name.encode()


def answers_about(user_id: int) -> bytes:
    """Sorted set: the `idempotency` keys whose answers are about a person, by when they expire."""
    return b"answers:%d" % user_id


def version_tag(version: str) -> bytes:
    """Eight bytes that stand for a model version in a packed record."""
    return hashlib.blake2b(version.encode(), digest_size=8).digest()
