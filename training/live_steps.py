"""A refresh in the real world: what `training.refresh_steps` says, done to broker, archive, models
and index."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from producers.admin import partition_count, topic_id
from stream.archive import Archive
from stream.contracts.errors import NothingToAsk
from stream.contracts.events import ModelEvent
from stream.log_reader import KafkaLog
from training.artifact import Artifact, LogPosition, Manifest
from training.challenge import hold, questions_after
from training.dataset import Ratings
from training.decisions import log_decision, publish_decision
from training.experiment import Experiment
from training.gate import Decision
from training.index import MovieIndex, collection_name
from training.index_check import check_index
from training.index_edge import EdgeIndex
from training.marks import Challenge
from training.pipeline import Outcome, train
from training.prequential import Questions
from training.promotion import Promoter, ensure_collection
from training.retention import prune
from training.served import Served
from training.snapshot import Snapshot, archived, read_catalogue, take_snapshot
from training.tower_inputs import Ints

DATA_SET = "archive"  # what MLflow is told that a refresh was trained on


class Shown(NamedTuple):
    """How the API makes lists, see `training.served.Served`."""

    trending: int
    popular: int
    longest: int

    def of(self, artifact: Path) -> Served:
        """A model as it is served."""
        return Served(artifact, *self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSteps:
    """See `training.refresh_steps.Steps`.

    Args:
        promoter: has models served, and knows where everything is.
        archive: of the `ratings` topic.
        experiment: what is trained, and how.
        shown: how the API makes lists.
        keep: how long models are kept that nobody serves.
    """

    promoter: Promoter
    archive: Archive
    experiment: Experiment
    shown: Shown
    keep: timedelta

    def served(self) -> ModelEvent | None:
        return self.promoter.served()

    def archived(self) -> LogPosition:
        kafka, topic = self.promoter.kafka, self.promoter.topics.ratings
        return archived(self.archive, topic_id(kafka, topic), partition_count(kafka, topic))

    def behind(self, archived: LogPosition) -> int:
        log = KafkaLog(self.promoter.kafka, self.promoter.topics.ratings)
        return asyncio.run(_behind(log, archived))

    def ready(self) -> None:
        self.promoter.registry.marked()
        if self.promoter.qdrant is not None:
            from training.index_server import holds

            with closing(self.promoter.qdrant.connect()) as client:
                holds(client, collection_name("none"), 0)

    def manifest(self, artifact: Path) -> Manifest:
        return Artifact.load(artifact).manifest

    def snapshot(self, end: LogPosition, since: LogPosition | None) -> Snapshot:
        movies = read_catalogue(self.promoter.kafka, self.promoter.topics.movies)
        return take_snapshot(self.archive, movies, end, since)

    def asked(self, snapshot: Snapshot) -> Ints:
        try:
            return _questions(snapshot).users
        except NothingToAsk:
            return np.empty(0, np.int64)

    def train(self, snapshot: Snapshot, champion: Path | None, parent: Path) -> Outcome:
        return train(
            snapshot.known,
            snapshot.movies,
            parent,
            config=self.experiment.towers,
            two_stage=self.experiment.two_stage,
            options=self.experiment.run,
            champion=champion,
            position=snapshot.position,
        )

    def examine(self, champion: Path | None, challenger: Path, snapshot: Snapshot) -> Challenge:
        rival = None if champion is None else self.shown.of(champion)
        return hold(rival, self.shown.of(challenger), _questions(snapshot))

    def record(self, outcome: Outcome, decision: Decision) -> None:
        self.promoter.registry.record(outcome, DATA_SET)
        log_decision(decision, self.promoter.registry.tracking_uri)

    def build_index(self, artifact: Path, snapshot: Snapshot) -> None:
        model = Artifact.load(artifact)
        log = Ratings.from_tables(snapshot.known, snapshot.movies)
        with self._index(model) as index:
            checked = check_index(index, model, log)
        self.promoter.registry.note(model.manifest.version, checked.figures())

    def drop_index(self, version: str) -> None:
        if self.promoter.qdrant is None:
            return
        from training.index_server import drop_collection

        with closing(self.promoter.qdrant.connect()) as client:
            drop_collection(client, collection_name(version))

    def promote(self, version: str, served: ModelEvent | None) -> tuple[str, ...]:
        return self.promoter.replace(served, version).left

    def announce(self, decision: Decision) -> None:
        publish_decision(decision, self.promoter.kafka, self.promoter.topics.refreshes)

    def prune(self) -> None:
        if self.promoter.served() is not None:
            prune(self.promoter, self.keep)

    @contextmanager
    def _index(self, model: Artifact) -> Iterator[MovieIndex]:
        """The one that will be served; on a server it is built first."""
        if self.promoter.qdrant is None:
            index = EdgeIndex(model.index_directory, model.items, model.movies())
            with closing(index) as edge:
                yield edge
            return
        from training.index_server import ServerIndex

        collection = collection_name(model.manifest.version)
        with closing(self.promoter.qdrant.connect()) as client:
            ensure_collection(client, model)
            yield ServerIndex(client, collection, model.manifest.dimensions)


def _questions(snapshot: Snapshot) -> Questions:
    """The exam's. Raises NothingToAsk."""
    log = pa.concat_tables([snapshot.known, snapshot.asked])
    return questions_after(
        Ratings.from_tables(log, snapshot.movies),
        Ratings.from_tables(snapshot.known, snapshot.movies),
        seen=snapshot.seen,
    )


async def _behind(log: KafkaLog, archived: LogPosition) -> int:
    ends = [await log.end(partition) for partition in range(len(archived.offsets))]
    return sum(max(end - of, 0) for end, of in zip(ends, archived.offsets, strict=True))
