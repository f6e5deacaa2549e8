import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from stream.contracts.errors import DatasetError
from tests.training.build import HOUR, clubs, ratings
from training.baselines import storage
from training.baselines.evidence import evidence, interactions
from training.baselines.factors import Bpr, Ials
from training.baselines.least_squares import solve_each
from training.dataset import Ratings
from training.histories import Histories
from training.metrics import judge, ndcg
from training.recommender import ranks, recommend, score_users, top, without_rated
from training.task import Task
from training.tower_inputs import Floats

Model = Ials | Bpr

MOVIES, CLUB = 72, 12

# Small enough for so few ratings.
MAKES: dict[str, Callable[[], Model]] = {
    "ials": lambda: Ials(factors=8, regularization=1.0),
    "bpr": lambda: Bpr(factors=8, iterations=100),
}


@pytest.fixture(scope="module", params=MAKES)
def make(request: pytest.FixtureRequest) -> Callable[[], Model]:
    return MAKES[request.param]


@pytest.fixture(scope="module")
def log() -> Ratings:
    return ratings(clubs(users=200, seed=1), range(1, MOVIES + 1))


def shuffled(log: Ratings) -> Ratings:
    rows = np.random.default_rng(0).permutation(log.rows)
    return Ratings(log.movies, log.users, rows, log.half_stars, log.times)


def hit_rate(model: Model, log: Ratings) -> float:
    """Of the last of each user's eight movies, in lists of ten made from the first seven."""
    last = np.unique(log.ends) - 1
    model.fit(log.take(np.setdiff1d(np.arange(len(log)), last)))
    histories = Histories.before(log, last)
    scores = without_rated(model.score(histories), histories)
    return float((ranks(scores, log.rows[last]) <= 10).mean())


def test_a_club_is_found_and_where_there_is_none_chance_remains(
    make: Callable[[], Model], log: Ratings
) -> None:
    """Nine of ten movies are of the user's club; ten of the other 65 are right by chance 15%."""
    assert hit_rate(make(), log) > 0.8
    assert 0.07 < hit_rate(make(), shuffled(log)) < 0.24


def test_the_same_seed_gives_the_same_numbers(make: Callable[[], Model], log: Ratings) -> None:
    one, other = make(), make()
    reports: list[tuple[int, int]] = []
    one.fit(log, lambda *report: reports.append(report))
    other.fit(log)
    np.testing.assert_array_equal(one.movies, other.movies)
    assert reports == [(done + 1, one.iterations) for done in range(one.iterations)]


def test_another_seed_gives_others(make: Callable[[], Model], log: Ratings) -> None:
    one, other = make(), make()
    other.seed = 1
    one.fit(log)
    other.fit(log)
    assert not np.allclose(one.movies, other.movies, atol=1e-3)


def test_with_recency_the_last_club_counts_most(make: Callable[[], Model], log: Ratings) -> None:
    model = make()
    model.fit(log)
    model.recency = 0.3
    clubs = [range(1, 5), range(CLUB + 1, CLUB + 5)]
    raw = [
        [(movie, 4.0, hour * HOUR) for hour, movie in enumerate([*one, *other])]
        for one, other in (clubs, clubs[::-1])
    ]
    lists = recommend(model, Histories.raw(log.movies, raw), 6)
    assert (lists[0] // CLUB == 1).all()
    assert (lists[1] // CLUB == 0).all()


def test_scoring_and_loading_do_without_implicit(
    make: Callable[[], Model], log: Ratings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make()
    model.fit(log)
    storage.save(model, tmp_path / "model", log.movies)
    for name in [name for name in sys.modules if name.partition(".")[0] == "implicit"]:
        monkeypatch.setitem(sys.modules, name, None)
    users = np.array([1, 2, 999])
    loaded = storage.load(tmp_path / "model", log.movies)
    np.testing.assert_array_equal(score_users(loaded, log, users), score_users(model, log, users))
    with pytest.raises(ImportError):
        model.fit(log)


def test_nothing_liked_is_nothing_to_learn_from(make: Callable[[], Model], log: Ratings) -> None:
    model = make()
    model.liked_from = 9
    with pytest.raises(DatasetError, match=r"of 4\.5 stars or more"):
        model.fit(log)


def test_each_system_by_hand() -> None:
    """x = t v / (penalty + w v^2): 5 * 2 / (2 + 3 * 4), and 0 without a rating."""
    weights = sparse.csr_array(np.array([[3.0], [0.0]], np.float32))
    targets = sparse.csr_array(np.array([[5.0], [0.0]], np.float32))
    vectors, penalty = np.array([[2.0]], np.float32), np.array([[2.0]], np.float32)
    np.testing.assert_allclose(
        solve_each(weights, targets, vectors, penalty), [[10 / 14], [0]], rtol=1e-6
    )


def implicit_als(model: Ials) -> AlternatingLeastSquares:
    return AlternatingLeastSquares(
        factors=model.factors,
        regularization=model.regularization,
        alpha=model.confidence,
        iterations=model.iterations,
        random_state=model.seed,
        use_cg=False,
    )


def scores_of(users: Floats, model: Ials) -> Floats:
    scores: Floats = users @ model.movies.T + model.prior
    return scores


def test_ials_folds_in_as_implicit_does(log: Ratings) -> None:
    model = Ials(factors=8, regularization=1.0)
    model.fit(log)
    asked = Histories.before(log, np.arange(0, len(log), 5))
    als = implicit_als(model)
    als.item_factors = model.movies
    liked = sparse.csr_matrix(evidence(asked))
    users = als.recalculate_user(np.arange(len(asked)), liked)
    np.testing.assert_allclose(model.score(asked), scores_of(users, model), rtol=1e-3, atol=1e-5)


def test_ials_gives_users_of_the_fit_the_factors_that_it_learnt(log: Ratings) -> None:
    model = Ials(factors=8, regularization=1.0, iterations=200)
    model.fit(log)
    als = implicit_als(model)
    als.fit(sparse.csr_matrix(interactions(log)), show_progress=False)
    known = np.unique(log.users)
    folded = score_users(model, log, known)
    np.testing.assert_allclose(folded, scores_of(als.user_factors, model), atol=2e-3)


def test_a_bpr_user_who_was_not_in_the_fit_is_nobody(log: Ratings) -> None:
    model = Bpr(factors=8, iterations=20)
    model.fit(log.take(np.flatnonzero(log.users != 7)))
    scores = model.score_users(np.array([6, 7, 8]))
    np.testing.assert_array_equal(scores[1], model.score(Histories.raw(log.movies, [[]]))[0])
    assert not np.allclose(scores[0], scores[2])


def quality(scores: Floats, asked: Task) -> float:
    """NDCG@10."""
    lists = top(without_rated(scores, asked.asked), 10)
    return float(ndcg(judge(lists, asked.held.lists, asked.held.rows), 10).mean())


def test_ials_on_100k(hundred_k: Task) -> None:
    model = Ials()
    model.fit(hundred_k.train)
    assert quality(model.score(hundred_k.asked), hundred_k) > 0.45


def test_bpr_on_100k_reaches_the_published_figure(hundred_k: Task) -> None:
    """0.442, with negatives drawn alike. Without the correction for how they are drawn here it is
    far from it, and histories do as well as the factors that were learnt of their users."""
    model = Bpr()
    model.fit(hundred_k.train)
    learnt = quality(model.score_users(hundred_k.asked.users), hundred_k)
    folded = quality(model.score(hundred_k.asked), hundred_k)
    assert learnt > 0.442
    assert folded > learnt - 0.01
    likes = np.bincount(interactions(hundred_k.train).indices, minlength=len(model.prior))
    model.prior -= np.log(np.maximum(likes, 0.5)).astype(np.float32)
    assert quality(model.score(hundred_k.asked), hundred_k) < 0.35
