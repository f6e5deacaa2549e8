import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producers import formats
from producers.datasets import Source, find, load
from stream.contracts.errors import DatasetError
from tests.producers import releases
from tests.producers.releases import Title
from training import prepare_order
from training.dataset import Ratings
from training.features import MovieSums, of_movies, of_users
from training.prepare import Options, Prepared, prepare
from training.split import TRAIN, ByTime, KFold, LastOut, Random, StrongGeneralisation

FILES = (
    *("ratings", "movies", "tags", "user_features", "movie_features", "interactions", "splits"),
)
START = 978_300_000  # s
MOVIES = [Title(movie, f"Film {movie}", 1990 + movie, ("Drama",)) for movie in range(1, 31)]

Line = tuple[int, int, float, int]


def release(directory: Path, lines: list[Line]) -> Source:
    return find(str(releases.write(directory, formats.CSV, lines, MOVIES)), cache=directory)


def lines(seed: int, users: int = 30, each: int = 12) -> list[Line]:
    """Some movies are rated again."""
    chance = np.random.default_rng(seed)
    return [
        (user, int(chance.integers(1, 31)), int(chance.integers(1, 11)) / 2, START + int(second))
        for user in range(1, users + 1)
        for second in chance.integers(0, 10**7, each)
    ]


def tables(prepared: Prepared) -> dict[str, pl.DataFrame]:
    return {name: pl.read_parquet(prepared.directory / f"{name}.parquet") for name in FILES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Ratings:
    dataset = load(find("100k", cache=tmp_path_factory.mktemp("cache"), say=lambda _: None))
    return Ratings.from_tables(dataset.ratings, dataset.movies, dataset.tags)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The real 100K in a dozen buckets."""
    directory = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_order, "BUCKET", 9_000)
        return prepare(find("100k", cache=directory, say=lambda _: None), directory)


def test_the_ratings_are_in_the_order_of_a_log(real: Prepared, whole: Ratings) -> None:
    written = tables(real)["ratings"]
    assert written["user_id"].to_list() == whole.users.tolist()
    assert written["timestamp"].to_list() == whole.times.tolist()
    ids = [whole.movies[row].movie_id for row in whole.rows.tolist()]
    assert written["movie_id"].to_list() == ids
    assert (written["rating"] * 2).to_list() == whole.half_stars.tolist()


def test_the_splits_are_those_of_the_whole_log(real: Prepared, whole: Ratings) -> None:
    splits = tables(real)["splits"]
    expected = {
        "random": Random().parts(whole)[0],
        "time": ByTime().parts(whole)[0],
        "leave_last_out": LastOut().parts(whole)[0],
        "strong_generalisation": StrongGeneralisation().parts(whole)[0],
        "fold": KFold().numbers(whole),
    }
    assert splits.columns == [*expected]
    for name, parts in expected.items():
        assert splits[name].dtype == pl.UInt8
        assert np.array_equal(splits[name].to_numpy(), parts), name
        assert sum(real.statistics["splits"][name].values()) == len(whole)
    assert real.statistics["splits"]["time"]["train"] == (expected["time"] == TRAIN).sum()


def test_the_features_are_those_of_the_whole_log(real: Prepared, whole: Ratings) -> None:
    written, now = tables(real), int(whole.times.max())
    users = of_users(whole, now)
    assert written["user_features"].select(users.columns).equals(users)
    movies = of_movies(MovieSums.of(whole, now), whole.movies, whole.genres)
    found = written["movie_features"].select(movies.columns)
    assert found.drop("rating_trend").equals(movies.drop("rating_trend"))
    assert found["rating_trend"].to_numpy() == pytest.approx(movies["rating_trend"].to_numpy())
    assert real.statistics["genres"] == [*whole.genres]


def test_the_figures(real: Prepared, whole: Ratings) -> None:
    stars = whole.half_stars / 2
    assert {name: real.statistics[name] for name in ("users", "movies", "ratings")} == {
        "users": 943,
        "movies": 1682,
        "ratings": 100_000,
    }
    assert real.statistics["sparsity"] == pytest.approx(1 - 100_000 / (943 * 1682))
    assert real.statistics["mean"] == pytest.approx(stars.mean())
    assert real.statistics["deviation"] == pytest.approx(stars.std())
    assert real.statistics["quality"]["missing"]["movies_without_year"] == 1
    assert real.statistics["scaling"]["movies"]["release_year"]["imputed"] == 1
    assert json.loads((real.directory / "statistics.json").read_text()) == real.statistics


def test_interactions(real: Prepared, whole: Ratings) -> None:
    written = tables(real)["interactions"]
    stars, train = whole.half_stars / 2, ByTime().parts(whole)[0] == TRAIN
    expected = np.empty(len(whole))
    for user in np.unique(whole.users).tolist():
        mine = whole.users == user
        known = stars[mine & train] if (mine & train).any() else stars[train]
        deviation = known.std() or stars[train].std()
        expected[mine] = (stars[mine] - known.mean()) / deviation
    assert written["rating_normalised"].to_numpy() == pytest.approx(expected, abs=1e-5)
    times = pl.from_epoch(pl.Series(whole.times), "ms")
    assert written["day_of_week"].to_list() == (times.dt.weekday() - 1).to_list()
    assert written["hour_of_day"].to_list() == times.dt.hour().to_list()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5)
@given(st.integers(0, 2**32), st.integers(1, 150))
def test_buckets_of_any_size_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, seed: int, bucket: int
) -> None:
    directory = tmp_path_factory.mktemp("any")
    source = release(directory, lines(seed))
    once = prepare(source, directory / "once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_order, "BUCKET", bucket)
        buckets = prepare(source, directory / "buckets")
    assert once.statistics["quality"] == buckets.statistics["quality"]
    for name, table in tables(once).items():
        other = tables(buckets)[name]
        numbers = pl.selectors.float()
        assert table.drop(numbers).equals(other.drop(numbers)), name
        for column in table.select(numbers).columns:
            assert other[column].to_list() == pytest.approx(table[column].to_list(), abs=1e-6)


def test_what_is_prepared_is_a_data_set_itself(tmp_path: Path) -> None:
    source = release(tmp_path / "raw", lines(1))
    releases.write_tags(tmp_path / "raw", formats.CSV)
    source = find(str(tmp_path / "raw"), cache=tmp_path)
    prepared = prepare(source, tmp_path)
    again = load(find(str(prepared.directory), cache=tmp_path))
    raw = load(source)
    assert again.ratings == raw.ratings
    assert again.movies == raw.movies
    assert again.tags == raw.tags
    assert raw.reports[0].superseded > 0
    assert prepared.statistics["quality"]["files"][0]["superseded"] == raw.reports[0].superseded
    second = prepare(again.source, tmp_path)
    assert tables(second)["splits"].equals(tables(prepared)["splits"])


def test_scaling_knows_nothing_of_what_comes_after_the_training_part(tmp_path: Path) -> None:
    known = [line for line in lines(2) if line[3] < START + 9 * 10**6]
    later = [line for line in lines(2) if line[3] >= START + 9 * 10**6]
    changed = [(user, movie, 5.5 - stars, second + 10**6) for user, movie, stars, second in later]
    one = prepare(release(tmp_path / "one", [*known, *later]), tmp_path)
    other = prepare(release(tmp_path / "other", [*known, *changed]), tmp_path)
    assert one.statistics["split_moments"]["validation_from"] <= (START + 9 * 10**6) * 1000
    assert one.statistics["scaling"] == other.statistics["scaling"]
    assert one.statistics["mean"] != other.statistics["mean"]
    both = tables(one)["interactions"], tables(other)["interactions"]
    before = tables(one)["splits"]["time"] == TRAIN
    one_known, other_known = (table.filter(before)["rating_normalised"] for table in both)
    assert one_known.equals(other_known)


def test_the_same_input_is_prepared_once(tmp_path: Path) -> None:
    source = release(tmp_path / "raw", lines(3))
    stages: list[str] = []

    def on_progress(stage: str, done: int, total: int) -> None:
        assert 0 < done <= total
        stages.append(stage)

    first = prepare(source, tmp_path, on_progress=on_progress)
    assert not first.cached
    assert [*dict.fromkeys(stages)] == [
        *("bytes hashed", "bytes read", "ratings ordered", "ratings described")
    ]
    stages.clear()
    second = prepare(source, tmp_path, on_progress=on_progress)
    assert second == first._replace(cached=True)
    assert {*stages} == {"bytes hashed"}
    assert first.directory.name.startswith("raw-")
    others = [
        prepare(source, tmp_path, Options(seed=1)),
        prepare(source, tmp_path, Options(lenient=True)),
        prepare(release(tmp_path / "raw", lines(4)), tmp_path),
    ]
    assert not any(other.cached for other in others)
    assert len({first.directory, *(other.directory for other in others)}) == 4


@pytest.mark.parametrize(
    "stage", ["bytes hashed", "bytes read", "ratings ordered", "ratings described"]
)
def test_an_interrupted_run_leaves_nothing(stage: str, tmp_path: Path) -> None:
    source = release(tmp_path / "raw", lines(5))

    def interrupt(at: str, *_: int) -> None:
        if at == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "prepared", on_progress=interrupt)
    assert [*(tmp_path / "prepared").glob("[!.]*")] == []
    assert [*(tmp_path / "prepared").glob("*unfinished*")] == []
    assert not prepare(source, tmp_path / "prepared").cached


KILLED = """
import os, sys
from pathlib import Path
from producers.datasets import find
from training.prepare import prepare

def die(stage, *_):
    if stage == "ratings described":
        os._exit(9)

prepare(find(sys.argv[1], cache=Path()), Path(sys.argv[2]), on_progress=die)
"""


def test_what_a_killed_run_left_is_not_taken_for_anything(tmp_path: Path) -> None:
    source, parent = release(tmp_path / "raw", lines(5)), tmp_path / "prepared"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "raw"), str(parent)]
    assert subprocess.run(command, check=False).returncode == 9
    assert (parent / ".unfinished" / "ratings.parquet").exists()
    prepared = prepare(source, parent)
    assert not prepared.cached
    assert [path.name for path in parent.glob("[!.]*")] == [prepared.directory.name]
    assert not (parent / ".unfinished").exists()
    assert {path.stem for path in prepared.directory.iterdir()} == {*FILES, "statistics"}


def test_who_comes_while_the_same_is_being_prepared_waits_for_it(tmp_path: Path) -> None:
    source = release(tmp_path / "raw", lines(8))
    begun, let_go = Event(), Event()

    def hold(stage: str, *_: int) -> None:
        if stage == "bytes read":
            begun.set()
            assert let_go.wait(30)

    def release_first(*_: object) -> None:
        let_go.set()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(prepare, source, tmp_path, on_progress=hold)
        assert begun.wait(30)
        second = prepare(source, tmp_path, on_progress=release_first)
        assert second == first.result()._replace(cached=True)


@pytest.mark.parametrize(
    ("some", "message"),
    [
        (lambda: [(1, 1, 3.0, START + i) for i in range(2)], "cannot be split by time"),
        (lambda: lines(6, users=4), "strong_generalisation: nothing would be in validation, test"),
        (lambda: lines(6, users=40, each=1), "random: nothing would be in validation, test"),
        (list, "has no data"),
    ],
)
def test_too_little_to_split(some: Callable[[], Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        prepare(release(tmp_path / "raw", some()), tmp_path)
    assert [path.name for path in tmp_path.glob("raw-*")] == []


def test_a_file_that_is_not_there_any_more(tmp_path: Path) -> None:
    source = release(tmp_path / "raw", lines(7))
    source.ratings.unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        prepare(source, tmp_path)
