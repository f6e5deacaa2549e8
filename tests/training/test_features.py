import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.datasets import find, load
from stream.features import MovieState, Writes, fold_into
from stream.user_features import user_features
from tests.stream.build import rating
from tests.training.build import DAY, START, ratings
from training.dataset import Movie, Ratings
from training.features import MovieSums, genre_counts, of_movies, of_users

MOVIES = 7
LATER = 5 * DAY  # after the last event that there can be

# Few movies, so that many are rated again; some events of one user at the same time.
EVENTS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(1, MOVIES),
        st.integers(1, 10).map(lambda half_stars: half_stars / 2),
        st.integers(0, 400 * DAY) | st.integers(0, 3),
    ),
    min_size=1,
    max_size=40,
)


def folded(log: Ratings) -> Writes:
    """All events through the stream's own fold, in the order of time over all users."""
    writes = Writes()
    for at in np.argsort(log.times, kind="stable").tolist():  # a user's order stays
        movie = log.movies[log.rows[at]].movie_id
        event = rating(int(log.users[at]), movie, log.half_stars[at] / 2, int(log.times[at]))
        fold_into(writes, {}, {}, [(at, event)])
    return writes


def assert_as_folded(log: Ratings, users: pl.DataFrame, movies: pl.DataFrame, now: int) -> None:
    """Every feature of every user and movie."""
    writes = folded(log)
    genres = {movie.movie_id: movie.genres for movie in log.movies}
    assert users["user_id"].to_list() == sorted(writes.users)
    for row in users.iter_rows(named=True):
        one = user_features(writes.users[row["user_id"]], genres, now)
        assert one is not None
        low, high = one.rating_range
        assert row == {
            "user_id": row["user_id"],
            "rating_mean": pytest.approx(one.rating_mean, rel=1e-6),
            "rating_std": pytest.approx(one.rating_std, rel=1e-5, abs=1e-6),
            "rating_count": one.rating_count,
            "rating_low": low,
            "rating_high": high,
            "top_genres": [*one.top_genres],
            "ratings_per_month": pytest.approx(one.ratings_per_month),
            "days_since_last": pytest.approx(one.days_since_last),
        }
    assert movies["movie_id"].to_list() == [movie.movie_id for movie in log.movies]
    for row, movie in zip(movies.iter_rows(named=True), log.movies, strict=True):
        state = writes.movies.get(movie.movie_id, MovieState())
        vector = [int(genre in movie.genres) for genre in log.genres]
        assert row == {
            "movie_id": movie.movie_id,
            "log_popularity": pytest.approx(math.log1p(state.count)),
            "rating_mean": pytest.approx(state.mean) if state.count else None,
            "rating_std": pytest.approx(state.std) if state.count else None,
            "rating_count": state.count,
            "genres": [*movie.genres],
            "genre_vector": vector,
            "release_year": movie.year,
            "rating_trend": pytest.approx(state.trend, abs=1e-9) if state.count else None,
        }


@given(EVENTS, st.lists(st.lists(st.sampled_from("ABCDE"), max_size=4), min_size=7, max_size=7))
def test_every_feature_is_that_of_the_fold(
    events: list[tuple[int, int, float, int]], genres: list[list[str]]
) -> None:
    bare = ratings(events, range(1, MOVIES + 1))
    movies = [
        movie._replace(genres=tuple(some)) for movie, some in zip(bare.movies, genres, strict=True)
    ]
    log = Ratings(movies, bare.users, bare.rows, bare.half_stars, bare.times)
    now = START + 400 * DAY + LATER
    sums = MovieSums.of(log, now)
    assert_as_folded(log, of_users(log, now), of_movies(sums, log.movies, log.genres), now)


def test_every_feature_of_the_real_100k_is_that_of_the_fold(tmp_path: Path) -> None:
    dataset = load(find("100k", cache=tmp_path, say=lambda _: None))
    whole = Ratings.from_tables(dataset.ratings, dataset.movies)
    log = whole.take(np.flatnonzero(whole.users % 3 == 0))
    now = int(log.times.max()) + 3 * DAY
    sums = MovieSums.of(log, now)
    assert_as_folded(log, of_users(log, now), of_movies(sums, log.movies, log.genres), now)


@given(EVENTS, st.integers(0, 5))
def test_the_sums_of_parts_add_up(events: list[tuple[int, int, float, int]], until: int) -> None:
    log = ratings(events, range(1, MOVIES + 1))
    now = START + 400 * DAY
    parts = [log.take(np.flatnonzero(side)) for side in (log.users <= until, log.users > until)]
    added = MovieSums.of(parts[0], now) + MovieSums.of(parts[1], now)
    whole = of_movies(MovieSums.of(log, now), log.movies, log.genres)
    together = of_movies(added, log.movies, log.genres)
    for name in whole.columns:
        if whole[name].dtype == pl.Float64:
            assert together[name].to_list() == pytest.approx(whole[name].to_list(), abs=1e-9)
        else:
            assert together[name].to_list() == whole[name].to_list()


def test_by_hand() -> None:
    log = ratings(
        [(1, 1, 5.0, 0), (1, 2, 3.0, 61 * DAY), (1, 1, 4.0, 60 * DAY), (2, 1, 1.0, 30 * DAY)],
        [1, 2, 3],
    )
    now = START + 62 * DAY
    users = of_users(log, now)
    assert users["rating_mean"].to_list() == [3.5, 1.0]
    assert users["rating_std"].to_list() == [0.5, 0.0]
    assert users["rating_count"].to_list() == [2, 1]  # the 5 stars are no more
    assert users["ratings_per_month"].to_list() == [2.0, 1.0]  # a day's worth counts as a month's
    assert users["days_since_last"].to_list() == [1.0, 32.0]
    movies = of_movies(MovieSums.of(log, now), log.movies, log.genres)
    # Half lives of 30 days: events of 5, 1 and 4 stars weigh 1, 2 and 4.
    assert movies["rating_trend"].to_list() == [
        pytest.approx((5 + 2 * 1 + 4 * 4) / 7 - 2.5),
        pytest.approx(0.0),
        None,
    ]
    assert movies["rating_mean"].to_list() == [2.5, 3.0, None]
    assert movies["rating_std"].to_list() == [1.5, 0.0, None]
    assert movies["genre_vector"].to_list() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert movies["release_year"].to_list() == [1981, 1982, 1983]


def test_a_log_without_events_and_one_without_genres() -> None:
    log = ratings([(1, 1, 5.0, 0)])
    assert of_users(log.take(np.zeros(0, np.int64)), START).schema == of_users(log, START).schema
    bare = Ratings([Movie(1, "One", (), None)], log.users, log.rows, log.half_stars, log.times)
    assert of_users(bare, START)["top_genres"].to_list() == [[]]
    assert genre_counts(bare.movies, bare.genres).shape == (1, 0)
