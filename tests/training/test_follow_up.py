"""What came of lists that were shown: worked by hand, and beside a plain loop."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.contracts.experiments import ExposureEvent
from tests.exposures import page
from training.follow_up import MIN_LISTS, K, Shown, follow_ups, shown_quality

HOUR = 3_600_000  # ms
WINDOW = 24 * HOUR

Rated = tuple[int, int, float, int]  # user, movie, stars, time


def table(rated: list[Rated]) -> pa.Table:
    times = [datetime.fromtimestamp(time / 1000, UTC) for *_, time in rated]
    return pa.table(
        {
            "user_id": pa.array([user for user, *_ in rated], pa.int64()),
            "movie_id": pa.array([movie for _, movie, *_ in rated], pa.uint32()),
            "rating": pa.array([stars for _, _, stars, _ in rated], pa.float32()),
            "event_time": pa.array(times, pa.timestamp("ms", "UTC")),
        }
    )


def found(
    pages: list[ExposureEvent], rated: list[Rated], window: int = WINDOW
) -> dict[tuple[int, str], tuple[bool, float]]:
    rows = follow_ups(Shown(pages, window), table(rated)).select(
        "user_id", "impression_id", "followed", "rank"
    )
    return {(user, name): (followed, rank) for user, name, followed, rank in rows.iter_rows()}


TEN = tuple(range(1, 11))


@pytest.mark.parametrize(
    ("rated", "followed", "rank"),
    [
        pytest.param([(1, 3, 4.0, HOUR)], True, 3, id="in the list"),
        pytest.param([(1, 99, 5.0, HOUR)], True, np.inf, id="not in the list"),
        pytest.param([(1, 3, 3.5, HOUR)], True, np.nan, id="not liked"),
        pytest.param([(1, 3, 3.5, 1), (1, 4, 4.0, 2)], True, 4, id="the next one is liked"),
        pytest.param([(1, 9, 4.0, 1), (1, 2, 5.0, 2)], True, 9, id="the first that is liked"),
        pytest.param([(1, 3, 5.0, -1), (1, 3, 5.0, 1)], True, np.nan, id="rated before"),
        pytest.param([(1, 3, 5.0, 0)], False, np.nan, id="not after it"),
        pytest.param([(1, 3, 5.0, WINDOW)], True, 3, id="at the end of the window"),
        pytest.param([(1, 3, 5.0, WINDOW + 1)], False, np.nan, id="after the window"),
        pytest.param([(2, 3, 5.0, HOUR)], False, np.nan, id="somebody else"),
        pytest.param([], False, np.nan, id="nothing"),
    ],
)
def test_one_list(rated: list[Rated], followed: bool, rank: float) -> None:
    [(so, at)] = found([page(0, TEN)], rated).values()
    assert so == followed
    assert at == pytest.approx(rank, nan_ok=True)


def test_a_rating_is_of_the_list_that_was_shown_last() -> None:
    pages = [page(0, (1, 2), "a"), page(HOUR, (3, 4), "b"), page(3 * HOUR, (4, 2), "c")]
    rated = [(1, 4, 5.0, 2 * HOUR), (1, 2, 5.0, 4 * HOUR)]
    assert found(pages, rated) == {
        (1, "a"): (False, pytest.approx(np.nan, nan_ok=True)),
        (1, "b"): (True, 2),
        (1, "c"): (True, 2),
    }


def test_pages_are_one_list() -> None:
    """Its eleventh movie is beyond it; the list whose page came last has the rating."""
    pages = [page(0, TEN[:5]), page(1, (77,), "b"), page(2, (6, 7, 8, 9, 10, 11), position=5)]
    for movie, rank in ((2, 2), (7, 7), (10, 10), (11, np.inf)):
        of = found(pages, [(1, movie, 5.0, 3)])
        assert of[1, "a"] == (True, rank)
        assert of[1, "b"][0] is False


@pytest.mark.parametrize("strategy", ["group", "gift"])
def test_lists_for_others_are_left_out(strategy: str) -> None:
    """The rating is of the list that was their own, although another one came later."""
    pages = [page(0, (1, 2), "a"), page(1, (2, 1), "b", strategy=strategy)]
    assert found(pages, [(1, 2, 5.0, 2)]) == {(1, "a"): (True, 2)}


def plain(
    pages: list[ExposureEvent], rated: list[Rated], window: int
) -> dict[tuple[int, str], tuple[bool, float]]:
    """The same, rating by rating."""
    places: dict[tuple[int, str], dict[int, int]] = {}
    for it in pages:
        of_list = places.setdefault((it.user_id, it.impression_id), {})
        for place, movie in enumerate(it.movies, it.position + 1):
            of_list[movie] = min(place, of_list.get(movie, place))
    of = dict.fromkeys(places, (False, np.nan))
    known = set()
    for user, movie, stars, time in sorted(rated, key=lambda it: it[3]):
        before = [
            it for it in pages if it.user_id == user and time - window <= it.event_time < time
        ]
        if before:
            last = max(before, key=lambda it: it.event_time)
            key = (user, last.impression_id)
            rank = of[key][1]
            if np.isnan(rank) and stars >= 4 and (user, movie) not in known:
                at = places[key].get(movie)
                rank = at if at is not None and at <= K else np.inf
            of[key] = (True, rank)
        known.add((user, movie))
    return of


@settings(max_examples=60, deadline=None)
@given(
    shown=st.lists(
        st.tuples(
            st.integers(1, 2),
            st.sampled_from("abc"),
            st.lists(st.integers(1, 15), max_size=12, unique=True),
            st.sampled_from([0, 5]),
            st.integers(0, 40),
        ),
        max_size=8,
        unique_by=lambda it: (it[0], it[4]),
    ),
    rated=st.lists(
        st.tuples(
            st.integers(1, 3),
            st.integers(1, 15),
            st.sampled_from([3.0, 4.0, 5.0]),
            st.integers(-10, 60),
        ),
        max_size=20,
    ),
    window=st.integers(1, 30),
)
def test_as_a_plain_loop(
    shown: list[tuple[int, str, list[int], int, int]], rated: list[Rated], window: int
) -> None:
    pages = [
        page(time, tuple(movies), name, user, position)
        for user, name, movies, position, time in shown
    ]
    ours, theirs = found(pages, rated, window), plain(pages, rated, window)
    assert ours.keys() == theirs.keys()
    for key, (followed, rank) in theirs.items():
        assert ours[key][0] == followed, key
        assert ours[key][1] == pytest.approx(rank, nan_ok=True), key


def of_many(hits: int, misses: int, version: str = "v1") -> tuple[list[ExposureEvent], list[Rated]]:
    """A list for each of so many people, whose first movie is what some of them like next."""
    users = range(1, hits + misses + 1)
    pages = [page(0, (1, 2), user=user, version=version) for user in users]
    return pages, [(user, 1 if user <= hits else 99, 5.0, HOUR) for user in users]


def test_quality_of_what_was_shown() -> None:
    pages, rated = of_many(60, 180)
    lists = follow_ups(Shown([*pages, page(0, (1,), user=999)], WINDOW), table(rated))
    check = shown_quality(lists, "v1", 0.9)
    assert check.name == "shown_quality"
    assert check.says.startswith(
        "241 lists shown, 240 followed by a rating, 240 by a liked one: hit_rate@10 0.2500, "
        "ndcg@10 was 0.9000 at promotion, is 0.2500 ["
    )
    assert 0.6 < check.value < (0.9 - 0.25) / 0.9
    assert check.above
    assert not shown_quality(lists, "v1", 0.25).above
    assert np.isnan(shown_quality(lists, "v1", np.nan).value)


def test_too_few_lists_say_nothing() -> None:
    for lists, known in ((MIN_LISTS - 1, False), (MIN_LISTS, True)):
        pages, rated = of_many(10, lists - 10)
        check = shown_quality(follow_ups(Shown(pages, WINDOW), table(rated)), "v1", 0.9)
        assert np.isnan(check.value) is not known
    nothing = follow_ups(Shown([], WINDOW), table([]))
    assert shown_quality(nothing, "v1", 0.9).says == (
        "0 lists shown, 0 followed by a rating, 0 by a liked one; too few of 200"
    )


def test_versions_are_told_apart() -> None:
    pages, rated = of_many(1, 3, "v0")
    check = shown_quality(follow_ups(Shown(pages, WINDOW), table(rated)), "v1", 0.9)
    assert check.says.startswith("0 lists shown")
    assert check.says.endswith("; hit_rate@10 of v0 0.2500 on 4")
