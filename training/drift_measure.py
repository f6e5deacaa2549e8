"""Drift of the model that is served, measured on the archive of the log: see `training.drift`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from stream.coldstart import ItemVectors
from stream.contracts.errors import DatasetError
from stream.contracts.events import MovieEvent, RefreshEvent
from training import compare
from training.artifact import LogPosition, Manifest, read_manifest
from training.challenge import events_after, questions_after
from training.compare import Interval
from training.dataset import Ratings, catalogue_of
from training.drift import Age, Check, Drift, lost_quality, shifts, staleness
from training.follow_up import METRIC, UNSEEN, Shown, follow_ups, shown_quality
from training.metrics import parse, ranking_of_one
from training.prequential import ask
from training.served import Served
from training.snapshot import Archived, catalogue_table, named, read_logs
from training.tuning import OPENMP_THREADS

# Of a manifest: the same of the model's twin that knew less, measured when it was trained.
_TRAINED: Final = "live_two_stage_ndcg"

# Lists, the newest: their mean is known to a few percent, and to ask takes half a minute.
LISTS: Final = 5_000

_Flags = npt.NDArray[np.bool_]


def quality_at_promotion(manifest: Manifest, refresh: RefreshEvent | None) -> float:
    """METRIC of a model when it was promoted; NaN where nobody knows.

    Args:
        manifest: of the model.
        refresh: the decision about it; None where nobody decided, as of the first model.
    """
    trained = manifest.figures_of(_TRAINED).get(_TRAINED, np.nan)
    return trained if refresh is None else refresh.figures.get(f"challenger_{METRIC}", trained)


def measure(
    model: Served,
    promoted: float,
    archive: Archived,
    end: LogPosition,
    movies: Mapping[int, MovieEvent],
    now: int,
    shown: Shown | None,
) -> Drift:
    """Measure what is served on all that is archived.

    1. Read the archive, and see what of it the model has learnt: what is before its position; where
       it learnt from files, or from another topic, what happened by the time of its last rating.
    2. Compare the distributions of the newest events with those of the last that it learnt.
    3. Ask it about the newest events, as the exam does (`training.challenge`).
    4. See what came of its lists that people were shown.
    5. Count what it has not learnt, and what its index had not heard of.

    Args:
        model: what is served, not fitted.
        promoted: `quality_at_promotion`.
        archive: of the log.
        end: how far to read it.
        movies: the catalogue, by movie id.
        now: ms since the epoch.
        shown: the lists that people were shown lately; None where nobody noted them.

    Raises:
        ArtifactError: the model is damaged, or does not fit this code.
        DatasetError: the archive has no ratings of movies that the catalogue knows.
        FreshetError: the archive cannot be read.
    """
    # 1.
    manifest = read_manifest(model.directory)
    logs = read_logs(archive, end)
    rows = pa.concat_tables(logs)
    learnt = np.concatenate([_learnt(manifest, end, number, of) for number, of in enumerate(logs)])
    catalogue = catalogue_table(movies.values())
    log, known = (
        Ratings.of(pl.DataFrame(pl.from_arrow(some)), catalogue_of(catalogue))
        for some in (
            named(rows, catalogue["movie_id"]),
            named(rows.filter(pa.array(learnt)), catalogue["movie_id"]),
        )
    )
    if not len(log):
        raise DatasetError(
            f"the archive has {len(rows)} ratings up to {end.offsets}, and none of a movie that "
            "the catalogue knows: it takes in what `freshet archive` reads"
        )
    # 2.
    newest = np.zeros(len(log), np.bool_)
    newest[events_after(log, known)] = True
    checks = shifts(log, newest)
    # 3.
    checks.append(_quality(model, promoted, log, known))
    # 4.
    if shown is None:
        checks.append(UNSEEN)
    else:
        checks.append(shown_quality(follow_ups(shown, rows), manifest.version, promoted))
    # 5.
    checks += staleness(_age(model, rows, learnt, now))
    return Drift(manifest.version, now, tuple(checks))


def _learnt(manifest: Manifest, end: LogPosition, partition: int, rows: pa.Table) -> _Flags:
    """bool[rows]: which of a partition's the model has learnt."""
    position = manifest.position
    if position is not None and end.covers(position):
        return np.asarray(rows["offset"].to_numpy() < position.offsets[partition])
    return np.asarray(_millis(rows["event_time"]) <= manifest.until)


def _quality(model: Served, promoted: float, log: Ratings, known: Ratings) -> Check:
    try:
        questions = questions_after(log, known, limit=len(log))
    except DatasetError as error:  # nothing new, which is not for the operator to mend
        check = lost_quality(METRIC, promoted, Interval(np.nan, np.nan, np.nan), 0)
        return check._replace(says=str(error))
    questions = replace(questions, events=questions.events[-LISTS:])
    with threadpool_limits(OPENMP_THREADS, "openmp"):
        model.fit(questions.known)
        places = ask(model, questions, "fresh")
    of_lists = ranking_of_one(places, [parse(METRIC)[1]])[METRIC]
    found = compare.mean(of_lists, questions.users)
    return lost_quality(METRIC, promoted, found.interval, found.lists)


def _age(model: Served, rows: pa.Table, learnt: _Flags, now: int) -> Age:
    new = rows.filter(pa.array(~learnt))
    indexed = pa.array(ItemVectors.load(model.directory).movie_ids, pa.uint32())
    unindexed = new.filter(pc.invert(pc.is_in(new["movie_id"], indexed)))
    return Age(
        learnt=int(learnt.sum()),
        unlearnt=len(new),
        waiting=_waiting(new, now),
        unindexed=len(unindexed),
        unindexed_waiting=_waiting(unindexed, now),
    )


def _waiting(rows: pa.Table, now: int) -> int:
    """ms since the first of these records."""
    return max(now - int(_millis(rows["record_time"]).min()), 0) if len(rows) else 0


def _millis(times: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(times.cast(pa.int64()).to_numpy())
