"""What is served: said by the `models` topic alone, and changed by one message on it.

API processes and workers load what the last message names beside what they have, and switch. Each
message names what was served before, so a rollback needs nothing but the log and the artifact.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from producers.admin import ensure_topics
from producers.publisher import BulkPublisher
from stream.contracts.errors import (
    ArtifactError,
    Busy,
    ConfigurationError,
    FreshetError,
)
from stream.contracts.events import MODEL_KEY, ModelEvent, decode_model, encode, new_event_id
from stream.contracts.topics import Topics
from stream.lease import Lease
from stream.topic_events import topic_events
from training.artifact import Artifact
from training.index import collection_name
from training.registry import Registry

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

# Versions that a rollback can go back to, one after the other. The artifact of each is kept.
REMEMBERED: Final = 3

LEASE: Final = "models"  # who changes what is served, or drops what is not

# Seconds to wait for others at it, who take some; minutes where they build a Qdrant server's index.
PATIENCE: Final = 30.0

QDRANT_TIMEOUT: Final = 60  # s for a call to a Qdrant server while an index is uploaded to it


class QdrantServer(NamedTuple):
    """Where a Qdrant server is, and how to log in."""

    url: str
    api_key: str | None = None

    def connect(self) -> "QdrantClient":
        from training.index_server import connect  # its import takes a second

        return connect(self.url, self.api_key, QDRANT_TIMEOUT)


class Promoted(NamedTuple):
    """What came of a promotion.

    Attributes:
        event: what everybody serves from now on.
        left: sentences for people: what should have followed and did not.
    """

    event: ModelEvent
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Promoter:
    """Has models served.

    Args:
        artifacts: a directory of models, each named by its version, that API and workers see too.
        kafka: `Settings.librdkafka()`.
        topics: their names.
        registry: where models are remembered.
        redis: its URL; there is the lease on what is served.
        qdrant: whose collections are served; None: the index in each artifact.
        partitions: of `ratings`, where it is created.
        replication: of topics that are created.
    """

    artifacts: Path
    kafka: Mapping[str, str]
    topics: Topics
    registry: Registry
    redis: str
    qdrant: QdrantServer | None = None
    partitions: int = 8
    replication: int = 1

    def served(self) -> ModelEvent | None:
        """The last promotion; None before the first. Raises BrokerUnavailable."""
        return last_promotion(self.kafka, self.topics.models)

    @contextmanager
    def turn(self) -> Iterator[Lease]:
        """Nobody else promotes, goes back or drops models meanwhile: what is served stays.

        Raises Busy where somebody is at it for longer than `PATIENCE`, and StoreUnavailable.
        """
        waiting = Retrying(
            retry=retry_if_exception_type(Busy),
            wait=wait_fixed(0.2),
            stop=stop_after_delay(PATIENCE),
            reraise=True,
        )
        with ExitStack() as stack:
            name = f"{self.topics.prefix}{LEASE}"
            yield waiting(lambda: stack.enter_context(Lease(self.redis, name)))

    def promote(self, version: str) -> Promoted:
        """Have a version served from now on; what is served already is announced again.

        Raises:
            ConfigurationError: there is no such version.
            ArtifactError: it is damaged, or this code cannot serve it.
            IndexUnavailable: the Qdrant server does not answer. As above, nothing has changed.
            Busy: others change what is served. As above, nothing has changed.
            StoreUnavailable: Redis does not answer. As above, nothing has changed.
            BrokerUnavailable: the promotion was not acknowledged.
        """
        with self.turn() as turn:
            directory_of(self.artifacts, version)
            self._ensure_topics()
            return self._promote(turn, version, self.served())

    def replace(self, served: ModelEvent | None, version: str) -> Promoted:
        """`promote`, if `served` is still the last promotion; None: if there was none yet.

        Raises:
            Busy: it is not: nobody is to have their rollback undone by what was decided before it.
            FreshetError: as `promote`.
        """
        with self.turn() as turn:
            directory_of(self.artifacts, version)
            self._ensure_topics()
            now = self.served()
            if now != served:
                raise Busy(
                    f"{now.version if now else 'nothing'} is served instead of "
                    f"{served.version if served else 'nothing'} since it was decided to serve "
                    f"{version}: decide anew"
                )
            return self._promote(turn, version, now)

    def rollback(self) -> Promoted:
        """Serve what was served before. Again: what was served before that.

        Raises:
            ConfigurationError: there is nothing to go back to.
            FreshetError: as `promote`.
        """
        with self.turn() as turn:
            self._ensure_topics()
            served = self.served()
            if served is None or not served.previous:
                nothing = f"nothing was served before {served.version}" if served else ""
                raise ConfigurationError(
                    f"{nothing or 'nothing is served'}, so there is nothing to go back to: promote "
                    f"one of {', '.join(versions(self.artifacts)) or 'those that you train'}"
                )
            version, *before = served.previous
            return self._serve(turn, version, before)

    def _promote(self, turn: Lease, version: str, served: ModelEvent | None) -> Promoted:
        before = (served.version, *served.previous) if served else ()
        others = [it for it in before if it != version][:REMEMBERED]
        return self._serve(turn, version, others)

    def _serve(self, turn: Lease, version: str, before: Sequence[str]) -> Promoted:
        """Have a version served after others.

        1. Open its artifact, which compares every file with what was written.
        2. On a Qdrant server, build its collection unless all of it is there.
        3. Tell everyone, if it is still our turn. Whatever fails from here on, it is served.
        4. Give it the alias on the Qdrant server, for other clients.
        5. Make it the champion in MLflow.
        """
        # 1.
        artifact = Artifact.load(directory_of(self.artifacts, version))
        if artifact.manifest.version != version:
            raise ArtifactError(
                f"{artifact.directory} holds model {artifact.manifest.version}: name it so"
            )
        # 2.
        if self.qdrant is not None:
            with closing(self.qdrant.connect()) as client:
                ensure_collection(client, artifact)
        # 3.
        turn.check()
        event = announce(artifact, self.kafka, self.topics.models, before)
        # 4.
        left = []
        if self.qdrant is not None:
            try:
                self._switch_alias(event.collection)
            except FreshetError as error:
                left.append(f"{error}. Promote {version} again for it")
        # 5.
        try:
            if not self.registry.mark_champion(version):
                left.append(f"{self.registry.tracking_uri} does not know {version}: not tracked")
        except FreshetError as error:
            left.append(f"{error}. Promote {version} again for its alias there")
        return Promoted(event, tuple(left))

    def _switch_alias(self, collection: str) -> None:
        from training.index_server import switch_alias

        assert self.qdrant is not None
        with closing(self.qdrant.connect()) as client:
            switch_alias(client, collection)

    def _ensure_topics(self) -> None:
        ensure_topics(self.kafka, self.topics, self.partitions, self.replication)


def versions(artifacts: Path) -> list[str]:
    """The models in a directory, latest first; not those that are still being written."""
    if not artifacts.is_dir():
        return []
    found = (path.name for path in artifacts.iterdir() if path.is_dir())
    return sorted((name for name in found if not name.startswith(".")), reverse=True)


def directory_of(artifacts: Path, version: str) -> Path:
    """A model's artifact. Raises ConfigurationError, which names the models that there are."""
    known = versions(artifacts)
    if version not in known:
        there = f"there are {', '.join(known)}" if known else "there is none: train one"
        raise ConfigurationError(f"no model {version} in {artifacts}: {there}")
    return artifacts / version


def last_promotion(kafka: Mapping[str, str], topic: str) -> ModelEvent | None:
    """What the log says is served; None before the first promotion, and before there is a log.

    Args:
        kafka: `Settings.librdkafka()`.
        topic: `Topics.models`.

    Raises BrokerUnavailable where nobody answers in time.
    """
    return next(reversed(topic_events(kafka, topic, decode_model)), None)


def announce(
    artifact: Artifact, kafka: Mapping[str, str], topic: str, previous: Sequence[str] = ()
) -> ModelEvent:
    """Tell everyone to serve this model; returns once the broker has it.

    Args:
        artifact: at a path that the API and the workers see too.
        kafka: `Settings.librdkafka()`.
        topic: `Topics.models`.
        previous: versions served before, latest first.

    Raises BrokerUnavailable where the promotion was not acknowledged.
    """
    now, manifest = int(time.time() * 1000), artifact.manifest
    event = ModelEvent(
        event_id=new_event_id(),
        version=manifest.version,
        artifact=str(artifact.directory.absolute()),
        collection=collection_name(manifest.version),
        position=manifest.position.offsets if manifest.position else (),
        previous=tuple(previous),
        event_time=now,
        produced_time=now,
    )
    with BulkPublisher(kafka) as publisher:
        publisher.publish(topic, MODEL_KEY, encode(event))
    return event


def ensure_collection(client: "QdrantClient", artifact: Artifact) -> None:
    """Have the server hold the model's collection, whole; one that is there already is kept.

    Raises IndexUnavailable.
    """
    from training.index_server import build_server_index, holds

    collection, movies = collection_name(artifact.manifest.version), artifact.movies()
    if not holds(client, collection, len(movies)):
        build_server_index(client, collection, movies, artifact.items.vectors)
