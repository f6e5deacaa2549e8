from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.validation import BadLine, FileReport
from tests.training.build import HOUR, ratings
from training.dataset import Ratings
from training.features import MovieSums, of_movies, of_users
from training.quality import FAST, MANY, busiest_hours, modified_z, quality

SECOND = 1_000  # ms


def of(log: Ratings, *files: FileReport) -> dict:
    now = int(log.times.max())
    movies = of_movies(MovieSums.of(log, now), log.movies, log.genres)
    return quality(files, of_users(log, now), busiest_hours(log), movies)


def test_modified_z_by_hand() -> None:
    # The median is 3, the distances 2, 1, 0, 1, 97 have the median 1.
    scores = modified_z(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))
    assert scores == pytest.approx([-1.349, -0.6745, 0, 0.6745, 65.4265])


def test_modified_z_where_most_are_equal() -> None:
    # The mean distance is 2 and takes the place of the median one, which is 0.
    assert modified_z(np.array([5.0, 5.0, 5.0, 5.0, 15.0])) == pytest.approx(
        [0, 0, 0, 0, 10 / (2 / 0.7979)]
    )
    assert modified_z(np.array([5.0, 5.0])).tolist() == [0, 0]
    assert len(modified_z(np.zeros(0))) == 0


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9000)), min_size=1, max_size=40),
)
def test_the_busiest_hour_is_that_of_every_window_tried(events: list[tuple[int, int]]) -> None:
    log = ratings([(user, at + 1, 3.0, s * SECOND) for at, (user, s) in enumerate(events)])
    expected = []
    for user in sorted({user for user, _ in events}):
        mine = [second for who, second in events if who == user]
        expected.append(max(sum(s <= t < s + 3600 for t in mine) for s in mine))
    assert busiest_hours(log).tolist() == expected


def test_planted_oddities_are_found_and_nothing_else() -> None:
    usual = [
        (user, 1 + (user + i) % 40, 2.0 + (i + user) % 3 + (user % 5) / 2, user * HOUR + i * HOUR)
        for user in range(1, 61)
        for i in range(30)
    ]
    hater = [(100, 1 + i, 0.5, i * HOUR) for i in range(MANY)]
    eager = [(101, 1 + i, 2.5 + i % 4 / 2, i * 2 * HOUR) for i in range(400)]
    machine = [(102, 1 + i, 2.5 + i % 4 / 2, i * 5 * SECOND) for i in range(FAST + 1)]
    movies = range(1, 402)
    found = of(ratings([*usual, *hater, *eager, *machine], movies))
    assert found["outliers"]["users_by_mean"] == {"count": 1, "most_extreme": [100]}
    assert found["outliers"]["users_of_one_rating"] == {"count": 1, "most_extreme": [100]}
    assert found["outliers"]["users_by_count"] == {"count": 3, "most_extreme": [101, 102, 100]}
    assert found["velocity"]["users"] == {"count": 1, "most_extreme": [102]}
    assert (found["velocity"]["most"], found["velocity"]["median"]) == (FAST + 1, 1.0)
    assert found["missing"] == {
        "movies_without_year": 80,
        "movies_without_genres": 0,
        "movies_without_ratings": 1,
    }


def test_what_reading_dropped_is_in_it() -> None:
    report = FileReport(Path("ratings.csv"), 9, superseded=1)
    report.dropped["rating_range"] = 2
    report.examples.append(BadLine(3, "rating_range", "1,1,9,978300760"))
    assert of(ratings([(1, 1, 3.0, 0)]), report)["files"] == [
        {
            "file": "ratings.csv",
            "lines": 9,
            "dropped": {"rating_range": 2},
            "superseded": 1,
            "examples": [{"number": 3, "reason": "rating_range", "text": "1,1,9,978300760"}],
        }
    ]
