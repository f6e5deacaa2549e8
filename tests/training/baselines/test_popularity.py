import numpy as np
import pytest

from tests.training.build import DAY, ratings
from training.baselines.chance import Random
from training.baselines.popularity import DecayedPopularity, Popularity, RecentPopularity
from training.dataset import Ratings
from training.histories import Histories
from training.recommender import Reason, top

# Movie 1 was liked by three long ago, 2 by two a month ago, 3 by one today, and 4 is disliked.
EVENTS = [
    *[(user, 1, 4.0, user) for user in (1, 2, 3)],
    *[(user, 2, 5.0, 70 * DAY) for user in (1, 4)],
    (4, 3, 4.5, 100 * DAY),
    *[(user, 4, 2.0, 100 * DAY) for user in (1, 2, 3, 5)],
]


def log() -> Ratings:
    return ratings(EVENTS, range(1, 5))


@pytest.mark.parametrize(
    ("model", "counts"),
    [
        (Popularity(), [3, 2, 1, 0]),
        (Popularity(liked_from=1), [3, 2, 1, 4]),
        (RecentPopularity(days=31), [0, 2, 1, 0]),
        (RecentPopularity(days=29), [0, 0, 1, 0]),
        (RecentPopularity(days=29, liked_from=1), [0, 0, 1, 4]),
        (DecayedPopularity(half_life=10), [3 / 2**10, 2 / 2**3, 1, 0]),
        (DecayedPopularity(half_life=30, liked_from=1), [3 / 2 ** (10 / 3), 1, 1, 4]),
    ],
)
def test_counts(
    model: Popularity | RecentPopularity | DecayedPopularity, counts: list[float]
) -> None:
    model.fit(log())
    someone = Histories.raw(log().movies, [[], [(1, 5.0, 0)]])
    np.testing.assert_allclose(model.score(someone), [counts] * 2, rtol=1e-5)
    explained = model.explain(someone[:1], np.array([1]))
    assert explained == [[Reason("feature", "popularity", pytest.approx(counts[1]))]]


@pytest.mark.parametrize(
    "model", [Popularity(), RecentPopularity(days=31), DecayedPopularity(half_life=10)]
)
def test_what_is_observed_counts_as_what_was_fitted(
    model: Popularity | RecentPopularity | DecayedPopularity,
) -> None:
    """Also where it comes late: the first part ends with the latest events of all."""
    whole = log()
    model.fit(whole)
    expected = model.counts.copy()
    for parts in ([0, 1, 5], [2, 3, 4, 6]), ([2, 3, 4, 6], [0, 1, 5]):
        first, then = (np.isin(np.arange(len(whole)) % 7, part) for part in parts)
        model.fit(whole.take(np.flatnonzero(first)))
        model.observe(whole.take(np.flatnonzero(then)))
        np.testing.assert_allclose(model.counts, expected, rtol=1e-5)


def test_it_is_the_ratings_that_make_time_pass() -> None:
    model = RecentPopularity(days=31)
    model.fit(log())
    model.observe(ratings([(9, 4, 1.0, 200 * DAY)], range(1, 5)))
    assert model.counts.tolist() == [0, 0, 0, 0]


def test_the_fashion_of_the_month_is_found_by_those_who_forget() -> None:
    """Every month another movie is what nine of ten people like; over all time they are equal."""
    chance = np.random.default_rng(0)
    fashion, months, people = chance.permutation(10), 10, 200
    events = []
    for month in range(months):
        choices = np.where(
            chance.random(people) < 0.9, fashion[month], chance.integers(10, size=people)
        )
        events += [
            (month * people + user, int(movie) + 1, 4.0, month * 30 * DAY + user)
            for user, movie in enumerate(choices)
        ]
    data = ratings(events, range(1, 11))
    someone = Histories.raw(data.movies, [[]])
    for model in (RecentPopularity(days=20), DecayedPopularity(half_life=10)):
        model.fit(data)
        assert top(model.score(someone), 1).tolist() == [[fashion[-1]]]
    always = Popularity()
    always.fit(data)
    share = always.counts / always.counts.sum()
    assert share.max() < 0.12


def test_the_most_popular_are_as_right_as_they_are_popular() -> None:
    """Everyone likes one of 20 movies, movie i with a share like 1 / i: the best five have 63%."""
    chance = np.random.default_rng(0)
    weights = 1 / np.arange(1, 21)
    liked = chance.choice(20, 4000, p=weights / weights.sum()) + 1
    data = ratings([(user, int(movie), 4.0, 0) for user, movie in enumerate(liked)], range(1, 21))
    train, test = data.take(np.arange(2000)), data.rows[2000:]
    model = Popularity()
    model.fit(train)
    best = top(model.score(Histories.raw(data.movies, [[]])), 5)[0]
    known = weights[:5].sum() / weights.sum()
    assert np.isin(test, best).mean() == pytest.approx(known, abs=0.04)  # 3.5 standard errors


def test_random_lists_have_all_movies_alike() -> None:
    data = ratings([(user, movie, 4.0, 0) for user in range(300) for movie in range(1, 21)])
    model = Random()
    model.fit(data)
    lists = top(model.score(Histories.before(data, np.arange(len(data)))), 5)
    distinct = np.unique(lists, axis=0)
    assert len(distinct) > 5000  # histories in any order of 20 movies hardly ever agree
    shown = np.bincount(distinct.ravel(), minlength=20) / len(distinct)
    np.testing.assert_allclose(shown, 5 / 20, atol=0.025)  # 4 standard errors


def test_random_lists_depend_on_the_seed_and_the_history_alone() -> None:
    data = ratings([(1, 1, 4.0, 0), (1, 2, 4.0, 1), (2, 1, 4.0, 7), (2, 3, 4.0, 8)])
    asked = Histories.before(data, np.array([1, 3, 2]))
    first, second, empty = Random().score(asked)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, empty)
    assert not np.array_equal(Random(seed=1).score(asked)[0], first)
