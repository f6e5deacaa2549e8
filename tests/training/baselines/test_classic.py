from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from stream.contracts.errors import DatasetError
from tests.training.build import START, ratings
from training.baselines import storage
from training.baselines.classic import ClassicTowers
from training.classic_losses import LOSSES, Loss
from training.exam import Exam
from training.histories import Histories
from training.metrics import rmse
from training.split import Random
from training.task import Task, task
from training.tower_inputs import Floats

# Learns the planted data below in a second.
FAST: dict[str, Any] = {
    "dimensions": 16,
    "learning_rate": 1e-2,
    "weight_decay": 0.1,
    "max_epochs": 30,
    "patience": 6,
}


def tastes(seed: int = 0) -> list[tuple[int, int, float, int]]:
    """People who rate 12 movies of their club and 12 others, and say clearly which is which."""
    chance = np.random.default_rng(seed)
    events = []
    for user in range(1, 121):
        own = np.arange(12) + user % 6 * 12
        others = chance.permutation(np.setdiff1d(np.arange(72), own))[:12]
        events += [
            (user, int(movie) + 1, 4.5 if movie in own else 1.5, step)
            for step, movie in enumerate(chance.permutation(np.concatenate([own, others])))
        ]
    return events


def asked(events: list[tuple[int, int, float, int]]) -> Task:
    log = ratings(events)
    return task(log, Random().parts(log)[0])


def in_order(stars: Floats, of: Task) -> float:
    """How often a held-out movie that was liked is before one that was not."""
    liked = of.held.half_stars == 9
    return float((stars[liked][:, None] > stars[~liked]).mean())


class Answer(NamedTuple):
    model: ClassicTowers
    task: Task
    stars: Floats  # f32[e] predicted of the held-out ratings

    @property
    def rmse(self) -> float:
        return rmse(self.stars, self.task.held.half_stars / 2)


def answer(task: Task, loss: Loss) -> Answer:
    model = ClassicTowers(loss=loss, **FAST)
    model.fit(task.train)
    users = task.asked.users[task.held.lists]
    return Answer(model, task, model.predict_users(users, task.held.rows))


@pytest.fixture(scope="module", params=LOSSES)
def planted(request: pytest.FixtureRequest) -> Answer:
    return answer(asked(tastes()), request.param)


def test_tastes_are_found(planted: Answer) -> None:
    """By pairs of a liked and an unrated movie alone too; chance would be one half."""
    assert in_order(planted.stars, planted.task) > 0.85


def test_stars_are_predicted_where_the_loss_reads_them(planted: Answer) -> None:
    """The mean of all is 1.5 stars off. Pairs want more distance between movies than stars have,
    and with pairs alone how many stars is nothing to a model.
    """
    most = {"mse": 0.6, "combined": 1.2, "bpr": 1.5}
    assert planted.rmse < most[planted.model.loss]
    assert planted.rmse == pytest.approx(-Exam(planted.task, (10,), 1).value(planted.model, "rmse"))


def test_by_their_history_nobody_is_told_apart(planted: Answer) -> None:
    """Everybody rates as many and as high, so that the features are alike."""
    held = planted.task.held
    histories = planted.task.asked[held.lists]
    stars = planted.model.predict(histories, held.rows, held.times)
    assert in_order(stars, planted.task) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("loss", LOSSES)
def test_where_nobody_has_a_taste_nothing_is_found(loss: Loss) -> None:
    events = tastes()
    stars = np.random.default_rng(0).permutation([stars for *_, stars, _ in events])
    shuffled = [(u, m, float(some), t) for (u, m, _, t), some in zip(events, stars, strict=True)]
    found = answer(asked(shuffled), loss)
    assert in_order(found.stars, found.task) == pytest.approx(0.5, abs=0.1)


@pytest.fixture(scope="module")
def fitted() -> ClassicTowers:
    """By people from the kind to the unkind."""
    chance = np.random.default_rng(0)
    events = [
        (user, int(movie) + 1, 4.5 if user % 2 else 1.5, step)
        for user in range(1, 61)
        for step, movie in enumerate(chance.permutation(40)[:12])
    ]
    model = ClassicTowers(loss="mse", **FAST)
    model.fit(ratings(events, range(1, 43)))
    return model


def test_someone_new_is_known_by_how_they_rate_not_by_what(fitted: ClassicTowers) -> None:
    movies = ratings([(1, 1, 4.0, 0)], range(1, 43)).movies
    histories = Histories.raw(
        movies,
        [
            [(movie, stars, START + step) for step, movie in enumerate(rated)]
            for rated, stars in ((range(1, 9), 4.5), (range(11, 19), 4.5), (range(1, 9), 1.5))
        ],
    )
    kind, as_kind, unkind = fitted.score(histories)
    np.testing.assert_allclose(kind, as_kind, rtol=1e-5)
    assert kind[20] > unkind[20] + 2
    rows, times = np.full(3, 20), np.full(3, START)
    np.testing.assert_allclose(
        fitted.predict(histories, rows, times), [kind[20], kind[20], unkind[20]], rtol=1e-5
    )


def test_who_was_in_the_fit_is_known_by_id(fitted: ClassicTowers) -> None:
    known, stranger = fitted.score_users(np.array([1, 1_000]))
    assert not np.allclose(known, stranger)
    stars = fitted.predict_users(np.array([1, 1_000]), np.array([7, 8]))
    np.testing.assert_allclose(stars, [known[7], stranger[8]], rtol=1e-5)


def test_scores_are_stars(fitted: ClassicTowers) -> None:
    scores = fitted.score_users(np.arange(70))
    assert scores.min() >= 0.5
    assert scores.max() <= 5


def test_what_is_known_of_users_is_saved(fitted: ClassicTowers, tmp_path: Path) -> None:
    movies = ratings([(1, 1, 4.0, 0)], range(1, 43)).movies
    storage.save(fitted, tmp_path / "model", movies)
    loaded = storage.load(tmp_path / "model", movies)
    assert isinstance(loaded, ClassicTowers)
    users = np.array([1, 2, 1_000])
    np.testing.assert_array_equal(loaded.score_users(users), fitted.score_users(users))


def test_nothing_to_learn() -> None:
    with pytest.raises(DatasetError, match="1 of 1 ratings are something"):
        ClassicTowers().fit(ratings([(1, 1, 4.0, 0)]))
