import numpy as np
import pytest
from scipy import sparse

from tests.training.build import DAY, HOUR, ratings
from training import company as module
from training.baselines.ease import Ease
from training.company import company, directions
from training.dataset import Ratings


def three() -> Ratings:
    """One user rates 1, 2, 3, another one 3 and 1; nobody rates 4."""
    events = [(1, 1, 4.0, 0), (1, 2, 4.0, 1), (1, 3, 4.0, 2), (2, 3, 1.0, 0), (2, 1, 5.0, 1)]
    return ratings(events, range(1, 5))


def test_three_movies_by_hand() -> None:
    """1 and 2 are next to each other once, 2 and 3 too; 1 and 3 are once next, once 2 apart."""
    near, far = 1 / np.sqrt(2), 1 / np.sqrt(3)
    gram = np.array([[2, near, near + far], [near, 1, near], [near + far, near, 2]])
    inverse = np.linalg.inv(gram + 0.5 * np.eye(3))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    found = company(three(), links=4, l2=0.5).toarray()
    np.testing.assert_allclose(found[:3, :3], expected, atol=1e-6)
    assert np.count_nonzero(found) == 6  # nothing of a movie that nobody rated


def test_what_the_strongest_directions_leave_counts_less(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    seen = np.argwhere(chance.random((40, 30)) < 0.4)
    log = ratings([(int(user), int(movie) + 1, 4.0, at) for at, (user, movie) in enumerate(seen)])
    weights = company(log, links=30, l2=5).toarray()
    monkeypatch.setattr(module, "_STRONGEST", 3)
    left, strength, right = np.linalg.svd(weights)
    expected = 0.6 * weights + 0.4 * (left * strength)[:, :3] @ right[:3]
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(company(log, links=30, l2=5).toarray(), expected, atol=1e-5)
    assert np.abs(expected - weights).max() > 0.03


def test_of_a_movie_rated_again_the_latest_rating_counts() -> None:
    again = ratings([(1, 3, 2.0, 0), (1, 1, 4.0, 1), (1, 2, 4.0, 2), (1, 3, 4.0, 3)])
    once = ratings([(1, 1, 4.0, 1), (1, 2, 4.0, 2), (1, 3, 4.0, 3)])
    np.testing.assert_array_equal(company(again, 4).toarray(), company(once, 4).toarray())


def test_only_the_strongest_links_stay() -> None:
    whole, cut = company(three(), links=4, l2=0.5), company(three(), links=1, l2=0.5)
    strongest = np.argmax(np.abs(whole.toarray()[:3]), axis=1)
    np.testing.assert_array_equal(cut.indices, strongest)
    np.testing.assert_array_equal(cut.data, whole.toarray()[range(3), strongest])


def test_long_histories_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    order = chance.permuted(np.tile(np.arange(1, 31), (20, 1)), axis=1)
    log = ratings([(u, int(m), 4.0, at) for u, one in enumerate(order) for at, m in enumerate(one)])
    whole = company(log, links=30).toarray()
    monkeypatch.setattr(module, "_BLOCK", 7)
    np.testing.assert_allclose(company(log, links=30).toarray(), whole, atol=1e-6)


def test_the_least_rated_movies_have_no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their ratings still lie between those of others."""
    monkeypatch.setattr(module, "_MAX_MOVIES", 2)
    found = company(three(), links=4, l2=0.5).toarray()
    between = 1 / np.sqrt(3) + 1 / np.sqrt(2)  # of 1 and 3, with and without movie 2 between them
    np.testing.assert_allclose(found[0, 2], between / 2.5, rtol=1e-6)
    assert np.count_nonzero(found) == 2


def test_it_knows_what_is_rated_together_from_what_the_same_people_rate() -> None:
    """Everybody rates the same 24 movies, shelf by shelf: EASE sees all of them alike."""
    chance = np.random.default_rng(0)
    shelves = np.arange(24).reshape(6, 4)
    events = []
    for user in range(60):
        for sitting, shelf in enumerate(chance.permutation(shelves)):
            for at, movie in enumerate(chance.permutation(shelf)):
                stars = float(chance.integers(1, 6))
                events.append((user, int(movie) + 1, stars, sitting * DAY + at * HOUR))
    log = ratings(events)
    together = np.kron(np.eye(6, dtype=bool), np.ones((4, 4), bool)) & ~np.eye(24, dtype=bool)
    apart = ~together & ~np.eye(24, dtype=bool)
    links = company(log, links=24).toarray()
    assert links[together].min() > links[apart].max()
    ease = Ease(liked_from=1)
    ease.fit(log)
    assert np.ptp(ease.weights[~np.eye(24, dtype=bool)]) < 1e-5


def test_directions_give_back_the_mean_of_both_weights() -> None:
    """Of a matrix that four of them make up."""
    half = np.random.default_rng(1).normal(size=(12, 4)).astype(np.float32)
    skew = np.random.default_rng(2).normal(size=(12, 12)).astype(np.float32)
    weights = sparse.csr_array(half @ half.T + skew - skew.T)
    found = directions(weights, 4)
    np.testing.assert_allclose(found @ found.T, half @ half.T, atol=1e-4)


def test_what_no_direction_is_left_for_is_zero() -> None:
    found = directions(sparse.csr_array(np.diag(np.float32([4, -1, 9]))), 5)
    np.testing.assert_allclose(np.abs(found @ found.T), np.diag([4, 0, 9]), atol=1e-5)
    assert not found[:, 2:].any()
