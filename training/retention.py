"""Models that nobody serves any more are dropped after a time."""

import shutil
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

from stream.contracts.errors import ConfigurationError
from stream.experiments.known import known_experiments
from stream.lease import Lease
from training.index import collection_name
from training.promotion import Promoter, versions
from training.registry import CHAMPION

# How a directory is called that is being written, or being dropped: `.<version>.partial`.
UNFINISHED: Final = ".*.partial"

# A model that was put there so lately may be about to be promoted, which nobody is told before. It
# takes seconds, or minutes where others are at it or an index is uploaded first.
SETTLING: Final = timedelta(hours=1)

# After which nobody writes to such a directory any more: it takes a minute to write the largest.
ABANDONED: Final = timedelta(hours=1)


class Pruned(NamedTuple):
    """What was dropped.

    Attributes:
        versions: of models, with their collections on a Qdrant server.
        unfinished: names of directories that a killed training, or pruning, left behind.
        registered: versions that were taken off MLflow's list: those dropped, and those refused.
    """

    versions: tuple[str, ...]
    unfinished: tuple[str, ...]
    registered: tuple[str, ...]


def prune(promoter: Promoter, older_than: timedelta, now: float | None = None) -> Pruned:
    """Drop the models that were written longer ago than that, and what is left of half a one.

    What is served stays, and what a rollback can go back to, the champion, what an experiment names
    that has not ended, and what may be about to be promoted (`SETTLING`); nothing is promoted
    meanwhile. A run that is cut short leaves nothing
    that looks like a model and is none; the next one goes on.

    1. Find what stays. Without knowing all of it, drop nothing.
    2. Of each model that goes, drop the collection on the Qdrant server.
    3. Then make its directory an unfinished one, which nobody takes for a model, and delete it.
    4. Delete unfinished directories that nobody has written to for `ABANDONED`.
    5. Take off MLflow's list what is as old and has no directory. What is refused never had one.

    Args:
        promoter: of the models.
        older_than: how long they are kept.
        now: s since the epoch.

    Raises:
        ConfigurationError: nothing was ever promoted, so that it is not known what to keep.
        Busy: others change what is served.
        Unavailable: broker, Redis, MLflow or the Qdrant server do not answer.
    """
    older_than = max(older_than, SETTLING)
    with promoter.turn() as turn:
        return _prune(promoter, turn, older_than, time.time() if now is None else now)


def _prune(promoter: Promoter, turn: Lease, older_than: timedelta, now: float) -> Pruned:
    # 1.
    served = promoter.served()
    if served is None:
        raise ConfigurationError(
            f"nothing is promoted in {promoter.topics.models}, so nothing is dropped: is this the "
            "Kafka that the API and the workers use?"
        )
    champion = promoter.registry.marked().get(CHAMPION, served.version)
    kept = {served.version, *served.previous, champion, *_tried(promoter, int(now * 1000))}
    gone = [
        version
        for version in versions(promoter.artifacts)
        if version not in kept
        and _older(promoter.artifacts / version, now - older_than.total_seconds())
    ]
    # 2.
    turn.check()
    _drop_collections(promoter, gone)
    # 3.
    for version in gone:
        turn.check()
        hidden = promoter.artifacts / f".{version}.partial"
        (promoter.artifacts / version).rename(hidden)
        shutil.rmtree(hidden)
    # 4.
    abandoned = [
        path
        for path in sorted(promoter.artifacts.glob(UNFINISHED))
        if _older(path, now - ABANDONED.total_seconds())
    ]
    for path in abandoned:
        shutil.rmtree(path)
    # 5.
    registered = promoter.registry.drop(
        {*kept, *versions(promoter.artifacts)}, now - older_than.total_seconds()
    )
    return Pruned(tuple(gone), tuple(path.name for path in abandoned), registered)


def _tried(promoter: Promoter, now: int) -> set[str]:
    """The versions that experiments name which run at a time (ms), or will."""
    experiments = known_experiments(promoter.kafka, promoter.topics.experiments).values()
    return {
        variant.model.version
        for experiment in experiments
        if experiment.stop is None or now < experiment.stop
        for variant in experiment.variants
        if variant.model is not None
    }


def _drop_collections(promoter: Promoter, versions: list[str]) -> None:
    if promoter.qdrant is None or not versions:
        return
    from training.index_server import drop_collection

    with closing(promoter.qdrant.connect()) as client:
        for version in versions:
            drop_collection(client, collection_name(version))


def _older(directory: Path, than: float) -> bool:
    """Whether nothing was added to it, or to a directory in it, since then (s)."""
    try:
        inside = [path for path in directory.rglob("*") if path.is_dir()]
        return all(path.stat().st_mtime < than for path in (directory, *inside))
    except FileNotFoundError:  # a training has just made a model of it, say
        return False
