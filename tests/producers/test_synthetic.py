"""The generated data has the size that was asked for, MovieLens' shape, and the planted answer."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from infra.cli import app
from producers.datasets import find, load
from producers.planted import END, START, YEAR, Parameters, Planted, plant
from producers.synthetic import generate, generate_tables, write
from producers.tables import MOVIES, RATINGS
from stream.contracts.errors import ConfigurationError

TINY = Parameters(users=30, movies=400, ratings=900, seed=3)
CHANCE = np.random.default_rng(5)

Floats = npt.NDArray[np.float64]


class World(NamedTuple):
    """What is planted, and rows of users and movies, stars and seconds, by user and time."""

    planted: Planted
    users: npt.NDArray[np.int64]
    movies: npt.NDArray[np.int64]
    stars: Floats
    seconds: npt.NDArray[np.int64]

    @property
    def progress(self) -> Floats:
        """How far tastes have moved, worked out from the times alone."""
        first = np.full(self.planted.parameters.users, END)
        np.minimum.at(first, self.users, self.seconds)
        days = (self.seconds - first[self.users]) / 86_400
        return np.minimum(1, days / self.planted.parameters.drift)


def made(parameters: Parameters) -> World:
    planted = plant(parameters)
    ratings = pl.DataFrame(pa.concat_tables(generate(planted))).sort("user_id", "timestamp")
    return World(
        planted,
        ratings["user_id"].to_numpy() - 1,
        ratings["movie_id"].cast(pl.Int64).to_numpy() - 1,
        ratings["rating"].cast(pl.Float64).to_numpy(),
        ratings["timestamp"].to_numpy() // 1000,
    )


@pytest.fixture(scope="module")
def world() -> World:
    return made(Parameters(users=3_000, movies=4_000, ratings=300_000, seed=7))


def correlation(one: Floats, other: Floats) -> float:
    return float(np.corrcoef(one, other)[0, 1])


@settings(max_examples=40, deadline=None)
@given(
    users=st.integers(1, 60),
    movies=st.integers(60, 500),
    each=st.floats(1, 40),
    clusters=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_any_size_is_exact_and_valid(
    users: int, movies: int, each: float, clusters: int, seed: int
) -> None:
    parameters = Parameters(
        users=users, movies=movies, ratings=int(users * each), clusters=clusters, seed=seed
    )
    try:
        planted = plant(parameters)
    except ConfigurationError:
        reject()
    table = pa.concat_tables(generate(planted))
    assert table.schema == RATINGS
    ratings = pl.DataFrame(table)
    assert len(ratings) == planted.activity.sum() == parameters.ratings
    counts = ratings.group_by("user_id").len().sort("user_id")
    assert counts["user_id"].to_list() == list(range(1, users + 1))
    assert (counts["len"].to_numpy() == planted.activity).all()
    assert not ratings.select("user_id", "movie_id").is_duplicated().any()
    assert not ratings.select("user_id", "timestamp").is_duplicated().any()
    assert ratings.equals(ratings.sort("timestamp", "user_id", "movie_id"))
    assert ratings["movie_id"].is_between(1, movies).all()
    assert set(ratings["rating"]) <= {half / 2 for half in range(1, 11)}
    assert ratings["timestamp"].is_between(START * 1000, END * 1000).all()
    released = planted.released[ratings["movie_id"].cast(pl.Int64).to_numpy() - 1]
    assert (ratings["timestamp"].to_numpy() >= 1000 * released).all()


def test_the_seed_decides() -> None:
    ratings, movies = generate_tables(TINY)
    again, movies_again = generate_tables(TINY)
    other, other_movies = generate_tables(Parameters(users=30, movies=400, ratings=900, seed=4))
    assert ratings.equals(again)
    assert movies.equals(movies_again)
    assert not ratings.equals(other)
    assert not movies.equals(other_movies)


def test_groups_of_users_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.synthetic._CHUNK", 100)  # some users have more than that
    planted = plant(Parameters(users=9, movies=800, ratings=900, seed=3))
    tables = list(generate(planted))
    assert [len(table) for table in tables] == [100] * 9
    ratings = pl.DataFrame(pa.concat_tables(tables))
    counts = ratings.group_by("user_id").len().sort("user_id")["len"].to_numpy()
    assert planted.activity.max() > 100
    assert (counts == planted.activity).all()
    assert not ratings.select("user_id", "movie_id").is_duplicated().any()
    assert ratings["timestamp"].is_sorted()


def test_people_may_rate_all_they_can() -> None:
    most = int((plant(TINY).released <= START).sum()) // 2
    ratings, _ = generate_tables(Parameters(users=5, movies=400, ratings=5 * most, seed=3))
    assert pl.DataFrame(ratings).n_unique(["user_id", "movie_id"]) == 5 * most
    with pytest.raises(ConfigurationError, match=f"at most {most} each"):
        generate_tables(Parameters(users=5, movies=400, ratings=5 * most + 1, seed=3))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"users": 0}, "a user or more"),
        ({"clusters": 257, "movies": 10_000}, "1 to 256 clusters"),
        ({"movies": 399}, "too few for 20 clusters"),
        ({"movies": 3_000_000}, "too many"),
        ({"users": 901}, "everyone has one"),
    ],
)
def test_impossible_sizes(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Parameters(**({"users": 30, "movies": 400, "ratings": 900} | wrong))


def test_the_catalogue() -> None:
    planted = plant(Parameters(users=10, movies=1_000, ratings=100, seed=1))
    table = planted.movies_table()
    movies = pl.DataFrame(table)
    assert table.schema == MOVIES
    assert movies["movie_id"].to_list() == list(range(1, 1_001))
    assert movies["title"].n_unique() == 1_000
    assert movies["genres"].list.len().is_between(1, 4).all()
    january = movies.select(pl.date("year", 1, 1).dt.epoch("s")).to_series().to_numpy()
    assert (january <= planted.released).all()
    assert (planted.released < january + YEAR + 86_400).all()


def test_genres_tell_clusters_apart(world: World) -> None:
    genres = world.planted.genres[:1_000].astype(np.float64)
    genres /= np.linalg.norm(genres, axis=1, keepdims=True)
    alike = genres @ genres.T
    same = world.planted.cluster[:1_000, None] == world.planted.cluster[:1_000]
    assert alike[same].mean() > 1.5 * alike[~same].mean()


@pytest.mark.parametrize("exponent", [1.2, 1.8])
def test_popularity_has_the_planted_exponent(exponent: float) -> None:
    """Maximum likelihood over s and q, of ranks past the few movies that most people have seen."""
    parameters = Parameters(
        users=30_000, movies=5_000, ratings=300_000, popularity_exponent=exponent, seed=2
    )
    world = made(parameters)
    counts = np.sort(np.bincount(world.movies, minlength=parameters.movies))[::-1][250:2_500]
    ranks = np.arange(251, 2_501)
    exponents = np.arange(0.6, 2.6, 0.05)
    shifts = np.array([30.0, 60.0, 120.0, 240.0])
    weights = -exponents[:, None, None] * np.log(ranks + shifts[:, None])  # [s, q, rank]
    likelihood = weights @ counts - counts.sum() * np.log(np.exp(weights).sum(axis=2))
    best = np.unravel_index(likelihood.argmax(), likelihood.shape)
    assert exponents[best[0]] == pytest.approx(exponent, abs=0.2)


def test_each_movie_is_as_popular_as_planted_however_late_it_came_out() -> None:
    world = made(Parameters(users=30_000, movies=5_000, ratings=300_000, seed=2))
    counts = np.bincount(world.movies, minlength=5_000)
    planted, age = world.planted.popularity, (END - world.planted.released) / YEAR
    usual = planted < np.quantile(planted, 0.9)
    taken = [
        counts[usual & (age >= low) & (age < high)].sum()
        / planted[usual & (age >= low) & (age < high)].sum()
        for low, high in ((5, 10), (10, 20), (20, 30), (30, 120))
    ]
    assert max(taken) < 1.2 * min(taken)


def test_activity_is_log_normal() -> None:
    parameters = Parameters(users=20_000, movies=20_000, ratings=3_000_000)
    more = plant(parameters).activity - parameters.fewest
    at = [0.1, 0.25, 0.5, 0.75, 0.9]
    normal = np.array([-1.2816, -0.6745, 0, 0.6745, 1.2816])  # quantiles of the standard normal
    slope, _ = np.polyfit(normal, np.log(np.quantile(more, at)), 1)
    assert slope == pytest.approx(parameters.activity_sigma, rel=0.05)
    assert correlation(normal, np.log(np.quantile(more, at))) > 0.999
    assert more.min() >= 0


def test_tastes_predict_choices(world: World) -> None:
    liking = world.planted.liking(world.users, world.movies, world.progress)
    shuffled = world.planted.liking(world.users, CHANCE.permutation(world.movies), world.progress)
    by_chance = np.square(np.bincount(world.planted.cluster, world.planted.popularity)).sum()
    assert shuffled.mean() == pytest.approx(by_chance, rel=0.1)
    assert liking.mean() > 3 * shuffled.mean()


def test_tastes_predict_ratings(world: World) -> None:
    liking = world.planted.liking(world.users, world.movies, world.progress)
    assert correlation(liking, world.stars) > 0.25
    assert abs(correlation(liking, CHANCE.permutation(world.stars))) < 0.01
    # Less leniency and quality there is the pull, somewhat weaker because the scale has ends.
    rest = world.stars - world.planted.leniency[world.users] - world.planted.quality[world.movies]
    slope, level = np.polyfit(liking, rest, 1)
    assert slope == pytest.approx(world.planted.parameters.pull, rel=0.15)
    assert level == pytest.approx(world.planted.parameters.level, abs=0.1)


def test_clusters_show_in_who_rated_what(world: World) -> None:
    """Without being told: the movie most often rated by the same people is of the same cluster."""

    def neighbours_agree(movies: npt.NDArray[np.int64]) -> float:
        popular = np.bincount(movies).argsort()[-500:]
        column = np.full(world.planted.parameters.movies, 500)  # one more for all others
        column[popular] = np.arange(500)
        seen = np.zeros((world.planted.parameters.users, 501))
        seen[world.users, column[movies]] = 1
        seen = seen[:, :500] - seen[:, :500].mean(axis=0)
        seen /= np.linalg.norm(seen, axis=0)
        alike = seen.T @ seen
        np.fill_diagonal(alike, -1)
        cluster = world.planted.cluster[popular]
        return float((cluster == cluster[alike.argmax(axis=1)]).mean())

    assert neighbours_agree(world.movies) > 0.8
    assert neighbours_agree(CHANCE.permutation(world.movies)) < 0.2


def test_tastes_drift(world: World) -> None:
    def liking(when: npt.NDArray[np.bool_], progress: float) -> float:
        return float(world.planted.liking(world.users[when], world.movies[when], progress).mean())

    at_first, at_last = world.progress < 0.1, world.progress == 1
    assert at_first.sum() > 10_000
    assert at_last.sum() > 10_000
    assert liking(at_first, 0) > 2 * liking(at_first, 1)
    assert liking(at_last, 1) > 2 * liking(at_last, 0)


def test_moods_last(world: World) -> None:
    """What was rated last tells more about a choice than what was rated long ago does."""

    def same_cluster(apart: int) -> float:
        cluster = world.planted.cluster[world.movies]
        one_person = world.users[apart:] == world.users[:-apart]
        return float((cluster[apart:] == cluster[:-apart])[one_person].mean())

    assert same_cluster(1) > 1.2 * same_cluster(4) > 1.2 * same_cluster(30)


def test_ratings_look_like_movielens(world: World) -> None:
    assert world.stars.mean() == pytest.approx(3.5, abs=0.1)
    assert world.stars.std() == pytest.approx(1.05, abs=0.05)


def test_time_is_in_bursts(world: World) -> None:
    gaps = np.diff(world.seconds)[np.diff(world.users) == 0]
    assert np.median(gaps) < 60
    assert gaps.std() > 10 * gaps.mean()  # 1 for events at random
    # Time away falls off by a power law: so much less often ten times as long.
    days = gaps / 86_400
    assert (days > 20).sum() / (days > 2).sum() == pytest.approx(10**-0.8, abs=0.05)
    again = np.unique(world.users[1:][np.diff(world.users) == 0][days > 1])
    assert 0.4 < len(again) / world.planted.parameters.users < 0.7  # the rest came once
    # They arrive over all the years.
    arrivals = world.seconds[np.flatnonzero(np.diff(world.users, prepend=-1))]
    assert np.ptp(arrivals) > 0.9 * (END - START)


def test_written_files_are_a_data_set(tmp_path: Path) -> None:
    ratings, movies = generate_tables(TINY)
    done: list[int] = []
    write(TINY, tmp_path / "new", done.append)
    assert sum(done) == 2 * TINY.ratings
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "movies.parquet",
        "ratings.parquet",
    ]
    loaded = load(find(str(tmp_path / "new"), cache=tmp_path))
    assert loaded.ratings.equals(ratings)
    assert loaded.movies.equals(movies)
    assert not any(report.bad for report in loaded.reports)


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    write(TINY, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(Parameters(users=30, movies=500, ratings=800), tmp_path, interrupt)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_command(tmp_path: Path) -> None:
    sizes = ["--users", "30", "--movies", "400", "--ratings", "900", "--seed", "3"]
    result = CliRunner().invoke(app, ["data", "generate", *sizes, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "900 ratings of 400 movies by 30 users" in result.output
    assert pq.read_table(tmp_path / "ratings.parquet").equals(generate_tables(TINY)[0])
