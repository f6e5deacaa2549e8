"""Planted shifts are found and named, and a refresh makes them go away."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from stream.features import DAY
from tests.training.build import START
from training import drift
from training.compare import Interval
from training.dataset import Movie, Ratings
from training.drift import Age, Check, Drift, lost_quality, sentences, shifts, staleness

PEOPLE = 140
EACH = 10  # ratings of a person
MOVIES = 60
GENRES = ("Comedy", "Drama", "Western")

CATALOGUE = [
    Movie(
        movie_id=row + 1, title=f"Movie {row}", genres=(GENRES[row % 3],), year=1960 + row // 3 * 2
    )
    for row in range(MOVIES)
]


def log(
    people: int = PEOPLE, seed: int = 0, begin: int = 0, among: Sequence[int] = range(MOVIES)
) -> Ratings:
    """Everybody rates EACH of some movies by chance in an order by chance, ten days apart."""
    chance = np.random.default_rng(seed)
    count = people * EACH
    users = np.repeat(np.arange(people) + 1 + begin, EACH)
    rows = np.concatenate([chance.permutation(among)[:EACH] for _ in range(people)])
    half_stars = chance.integers(5, 11, count)
    days = np.tile(np.arange(EACH), people) * 10 + np.repeat(chance.integers(0, 99, people), EACH)
    return Ratings(CATALOGUE, users, rows, half_stars, START + (begin * 1_000 + days) * DAY)


def new(among: Sequence[int] = range(MOVIES)) -> Ratings:
    """Of other people, later."""
    return log(seed=1, begin=PEOPLE, among=among)


def after(first: Ratings, second: Ratings) -> tuple[Ratings, np.ndarray]:
    """One log of both, and which of its events are of the second; their people differ."""
    users, rows, half_stars, times = (
        np.concatenate([getattr(one, name) for one in (first, second)])
        for name in ("users", "rows", "half_stars", "times")
    )
    whole = Ratings(CATALOGUE, users, rows, half_stars, times)
    return whole, np.arange(len(whole)) >= len(first)


def found(newest: Ratings) -> dict[str, Check]:
    return {check.name: check for check in shifts(*after(log(), newest))}


def above(checks: Mapping[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if check.above}


def test_nothing_has_moved() -> None:
    checks = found(new())
    assert list(checks) == [
        "shift_rating",
        "shift_user_count",
        "shift_user_mean",
        "shift_user_deviation",
        "shift_user_range",
        "shift_user_velocity",
        "shift_movie_year",
        "shift_movie_popularity",
        "shift_movie_genre",
    ]
    assert above(checks) == set()
    assert all(check.limit >= drift.MAJOR_SHIFT for check in checks.values())
    assert checks["shift_rating"].says == ("1,400 events of 140 people, then 1,400 of 140")


def lower_stars(of: Ratings) -> Ratings:
    return replace(of, half_stars=of.half_stars - 3)


def in_one_day(of: Ratings) -> Ratings:
    return replace(of, times=of.times[0] + np.arange(len(of)))


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        (lower_stars(new()), {"shift_rating", "shift_user_mean"}),
        (new(among=range(2, MOVIES, 3)), {"shift_movie_genre"}),
        (new(among=range(MOVIES // 2, MOVIES)), {"shift_movie_year"}),
        (in_one_day(new()), {"shift_user_velocity"}),
    ],
    ids=["lower stars", "Westerns", "late movies", "in one day"],
)
def test_what_has_moved_is_named(newest: Ratings, expected: set[str]) -> None:
    assert above(found(newest)) == expected


def test_movies_that_few_rated_so_far() -> None:
    whole = after(log(among=range(30)), new(among=range(60)))
    checks = {check.name: check for check in shifts(*whole)}
    assert checks["shift_movie_popularity"].above


def test_a_movie_is_not_known_by_the_rating_itself() -> None:
    """Who rates what nobody else rates, before and now, has not moved; counted with itself the
    first would have a popularity of 1 and the second of 0."""
    people = drift.WINDOW // 1_000 + 10
    catalogue = [CATALOGUE[0]._replace(movie_id=row + 1) for row in range(2 * people)]
    of = np.arange(2 * people)
    whole = Ratings(catalogue, of + 1, of, np.full(2 * people, 8), START + of)
    checks = {check.name: check for check in shifts(whole, of >= people)}
    assert checks["shift_movie_popularity"].value == 0


def test_a_refresh_makes_it_go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of low ratings half are learnt: the newest are like the last that were learnt."""
    monkeypatch.setattr(drift, "WINDOW", 700)
    whole, newest = after(log(), lower_stars(new()))
    assert "shift_rating" in above({check.name: check for check in shifts(whole, newest)})
    refreshed = np.arange(len(whole)) >= 3 * len(whole) // 4
    assert not above({check.name: check for check in shifts(whole, refreshed)})


def test_too_few_people_are_too_little_to_tell() -> None:
    checks = found(lower_stars(log(people=5, begin=PEOPLE)))
    assert all(np.isnan(check.value) and not check.above for check in checks.values())


def test_nothing_new_and_nothing_learnt() -> None:
    whole = log()
    for newest in (np.zeros(len(whole), bool), np.ones(len(whole), bool)):
        assert not any(check.above for check in shifts(whole, newest))


@pytest.mark.parametrize(
    ("promoted", "newest", "value", "is_above"),
    [
        (0.10, Interval(0.06, 0.04, 0.07), 0.3, True),
        (0.10, Interval(0.06, 0.04, 0.09), 0.1, False),  # perhaps a tenth alone
        (0.10, Interval(0.12, 0.11, 0.13), -0.3, False),
        (0.10, Interval(0.06, np.nan, np.nan), np.nan, False),  # one person
        (np.nan, Interval(0.06, 0.04, 0.07), np.nan, False),
        (0.0, Interval(0.06, 0.04, 0.07), np.nan, False),
    ],
)
def test_quality_is_lost_where_it_is_certain(
    promoted: float, newest: Interval, value: float, is_above: bool
) -> None:
    check = lost_quality("ndcg@10", promoted, newest, 1_200)
    assert check.value == pytest.approx(value, nan_ok=True)
    assert check.above is is_above
    assert "on 1,200 lists" in check.says


def test_staleness_by_hand() -> None:
    checks = {
        check.name: check
        for check in staleness(
            Age(
                learnt=1_000,
                unlearnt=200,
                waiting=15 * DAY,
                unindexed=5,
                unindexed_waiting=DAY // 2,
            )
        )
    }
    assert {name: check.value for name, check in checks.items()} == {
        "model_events": 0.2,
        "model_days": 15.0,
        "index_events": 0.025,
        "index_days": 0.5,
    }
    assert above(checks) == {"model_events", "model_days"}
    fresh = staleness(Age(1_000, 0, 0, 0, 0))
    assert [check.value for check in fresh] == [0, 0, 0, 0]
    of_files = staleness(Age(0, 500, DAY, 0, 0))  # nothing of it is archived
    assert np.isnan(of_files[0].value)


def test_all_of_it_for_programs_and_people() -> None:
    checks = (
        Check("a", 0.5, 0.2, "much"),
        Check("b", np.nan, 0.2, "few"),
        Check("c", 0.1, 0.2, ""),
    )
    whole = Drift("v1", 1_000, checks)
    assert whole.above == checks[:1]
    assert sentences(whole.above) == ("a is 0.5, over 0.2: much",)
    assert whole.document() == {
        "version": "v1",
        "measured_at": 1_000,
        "checks": [
            {"name": "a", "value": 0.5, "limit": 0.2, "says": "much", "above": True},
            {"name": "b", "value": None, "limit": 0.2, "says": "few", "above": False},
            {"name": "c", "value": 0.1, "limit": 0.2, "says": "", "above": False},
        ],
    }


def test_newcomers_have_no_mean_yet() -> None:
    """The towers read 0 for it, as of people whose mean is 3.5 stars; here it is something else."""
    known, firsts = log(), new().take(np.arange(0, PEOPLE * EACH, EACH))
    whole, newest = after(known, firsts)
    checks = shifts(replace(whole, half_stars=np.full(len(whole), 7)), newest)
    assert "shift_user_mean" in above({check.name: check for check in checks})
