import numpy as np
import pytest

from tests.training.build import START, ratings
from training.baselines import neighbours
from training.baselines.neighbours import ItemKnn, UserKnn
from training.dataset import Ratings
from training.histories import Histories
from training.recommender import Reason
from training.tower_inputs import Floats

# Of user 1 and so on; movie 5 has only been disliked.
LIKES = [(1, 2, 3, 4), (1, 2), (1, 3), (4,)]


def log() -> Ratings:
    liked = [(user, movie, 4.0, movie) for user, some in enumerate(LIKES, 1) for movie in some]
    return ratings([*liked, (1, 5, 2.0, 9), (4, 5, 3.5, 9)])


def asked(*movies: int) -> Histories:
    """Of someone who likes these, the last one most recently."""
    raw = [(movie, 4.0, START + at) for at, movie in enumerate(movies)]
    return Histories.raw(log().movies, [raw])


def scores(model: ItemKnn | UserKnn, *movies: int) -> Floats:
    model.fit(log())
    return model.score(asked(*movies))[0]


def test_movies_alike_by_hand() -> None:
    """1 is liked by three people, the others by two: 1 and 2 share two, 1 and 4 share one."""
    model = ItemKnn(shrinkage=0, popularity=0, recency=0.5)
    once, twice = 1 / np.sqrt(6), 2 / np.sqrt(6)
    np.testing.assert_allclose(scores(model, 1), [0, twice, twice, once, 0], rtol=1e-6)
    # 2 shares user 1 with each of 3 and 4, and counts half because 1 was liked after it.
    expected = [twice / 2, twice, twice + 1 / 4, once + 1 / 4, 0]
    np.testing.assert_allclose(scores(model, 2, 1), expected, rtol=1e-6)
    assert [(r.kind, r.name) for r in model.explain(asked(2, 1), np.array([2]))[0]] == [
        ("movie", 0),
        ("movie", 1),
    ]


def test_shrinkage_discounts_what_few_say() -> None:
    model = ItemKnn(shrinkage=2.0, popularity=0)
    expected = [0, *[2 / (np.sqrt(6) + 2)] * 2, 1 / (np.sqrt(6) + 2), 0]
    np.testing.assert_allclose(scores(model, 1), expected, rtol=1e-6)


def test_only_the_nearest_movies_are_spoken_for() -> None:
    assert np.flatnonzero(scores(ItemKnn(neighbours=2, popularity=0), 1)).tolist() == [1, 2]
    assert np.flatnonzero(scores(ItemKnn(neighbours=3, popularity=0), 1)).tolist() == [1, 2, 3]


def test_users_alike_by_hand() -> None:
    """Who likes 1 and 2 is like user 2 in all and shares them with user 1, and 1 with user 3."""
    model = UserKnn(shrinkage=0, popularity=0, recency=1)
    first, third = 2 / np.sqrt(8), 1 / 2
    expected = [first + 1 + third, first + 1, first + third, first, 0]
    np.testing.assert_allclose(scores(model, 1, 2), expected, rtol=1e-6)
    reasons = model.explain(asked(1, 2), np.array([2]))[0]
    assert [(reason.kind, reason.name) for reason in reasons] == [("user", 1), ("user", 3)]
    np.testing.assert_allclose([reason.amount for reason in reasons], [first, third], rtol=1e-6)


def test_of_users_too_the_nearest_are_listened_to_and_few_common_likes_discounted() -> None:
    nearest = UserKnn(neighbours=1, shrinkage=0, popularity=0)
    assert np.flatnonzero(scores(nearest, 1, 2)).tolist() == [0, 1]
    shrunk = UserKnn(neighbours=1, shrinkage=2, popularity=0, recency=1)
    np.testing.assert_allclose(scores(shrunk, 1, 2)[:2], 2 / (2 + 2), rtol=1e-6)


def test_for_users_alike_the_latest_likes_count_more() -> None:
    model = UserKnn(shrinkage=0, popularity=0, recency=0.5)
    assert scores(model, 4, 3)[0] > scores(model, 3, 4)[0]  # 3 is liked with 1, 4 by user 4 alone


@pytest.mark.parametrize("model", [ItemKnn(), UserKnn()])
def test_where_nothing_is_known_popularity_orders(model: ItemKnn | UserKnn) -> None:
    for nothing in ((), (5,)):
        assert np.diff(scores(model, *nothing)).tolist() == pytest.approx(
            [-model.popularity / 4, 0, 0, -model.popularity / 2]
        )
    assert model.explain(asked(), np.array([4])) == [[]]
    assert model.explain(asked(), np.array([0])) == [
        [Reason("feature", "popularity", pytest.approx(model.popularity * 3 / 4))]
    ]


@pytest.mark.parametrize("make", [ItemKnn, UserKnn])
def test_in_blocks_it_is_the_same(
    make: type[ItemKnn | UserKnn], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(0)
    events = [(u, int(m), 4.0, i) for u in range(40) for i, m in enumerate(chance.choice(30, 9))]
    data, model = ratings(events), make(neighbours=5)
    model.fit(data)
    everyone = Histories.of_users(data, np.arange(40))
    whole = model.score(everyone)
    monkeypatch.setattr(neighbours, "_BLOCK", 100)
    model.fit(data)
    np.testing.assert_allclose(model.score(everyone), whole, rtol=1e-6)
