import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stream.contracts.errors import DatasetError
from tests.training.build import HOUR, START, ratings
from training.baselines import ease
from training.baselines.ease import Ease
from training.baselines.evidence import evidence
from training.dataset import Ratings
from training.histories import Histories
from training.recommender import Reason

LIKES = [*[(1, 2)] * 3, (1,), *[(3, 4)] * 2, *[(4, 5)] * 2]


def five() -> Ratings:
    """Eight people and what they like of five movies; nobody likes what they rate with 1 star."""
    liked = [(user, movie, 4.0, movie) for user, some in enumerate(LIKES) for movie in some]
    return ratings([*liked, (0, 5, 1.0, 9), (4, 1, 3.5, 9)])


def test_five_movies_by_hand() -> None:
    """The weights into a movie are the ridge regression of its column on the others.

    Of movies 1 and 2, liked by 4 and 3 people, 3 of them by both, with l2 = 2:

        1 -> 2: 3 / (4 + 2) = 0.5        2 -> 1: 3 / (3 + 2) = 0.6

    Of 3, 4 and 5, liked by 2, 4 and 2, 3 and 4 by two and 4 and 5 by two:

        4, 5 -> 3: [[4 + 2, 2], [2, 2 + 2]] b = [2, 0]: b = [0.4, -0.2], and so 3, 4 -> 5
        3, 5 -> 4: [[2 + 2, 0], [0, 2 + 2]] b = [2, 2]: b = [0.5, 0.5]
    """
    model = Ease(l2=2, popularity=0, recency=0.5)
    model.fit(five())
    weights = [
        [0, 0.5, 0, 0, 0],
        [0.6, 0, 0, 0, 0],
        [0, 0, 0, 0.5, -0.2],
        [0, 0, 0.4, 0, 0.4],
        [0, 0, -0.2, 0.5, 0],
    ]
    np.testing.assert_allclose(model.weights, weights, atol=1e-6)

    # 2 was liked first and counts a quarter, 4 comes next, 3 last; 1 was not liked.
    raw = [[(2, 4.0, START), (1, 1.0, START + 1), (4, 4.5, START + 2), (3, 5.0, START + 3)]]
    asked = Histories.raw(five().movies, raw)
    scores = [[0.6 / 4, 0, 0.4 / 2, 0.5, 0.4 / 2 - 0.2]]
    np.testing.assert_allclose(model.score(asked), scores, atol=1e-6)

    model.popularity = 0.8
    model.fit(five())
    np.testing.assert_allclose(
        model.score(asked) - scores, [np.array([4, 3, 2, 4, 2]) / 8 * 0.8], atol=1e-6
    )
    kinds = [(reason.kind, reason.name) for reason in model.explain(asked, np.array([4]))[0]]
    assert kinds == [("movie", 3), ("feature", "popularity"), ("movie", 2)]
    amounts = [reason.amount for reason in model.explain(asked, np.array([4]))[0]]
    np.testing.assert_allclose(amounts, [0.4 / 2, 0.2, -0.2], atol=1e-6)


@given(
    st.integers(1, 12).flatmap(
        lambda users: arrays(np.bool_, (users, 6), elements=st.booleans()).filter(np.any)
    ),
    st.sampled_from([0.5, 3.0, 50.0]),
)
def test_the_weights_are_those_of_the_definition(liked: np.ndarray, l2: float) -> None:
    """With more users than movies, and with fewer."""
    log = ratings([(u, m + 1, 5.0, m) for u, m in np.argwhere(liked)], range(1, 7))
    model = Ease(l2=l2)
    model.fit(log)
    some = liked[:, liked.any(axis=0)].astype(float)
    inverse = np.linalg.inv(some.T @ some + l2 * np.eye(some.shape[1]))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_array_equal(model.rows, np.flatnonzero(liked.any(axis=0)))
    np.testing.assert_allclose(model.weights, expected, atol=1e-5)


def test_in_blocks_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, blocks = Ease(), Ease()
    whole.fit(five())
    monkeypatch.setattr(ease, "_BLOCK", 7)
    blocks.fit(five())
    np.testing.assert_array_equal(whole.weights, blocks.weights)


def test_movies_beyond_the_most_liked_score_by_popularity() -> None:
    model, smaller = Ease(l2=2, max_movies=3, popularity=1.0), Ease(l2=2, popularity=1.0)
    model.fit(five())
    assert (model.rows + 1).tolist() == [1, 2, 4]
    among = np.isin(five().rows, model.rows)
    smaller.fit(five().take(np.flatnonzero(among)))
    np.testing.assert_array_equal(model.weights, smaller.weights)
    asked = Histories.of_users(five(), np.array([0, 4]))
    scores = model.score(asked)
    np.testing.assert_allclose(scores[:, [2, 4]], 2 / 8)
    one = evidence(asked[:1], model.liked_from, model.recency)[:, model.rows].toarray()[0]
    np.testing.assert_allclose(scores[0, model.rows] - [4 / 8, 3 / 8, 4 / 8], one @ model.weights)
    assert model.explain(asked, np.array([2, 4])) == [[Reason("feature", "popularity", 0.25)]] * 2


def test_what_counts_as_liked() -> None:
    """Movies 1 and 5 have one person in common, who gave 5 a single star."""
    all_ratings, liked = Ease(liked_from=1, l2=2), Ease(l2=2)
    all_ratings.fit(five())
    liked.fit(five())
    assert all_ratings.weights[0, 4] > 0.01
    assert liked.weights[0, 4] == 0


def test_nothing_liked() -> None:
    with pytest.raises(DatasetError, match="none of 2 ratings is of 4 stars or more"):
        Ease().fit(ratings([(1, 1, 3.5, 0), (1, 2, 1.0, HOUR)]))
