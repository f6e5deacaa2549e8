"""Sums at any moment of a log are what the fold has had by then."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.features import MovieState, fold
from tests.stream.build import rating
from tests.training.build import START, ratings
from training.rating_sums import SumsOverTime

MOVIES = 4

# (user, movie, half stars): some movies are rated again by the same person.
one = st.tuples(st.integers(1, 3), st.integers(1, MOVIES), st.integers(1, 10))


@given(st.lists(one, min_size=1, max_size=30))
def test_sums_are_those_of_the_fold(given_: list[tuple[int, int, int]]) -> None:
    """Half a second before each event of a log with one a second, and after the last one."""
    log = ratings(
        [(user, movie, half / 2, 1_000 * at) for at, (user, movie, half) in enumerate(given_)],
        range(1, MOVIES + 1),
    )
    over_time = SumsOverTime.of(log)
    for now in range(len(given_) + 1):
        events = [
            (at, rating(user, movie, half / 2, START + 1_000 * at))
            for at, (user, movie, half) in enumerate(given_[:now])
        ]
        states = fold({}, {}, events).movies
        rows = np.arange(MOVIES)
        found = over_time.before(rows, np.full(MOVIES, START + 1_000 * now - 500))
        expected = [states.get(movie, MovieState()) for movie in range(1, MOVIES + 1)]
        assert found.counts.tolist() == [state.count for state in expected]
        assert found.totals.tolist() == [state.total for state in expected]
        assert found.squares.tolist() == [state.squares for state in expected]


def test_what_happens_at_a_moment_is_not_before_it() -> None:
    log = ratings([(1, 1, 4.0, 0), (2, 1, 3.0, 0), (3, 1, 2.0, 1_000)])
    found = SumsOverTime.of(log).before(np.zeros(3, np.int64), START + np.array([0, 1_000, 2_000]))
    assert found.counts.tolist() == [0, 2, 3]
    assert found.totals.tolist() == [0, 14, 18]
