"""Drift of a planted model on an archive: what counts as learnt, and what is found of it."""

import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from stream.archive import Archive
from stream.archive_files import SCHEMA
from stream.coldstart import MANIFEST
from stream.contracts.errors import DatasetError
from stream.contracts.events import MovieEvent, RefreshEvent
from stream.features import DAY
from tests.planted_model import CATALOGUE, GENRES, Trait
from training.artifact import LogPosition, read_manifest
from training.drift import Check, Drift
from training.drift_measure import measure, quality_at_promotion
from training.follow_up import Shown
from training.served import Served

START = 1_700_000_000_000  # ms
NOW = START + 100 * DAY
TOPIC = "topic"
PEOPLE = 25
NOTHING = Shown((), 0)
LATER = 9_999  # a movie that came after the model

MOVIES = {
    of.movie_id: MovieEvent(
        event_id="m",
        movie_id=of.movie_id,
        title=of.title,
        genres=(of.genre,),
        year=of.year,
        event_time=START,
        produced_time=START,
        source="replay",
    )
    for of in CATALOGUE
}
MOVIES[LATER] = msgspec.structs.replace(MOVIES[CATALOGUE[0].movie_id], movie_id=LATER)

# What (user, movie, stars, day) there is of each partition, in order.
Events = list[list[tuple[int, int, float, float]]]


def in_one_genre(users: range, day: float, stars: float = 5.0, count: int = 6) -> Events:
    """Each user rates movies of a genre of their own, an hour apart; odd ones in partition 1."""
    events: Events = [[], []]
    for user in users:
        mine = [movie for movie in CATALOGUE if movie.genre == GENRES[user % 6]]
        chosen = np.random.default_rng(user).permutation(len(mine))[:count]
        events[user % 2] += [
            (user, mine[at].movie_id, stars, day + place / 24) for place, at in enumerate(chosen)
        ]
    return events


def archived(directory: Path, *parts: Events) -> tuple[Archive, LogPosition]:
    """An archive of all of it, one part after the other, and where it ends."""
    archive = Archive.open(str(directory))
    ends = []
    for number in range(2):
        rows = [event for part in parts for event in part[number]]
        times = [datetime.fromtimestamp((START + day * DAY) / 1000, UTC) for *_, day in rows]
        columns = {
            "user_id": [user for user, *_ in rows],
            "movie_id": [movie for _, movie, *_ in rows],
            "rating": [stars for _, _, stars, _ in rows],
            "event_time": times,
            "produced_time": times,
            "record_time": times,
            "event_id": ["an id"] * len(rows),
            "source": ["api"] * len(rows),
            "offset": list(range(len(rows))),
        }
        arrays = [pa.array(columns[field.name]).cast(field.type) for field in SCHEMA]
        archive.append(TOPIC, number, 0, len(rows), pa.table(arrays, schema=SCHEMA))
        ends.append(len(rows))
    return archive, LogPosition(TOPIC, tuple(ends))


Model = Callable[..., Served]


@pytest.fixture
def model(models: Mapping[Trait, Path], tmp_path: Path) -> Model:
    """A planted model that knows genres, and says what it has learnt as it is told."""

    def made(position: LogPosition | None = None, until: int = 0) -> Served:
        directory = tmp_path / "model"
        shutil.copytree(models["genre"], directory)
        manifest = msgspec.structs.replace(read_manifest(directory), position=position, until=until)
        (directory / MANIFEST).write_bytes(msgspec.json.encode(manifest))
        return Served(directory, trending=5, popular=20, longest=30)

    return made


def by_name(found: Drift) -> dict[str, Check]:
    return {check.name: check for check in found.checks}


OLD = in_one_genre(range(1, PEOPLE + 1), 0)
SAME = in_one_genre(range(101, 101 + PEOPLE), 90)
LOW = in_one_genre(range(101, 101 + PEOPLE), 90, stars=2.0)
END_OF_OLD = LogPosition(TOPIC, tuple(map(len, OLD)))


def test_what_is_like_before_has_not_drifted(model: Model, tmp_path: Path) -> None:
    archive, end = archived(tmp_path / "archive", OLD, SAME)
    found = measure(model(END_OF_OLD), 0.02, archive, end, MOVIES, NOW, NOTHING)
    assert found.version == read_manifest(tmp_path / "model").version
    assert found.measured_at == NOW
    checks = by_name(found)
    assert {check.name for check in found.above} == {"model_events"}  # all of it is new
    assert checks["model_events"].value == 1
    assert checks["model_days"].value == pytest.approx(10)
    assert checks["index_events"].value == 0
    assert checks["lost_quality"].value < 0  # it knows whose genre is whose
    assert checks["shown_quality"].says.startswith("0 lists shown")


def test_where_nobody_noted_what_was_shown_the_rest_is_measured(
    model: Model, tmp_path: Path
) -> None:
    archive, end = archived(tmp_path / "archive", OLD)
    known = measure(model(END_OF_OLD), 0.02, archive, end, MOVIES, NOW, NOTHING)
    unknown = measure(
        Served(tmp_path / "model", trending=5, popular=20, longest=30),
        0.02,
        archive,
        end,
        MOVIES,
        NOW,
        None,
    )
    assert [check.name for check in unknown.checks] == [check.name for check in known.checks]
    check = by_name(unknown)["shown_quality"]
    assert np.isnan(check.value)
    assert check.says.startswith("there is no topic of what people were shown")


def test_other_stars_and_lost_quality(model: Model, tmp_path: Path) -> None:
    archive, end = archived(tmp_path / "archive", OLD, LOW)
    checks = by_name(measure(model(END_OF_OLD), 0.2, archive, end, MOVIES, NOW, NOTHING))
    assert checks["shift_rating"].above
    assert np.isnan(checks["lost_quality"].value)
    assert checks["lost_quality"].says.startswith("nothing to ask")

    shutil.rmtree(tmp_path / "model")
    archive, end = archived(tmp_path / "another", OLD, SAME)
    checks = by_name(measure(model(END_OF_OLD), 0.99, archive, end, MOVIES, NOW, NOTHING))
    assert checks["lost_quality"].above


def test_learnt_is_what_is_before_the_position_whenever_it_happened(
    model: Model, tmp_path: Path
) -> None:
    """A rating of a time long ago that arrives late is news; to a model of files it is not."""
    late = in_one_genre(range(101, 104), -5)
    archive, end = archived(tmp_path / "archive", OLD, late)
    checks = by_name(measure(model(END_OF_OLD), 0.2, archive, end, MOVIES, NOW, NOTHING))
    assert checks["model_events"].says == "18 events after 150 learnt"

    for position in (None, LogPosition("another", END_OF_OLD.offsets)):
        shutil.rmtree(tmp_path / "model")
        of_files = model(position, until=START + DAY)
        checks = by_name(measure(of_files, 0.2, archive, end, MOVIES, NOW, NOTHING))
        assert checks["model_events"].value == 0


def test_movies_that_came_after_the_index(model: Model, tmp_path: Path) -> None:
    news: Events = [[(200, LATER, 5.0, 98.0), (200, CATALOGUE[0].movie_id, 5.0, 95.0)], []]
    archive, end = archived(tmp_path / "archive", OLD, news)
    checks = by_name(measure(model(END_OF_OLD), 0.2, archive, end, MOVIES, NOW, NOTHING))
    assert checks["index_events"].value == 0.5
    assert checks["index_days"].value == pytest.approx(2)
    assert checks["model_days"].value == pytest.approx(5)


def test_nothing_new_and_nothing_at_all(model: Model, tmp_path: Path) -> None:
    archive, end = archived(tmp_path / "archive", OLD)
    served = model(END_OF_OLD)
    assert not measure(served, 0.2, archive, end, MOVIES, NOW, NOTHING).above
    with pytest.raises(DatasetError, match=r"has 150 ratings up to .* none of a movie"):
        measure(served, 0.2, archive, end, {}, NOW, NOTHING)


def test_what_it_was_worth_at_promotion(models: Mapping[Trait, Path]) -> None:
    manifest = read_manifest(models["genre"])
    trained = msgspec.structs.replace(manifest, metrics={"live_two_stage_ndcg": 0.3})
    decided = RefreshEvent(
        event_id="r",
        champion=None,
        challenger=manifest.version,
        promoted=True,
        reasons=(),
        figures={"challenger_ndcg@10": 0.25},
        event_time=START,
        produced_time=START,
    )
    assert np.isnan(quality_at_promotion(manifest, None))
    assert quality_at_promotion(trained, None) == 0.3
    assert quality_at_promotion(trained, decided) == 0.25
    by_another_metric = msgspec.structs.replace(decided, figures={"challenger_hit_rate@10": 0.5})
    assert quality_at_promotion(trained, by_another_metric) == 0.3
