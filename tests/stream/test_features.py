"""The fold and what is derived from it, worked by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.events import RatingEvent
from stream.features import (
    HEAT_HALF_LIFE,
    HEATS,
    Heat,
    MovieState,
    UserState,
    fold,
    log2_add,
    merge,
)
from stream.user_features import UserFeatures, user_features
from tests.stream.build import DAY, START, folded, forget, rating

ALICE, BOB = 1, 2
HALF_LIFE = int(HEAT_HALF_LIFE) * DAY  # ms


def state_of(*ratings: tuple[int, float, int]) -> UserState:
    """Of one user who rated these (movie, stars, day)."""
    return folded(
        rating(ALICE, movie, stars, START + day * DAY) for movie, stars, day in ratings
    ).users[ALICE]


def _decayed(movie: MovieState, now: int) -> float:
    """How many ratings the heat is worth as of `now` (ms)."""
    return float(2.0 ** (movie.heat - now / HALF_LIFE))


def test_a_rating_is_kept_with_its_movie_and_time() -> None:
    state = state_of((7, 4.5, 0), (9, 0.5, 3))
    assert state.movie_ids().tolist() == [7, 9]
    assert state.ratings().tolist() == [4.5, 0.5]
    assert state.seconds().tolist() == [START // 1000, (START + 3 * DAY) // 1000]
    assert len(state) == state.events == 2
    assert state.last_offset == 1
    assert state.last_event_time == START + 3 * DAY
    assert state.last_produced_time == START + 3 * DAY + 60_000


def test_a_second_rating_of_a_movie_replaces_the_first_and_is_the_latest() -> None:
    state = state_of((7, 4.5, 0), (9, 3.0, 1), (7, 1.0, 2))
    assert state.movie_ids().tolist() == [9, 7]
    assert state.ratings().tolist() == [3.0, 1.0]
    assert state.seconds().tolist() == [(START + day * DAY) // 1000 for day in (1, 2)]
    assert (len(state), state.events, state.last_offset) == (2, 3, 2)


def test_a_movie_is_not_found_across_two_others() -> None:
    """The bytes of 256 are in those of 65536 followed by 1: 00 00 [01 00 | 00 00] 00 ..."""
    state = state_of((65_536, 4.0, 0), (65_536 * 256, 3.0, 1), (256, 2.0, 2), (1, 1.0, 3))
    assert state.movie_ids().tolist() == [65_536, 65_536 * 256, 256, 1]
    again = state_of((65_536, 4.0, 0), (65_536 * 256, 3.0, 1), (256, 2.0, 2), (256, 5.0, 3))
    assert again.movie_ids().tolist() == [65_536, 65_536 * 256, 256]
    assert again.ratings().tolist() == [4.0, 3.0, 5.0]


def test_a_movies_mean_and_deviation_take_a_replaced_rating_back() -> None:
    """Ratings 4, 2 and then 5 in place of the 4: mean 3.5, deviation 1.5."""
    writes = folded([rating(ALICE, 7, 4.0), rating(BOB, 7, 2.0), rating(ALICE, 7, 5.0)])
    movie = writes.movies[7]
    assert (movie.count, movie.total, movie.squares) == (2, 10 + 4, 100 + 16)
    assert movie.mean == 3.5
    assert movie.std == 1.5


def test_a_movie_that_nobody_has_rated() -> None:
    movie = MovieState()
    assert (movie.mean, movie.std, movie.trend, _decayed(movie, START)) == (0, 0, 0, 0)


def test_heat_is_the_decayed_number_of_ratings() -> None:
    """One rating now, one a half-life ago, one two half-lives ago: 1 + 1/2 + 1/4."""
    movie = folded(rating(user, 7, 3.0, START + user * HALF_LIFE) for user in (1, 2, 3)).movies[7]
    now = START + 3 * HALF_LIFE
    assert _decayed(movie, now) == pytest.approx(1.75)
    assert _decayed(movie, now + HALF_LIFE) == pytest.approx(1.75 / 2)


@pytest.mark.parametrize("heat", HEATS)
def test_each_half_life_has_its_heat(heat: Heat) -> None:
    """Two ratings a half-life apart are one and a half, and the unit is that half-life."""
    before = START - int(heat.half_life * DAY)
    state = folded([rating(ALICE, 7, 3.0, before), rating(BOB, 7, 3.0, START)]).movies[7]
    found = state.heats[HEATS.index(heat)]
    assert found - START / DAY / heat.half_life == pytest.approx(math.log2(1.5), abs=1e-9)


def test_newcomers_have_given_ten_ratings_at_most() -> None:
    """The eleventh rating is the last that counts, a repeated one among the first ten too."""
    rated = [1, 1, *range(2, 10), 7_000, 8_000]
    movies = folded(rating(ALICE, movie, 3.0) for movie in rated).movies
    for heat, eleventh, twelfth in zip(
        HEATS, movies[7_000].heats, movies[8_000].heats, strict=True
    ):
        day = pytest.approx(START / DAY / heat.half_life)
        assert eleventh == day
        assert twelfth == (-math.inf if heat.newcomers else day)


def test_trend_is_the_recent_mean_less_the_mean() -> None:
    """5 stars now and 2 a half-life ago: recent (5 + 2/2) / 1.5 = 4, overall 3.5."""
    movie = folded([rating(ALICE, 7, 2.0, START), rating(BOB, 7, 5.0, START + HALF_LIFE)]).movies[7]
    assert movie.recent_mean / 2 == pytest.approx(4.0)
    assert movie.trend == pytest.approx(0.5)


def test_heat_does_not_depend_on_the_order_of_arrival() -> None:
    events = [rating(user, 7, 3.0, START + user * HALF_LIFE) for user in (1, 2, 3)]
    there, back = folded(events).movies[7], folded(events[::-1]).movies[7]
    assert there.heats == pytest.approx(back.heats, abs=1e-9)
    assert there.recent_mean == pytest.approx(back.recent_mean)


def test_partitions_shares_of_a_movie_add_up() -> None:
    """None in one partition, 5 stars now in another, 2 stars a half-life ago in a third."""
    parts = [
        MovieState(),
        folded([rating(BOB, 7, 5.0, START + HALF_LIFE)]).movies[7],
        folded([rating(ALICE, 7, 2.0, START)]).movies[7],
    ]
    whole = merge(parts)
    assert (whole.count, whole.total, whole.squares) == (2, 14, 116)
    assert _decayed(whole, START + HALF_LIFE) == pytest.approx(1.5)
    assert whole.trend == pytest.approx(0.5)
    assert merge([]) == MovieState()


ratings = st.lists(
    st.builds(
        lambda user, movie, half_stars, day: rating(user, movie, half_stars / 2, START + day * DAY),
        st.integers(1, 4),
        st.integers(1, 5),
        st.integers(1, 10),
        st.integers(0, 400),
    ),
    max_size=40,
)


@given(ratings)
def test_the_merged_shares_are_the_whole(events: list[RatingEvent]) -> None:
    whole = folded(events).movies
    shares = [folded(e for e in events if e.user_id % 2 == half).movies for half in (0, 1)]
    for movie, state in whole.items():
        merged = merge(share[movie] for share in shares if movie in share)
        assert (merged.count, merged.total, merged.squares) == (
            state.count,
            state.total,
            state.squares,
        )
        assert merged.heats == pytest.approx(state.heats, abs=1e-9)
        assert merged.recent_mean == pytest.approx(state.recent_mean)


@given(ratings, st.lists(st.integers(0, 40)))
def test_any_split_into_batches_gives_the_same(events: list[RatingEvent], cuts: list[int]) -> None:
    whole = fold({}, {}, enumerate(events))
    users: dict[int, UserState] = {}
    movies: dict[int, MovieState] = {}
    edges = [0, *sorted(cuts), len(events)]
    for first, last in pairwise(edges):
        batch = list(enumerate(events))[first:last]
        writes = fold(users, movies, batch)
        assert writes.users.keys() == {event.user_id for _, event in batch}
        assert writes.movies.keys() == {event.movie_id for _, event in batch}
        users, movies = {**users, **writes.users}, {**movies, **writes.movies}
    assert users == whole.users
    assert movies == whole.movies


@given(ratings, ratings)
def test_who_is_forgotten_is_as_if_new(before: list[RatingEvent], after: list[RatingEvent]) -> None:
    log = [*before, forget(ALICE), *after]
    own = [(at, event) for at, event in enumerate(log) if event.user_id == ALICE]
    later = [(at, event) for at, event in own if at > len(before)]
    state = folded(log).users[ALICE]
    assert state == fold({}, {}, later).users.get(ALICE, UserState())


@given(ratings)
def test_what_movies_were_rated_stays_when_someone_is_forgotten(events: list[RatingEvent]) -> None:
    assert folded([*events, forget(ALICE)]).movies == folded(events).movies


@given(ratings)
def test_counts_are_of_latest_ratings(events: list[RatingEvent]) -> None:
    latest = {(event.user_id, event.movie_id): event.rating for event in events}
    writes = folded(events)
    for movie, state in writes.movies.items():
        stars = [rating for (_, rated), rating in latest.items() if rated == movie]
        assert state.count == len(stars)
        assert state.mean == pytest.approx(np.mean(stars))
        assert state.std == pytest.approx(np.std(stars))
    for user, history in writes.users.items():
        kept = dict(zip(history.movie_ids().tolist(), history.ratings().tolist(), strict=True))
        assert kept == {movie: stars for (rater, movie), stars in latest.items() if rater == user}


def test_the_fold_leaves_its_arguments_as_they_were() -> None:
    before = folded([rating(ALICE, 7, 4.0)])
    user, movie = before.users[ALICE].copy(), before.movies[7].copy()
    fold(before.users, before.movies, [(1, rating(ALICE, 7, 1.0)), (2, rating(ALICE, 8, 1.0))])
    assert before.users == {ALICE: user}
    assert before.movies == {7: movie}


def test_features_of_a_user() -> None:
    """Ratings 5, 3, 1 over 60.88 days, which are two months: 1.5 a month."""
    state = folded(
        [
            rating(ALICE, 1, 5.0, START),
            rating(ALICE, 2, 3.0, START + 10 * DAY),
            rating(ALICE, 3, 1.0, START + int(60.88 * DAY)),
        ]
    ).users[ALICE]
    genres = {1: ("Drama", "Crime"), 2: ("Drama", "War"), 3: ("Comedy", "Drama", "Western")}
    now = START + int(60.88 * DAY) + 7 * DAY
    features = user_features(state, genres, now)
    assert features is not None
    assert features.rating_mean == 3.0
    assert features.rating_std == pytest.approx(math.sqrt(8 / 3))
    assert features.rating_count == 3
    assert features.rating_range == (1.0, 5.0)
    assert features.top_genres == ("Drama", "Comedy", "Crime")  # 3 ratings; 1 each, by name
    assert features.ratings_per_month == pytest.approx(1.5, rel=1e-4)
    assert features.days_since_last == 7.0


def test_features_of_a_user_with_one_rating_of_an_unknown_movie() -> None:
    """A first rating counts as one in a month; a clock that is behind gives no negative age."""
    features = user_features(state_of((7, 2.5, 0)), {}, START - DAY)
    assert features == UserFeatures(2.5, 0.0, 1, (2.5, 2.5), (), 1.0, 0.0)


def test_a_user_without_ratings_has_no_features() -> None:
    assert user_features(UserState(), {}, START) is None


@given(st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_log2_add(a: float, b: float) -> None:
    assert log2_add(a, b) == pytest.approx(float(np.logaddexp2(a, b)))
    assert log2_add(a, -math.inf) == a
