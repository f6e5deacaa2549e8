import numpy as np
import pytest

from tests.training.build import clubs, ratings
from training.baselines.catalogue import create
from training.histories import Histories
from training.recommender import FitsInEpochs

TRAIN = ratings(clubs(users=60))
ASKED = Histories.of_users(TRAIN, np.array([1, 2, 3]))


@pytest.mark.parametrize("name", ["towers", "sasrec"])
def test_a_model_answers_after_each_epoch_and_in_the_end_as_without(name: str) -> None:
    watched, plain = (create(name, max_epochs=3, patience=3) for _ in range(2))
    assert isinstance(watched, FitsInEpochs)
    answers = []
    numbers = []

    def on_epoch(number: int) -> None:
        numbers.append(number)
        answers.append(watched.score(ASKED).copy())

    watched.fit_epochs(TRAIN, on_epoch)
    plain.fit(TRAIN)
    assert numbers == [1, 2, 3]
    assert not np.array_equal(answers[0], answers[-1])
    np.testing.assert_array_equal(answers[-1], plain.score(ASKED))


@pytest.mark.parametrize("name", ["towers", "sasrec"])
def test_a_fit_can_be_given_up(name: str) -> None:
    def give_up(number: int) -> None:
        raise InterruptedError(number)

    model = create(name)
    assert isinstance(model, FitsInEpochs)
    with pytest.raises(InterruptedError, match="1"):
        model.fit_epochs(TRAIN, give_up)
