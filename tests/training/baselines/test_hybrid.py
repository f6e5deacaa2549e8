import numpy as np
import pytest

from tests.training.build import HOUR, clubs, ratings
from training.baselines.ease import Ease
from training.baselines.hybrid import Hybrid
from training.baselines.popularity import DecayedPopularity
from training.dataset import Ratings
from training.evaluate import live
from training.histories import Histories
from training.recommender import Reason, recommend
from training.split import split_by_time
from training.tower_inputs import Floats, Ints


class Fixed:
    """Scores known in advance, and one reason that is all of the score."""

    def __init__(self, name: str, scores: list[float]) -> None:
        self._name = name
        self._scores = np.array(scores, np.float32)

    def score(self, histories: Histories) -> Floats:
        return np.tile(self._scores, (len(histories), 1))

    def explain(self, histories: Histories, rows: Ints) -> list[list[Reason]]:
        return [[Reason("feature", self._name, score)] for score in self._scores[rows].tolist()]


@pytest.fixture
def blend() -> Hybrid:
    """Of scores whose deviations are 1, 2 and 3. Nobody has rated the first movie."""
    model = Hybrid(collaborative=0.6, few=2, halfway=1.0)
    model.rated = np.array([False, True, True, True])
    model.ease = Fixed("ease", [3, 1, 1, 3])  # standardised: 1 -1 -1 1
    model.content = Fixed("content", [10, 14, 10, 14])  # -1 1 -1 1
    model.popularity = Fixed("popularity", [6, 6, 0, 0])  # 1 1 -1 -1
    return model


@pytest.fixture
def histories() -> Histories:
    """Of nobody, and of one, two and three ratings."""
    data = ratings([(1, movie, 4.0, movie) for movie in (1, 2, 3)], range(1, 5))
    return Histories(data, np.zeros(4, np.int64), np.arange(4))


def test_the_weights_by_the_number_of_ratings(blend: Hybrid, histories: Histories) -> None:
    popularity, content, collaborative = blend.weights(histories)
    np.testing.assert_allclose(popularity, [1, 0.5, 0, 0])
    np.testing.assert_allclose(content, [0, 0.5, 0.6, 0.55])  # the rest
    np.testing.assert_allclose(collaborative, [0, 0, 0.4, 0.45])  # 0.6 * 2/3, 0.6 * 3/4


def test_sixty_to_forty_for_someone_with_many_ratings() -> None:
    data = ratings([(1, movie, 4.0, movie) for movie in range(1, 2001)])
    weights = Hybrid().weights(Histories.of_users(data, np.array([1])))
    np.testing.assert_allclose(np.concatenate(weights), [0, 0.4, 0.6], atol=0.001)


def test_the_blend_by_hand(blend: Hybrid, histories: Histories) -> None:
    np.testing.assert_allclose(
        blend.score(histories),
        [
            [1, 1, -1, -1],
            [0, 1, -1, 0],
            [-1, 0.6 - 0.4, -1, 1],  # of the first movie, what content says counts for all
            [-1, 0.55 - 0.45, -1, 1],
        ],
        atol=1e-6,
    )


def test_the_reasons_by_hand(blend: Hybrid, histories: Histories) -> None:
    new, known = blend.explain(histories[np.array([3, 3])], np.array([0, 1]))
    assert [reason[:2] for reason in new] == [("feature", "content"), ("feature", "average")]
    assert [reason.amount for reason in new] == pytest.approx([5, -6])
    assert [reason.name for reason in known] == ["content", "ease", "average"]
    assert [reason.amount for reason in known] == pytest.approx(
        [0.55 * 14 / 2, 0.45 * 1, -0.55 * 6 - 0.45 * 2]
    )


def test_where_all_movies_are_alike_the_other_parts_decide(
    blend: Hybrid, histories: Histories
) -> None:
    blend.ease = Fixed("ease", [7, 7, 7, 7])
    np.testing.assert_allclose(blend.score(histories)[3], [-1, 0.55, -0.55, 0.55], atol=1e-6)


def westerns() -> Ratings:
    """Half of sixty people like westerns, the others comedies; the last of each nobody rated."""
    chance = np.random.default_rng(0)
    events = [
        (user, int(3 * number + 1 + user % 2), 4.5, user * HOUR + place)
        for user in range(1, 61)
        for place, number in enumerate(chance.permutation(15)[:8])
    ]
    return ratings(events, sorted({movie for _, movie, _, _ in events} | {46, 47}))


def test_a_new_movie_is_recommended_for_what_it_is() -> None:
    data = westerns()
    western, comedy = len(data.movies) - 1, len(data.movies) - 2
    assert [data.movies[row].genres for row in (western, comedy)] == [("Western",), ("Comedy",)]
    fan = Histories.of_users(data, np.array([1]))
    ease, hybrid = Ease(), Hybrid()
    for model in (ease, hybrid):
        model.fit(data)
    scores = ease.score(fan)[0]
    assert scores[western] == scores[comedy]
    assert western in recommend(hybrid, fan, 10)[0]
    assert comedy not in recommend(hybrid, fan, 10)[0]


def test_someone_new_gets_what_is_popular_now() -> None:
    data = westerns()
    hybrid, popularity = Hybrid(), DecayedPopularity()
    nobody = Histories.raw(data.movies, [[]])
    for model in (hybrid, popularity):
        model.fit(data)
        model.observe(ratings([(99, 46, 5.0, 90 * HOUR)] * 20, [m.movie_id for m in data.movies]))
    lists = recommend(hybrid, nobody, 5)
    np.testing.assert_array_equal(lists, recommend(popularity, nobody, 5))
    assert data.movies[lists[0, 0]].movie_id == 46


def quality(data: Ratings) -> float:
    split = split_by_time(data)
    model = Hybrid(collaborative=0.8, few=1)
    model.fit(data.take(split.train))
    return live(data, model, split.test).hit_rate


def test_tastes_are_found_and_in_shuffled_data_nothing_is() -> None:
    events = clubs(loyal=1.0)
    assert quality(ratings(events)) > 0.75
    movies = np.random.default_rng(0).permutation([movie for _, movie, _, _ in events])
    shuffled = [(u, int(m), stars, t) for (u, _, stars, t), m in zip(events, movies, strict=True)]
    assert quality(ratings(shuffled)) == pytest.approx(10 / 72, abs=0.06)  # three standard errors
