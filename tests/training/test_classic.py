import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.errors import ConfigurationError, DatasetError
from tests.training.build import clubs, ratings
from training.classic import ClassicConfig, ClassicTrainer, Unrated
from training.classic_losses import LOSSES, Loss
from training.dataset import Ratings
from training.tower_inputs import Ints


class Every:
    """Stands in for a generator: draws each number once."""

    def integers(self, counts: Ints) -> Ints:
        places = np.arange(len(counts)) - np.searchsorted(counts, counts)
        assert (places < counts).all()
        return places


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), min_size=1, max_size=30),
)
def test_what_is_drawn_is_any_movie_that_is_not_rated(pairs: list[tuple[int, int]]) -> None:
    _, users = np.unique([user for user, _ in pairs], return_inverse=True)
    rows = np.array([row for _, row in pairs])
    unrated = Unrated(users, rows, 8)
    for user in range(users.max() + 1):
        left = np.setdiff1d(np.arange(8), rows[users == user])
        assert unrated.counts[user] == len(left)
        asked = np.full(len(left), user)
        chance: np.random.Generator = Every()  # type: ignore[assignment]
        np.testing.assert_array_equal(unrated.draw(asked, chance), left)


def tiny(seed: int = 0) -> Ratings:
    """Six people with stars that follow from nothing."""
    chance = np.random.default_rng(seed)
    events = [
        (user, int(movie) + 1, float(chance.integers(1, 11)) / 2, step)
        for user in range(1, 7)
        for step, movie in enumerate(chance.permutation(20)[:8])
    ]
    return ratings(events, range(1, 21))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_few_users_can_be_learned_by_heart(loss: Loss) -> None:
    trainer = ClassicTrainer(tiny(), ClassicConfig(loss=loss, learning_rate=1e-2, weight_decay=0))
    first = trainer.epoch()
    for _ in range(12):
        last = trainer.epoch()
    assert last < first / 3
    assert trainer.validation() > 2 * last  # what follows from nothing is not known by others


def test_vectors_have_length_one() -> None:
    trainer = ClassicTrainer(tiny(), ClassicConfig())
    for vectors in (trainer.user_vectors(), trainer.movie_vectors()):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_a_movie_without_ratings_is_its_content_alone() -> None:
    """Of the clubs' movies 73 to 108 have no rating; content goes round every 120 movies."""
    log = ratings(clubs(users=20), range(1, 230))
    trainer = ClassicTrainer(log, ClassicConfig())
    trainer.epoch()
    vectors = trainer.movie_vectors()
    np.testing.assert_allclose(vectors[80], vectors[80 + 120], rtol=1e-4, atol=1e-6)
    assert not np.allclose(vectors[80], vectors[81], atol=1e-2)
    rated = int(log.rows[0])
    assert not np.allclose(vectors[rated], vectors[rated + 120], atol=1e-2)


def test_the_movie_that_is_left_out_comes_last() -> None:
    """All but the first like all movies but the fourth, so no other is ever the unrated one."""
    others = [(user, movie, 4.0, movie) for user in range(2, 14) for movie in (1, 2, 3, 5, 6, 7)]
    log = ratings([(1, 1, 4.0, 0), (1, 4, 4.0, 1), *others])
    trainer = ClassicTrainer(log, ClassicConfig(loss="bpr", learning_rate=2e-2))
    for _ in range(3):
        trainer.epoch()
    scores = trainer.user_vectors() @ trainer.movie_vectors().T
    assert (scores[1:].argmin(axis=1) == 3).all()


def test_the_same_seed_gives_the_same_towers() -> None:
    vectors = []
    for seed in (1, 1, 2):
        trainer = ClassicTrainer(tiny(), ClassicConfig(), seed)
        trainer.epoch()
        vectors.append(trainer.movie_vectors())
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2])


def test_an_unknown_loss_lists_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match="no loss 'hinge': there are mse, bpr, combined"):
        ClassicTrainer(tiny(), ClassicConfig(loss="hinge"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("loss", "events", "count"),
    [
        ("mse", [(1, 1, 4.0, 0)], "1 of 1"),
        ("combined", [(1, 1, 4.0, 0)], "1 of 1"),
        ("bpr", [(1, 1, 3.5, 0), (1, 2, 4.0, 1), (2, 1, 2.0, 2), (2, 3, 1.0, 2)], "1 of 4"),
        # Who has rated everything has nothing to put a liked movie before.
        ("bpr", [(1, 1, 4.0, 0), (1, 2, 4.0, 1), (1, 3, 5.0, 2)], "0 of 3"),
    ],
)
def test_nothing_to_learn(
    loss: Loss, events: list[tuple[int, int, float, int]], count: str
) -> None:
    with pytest.raises(DatasetError, match=f"{count} ratings are something .* {loss!r} can learn"):
        ClassicTrainer(ratings(events, range(1, 4)), ClassicConfig(loss=loss))
