"""What the towers are asked, on ratings that can be read."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stream.contracts.errors import ConfigurationError, DatasetError
from tests.training.build import HOUR, SMALL, clubs, everything, ratings
from training.batches import Batch
from training.config import Config
from training.dataset import Ratings
from training.objectives import OBJECTIVES, Next, Objective, Rest, kind_of
from training.tower_inputs import PADDING
from training.trainer import Trainer

FILLING = replace(SMALL, objective="rest", liked_from=1)


@pytest.fixture(scope="module")
def data() -> Ratings:
    """Three people; the first rated movies 1 to 4, and did not like movie 4."""
    first = [(1, movie, 4.0 if movie < 4 else 1.0, movie * HOUR) for movie in (1, 2, 3, 4)]
    others = [(2, 5, 5.0, 0), (2, 1, 3.0, HOUR), (3, 6, 4.0, 0)]
    return ratings([*first, *others], range(1, 9))


def asked(objective: Objective, seed: int = 0) -> Batch:
    """All examples at once."""
    return objective.batch(np.arange(objective.size), np.random.default_rng(seed))


def found(batch: Batch) -> list[tuple[int, int]]:
    """(user, index of the movie) of the targets."""
    movies = batch.used[batch.candidates[batch.targets]]
    return list(zip(batch.owners.tolist(), movies.tolist(), strict=True))


def told(batch: Batch, user: int) -> set[int]:
    """The indices in a history."""
    return set(batch.used[batch.inputs.history[user]].tolist()) - {PADDING}


class TestNext:
    def test_a_liked_movie_is_asked_for_with_the_history_before_it(self, data: Ratings) -> None:
        batch = asked(Next(data, everything(data), SMALL))
        assert found(batch) == [(0, 2), (1, 3)]
        assert [told(batch, user) for user in (0, 1)] == [{1}, {1, 2}]
        assert batch.weights.tolist() == [1, 1]

    def test_what_was_rated_is_not_to_be_found_but_for_the_target(self, data: Ratings) -> None:
        batch = asked(Next(data, everything(data), replace(SMALL, negatives=500)))
        movies = batch.used[batch.candidates]
        assert movies.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
        assert [movies[rated].tolist() for rated in batch.rated] == [[1], [1, 2]]

    def test_a_movie_rated_again_can_be_found(self) -> None:
        data = ratings([(1, 1, 4.0, 0), (1, 2, 4.0, HOUR), (1, 1, 5.0, 2 * HOUR)], range(1, 9))
        batch = asked(Next(data, everything(data), SMALL))
        assert found(batch) == [(0, 2), (1, 1)]
        assert not batch.rated[batch.owners, batch.targets].any()


class TestRest:
    def test_a_history_is_parted_in_what_is_told_and_what_is_to_be_found(
        self, data: Ratings
    ) -> None:
        parts = set()
        for seed in range(20):
            batch = asked(Rest(data, everything(data), FILLING), seed)
            first = {movie for user, movie in found(batch) if user == 0}
            assert len(first) == 2
            assert told(batch, 0) | first == {1, 2, 3, 4}
            assert not told(batch, 0) & first
            parts.add(frozenset(first))
        assert len(parts) == 6  # any two of four

    def test_someone_with_one_rating_is_not_asked(self, data: Ratings) -> None:
        objective = Rest(data, everything(data), FILLING)
        assert objective.size == 2
        assert {user for user, _ in found(asked(objective))} == {0, 1}

    def test_everyone_counts_the_same(self, data: Ratings) -> None:
        batch = asked(Rest(data, everything(data), FILLING))
        assert np.bincount(batch.owners, batch.weights).tolist() == [1, 1]

    def test_all_movies_are_candidates_but_those_told(self, data: Ratings) -> None:
        batch = asked(Rest(data, everything(data), FILLING))
        movies = batch.used[batch.candidates]
        assert movies.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
        assert set(movies[batch.rated[0]].tolist()) == told(batch, 0)
        assert not batch.log_presence.any()

    def test_only_what_is_liked_is_to_be_found_where_that_is_asked(self, data: Ratings) -> None:
        liked = replace(FILLING, liked_from=7)
        for seed in range(10):
            assert (0, 4) not in found(asked(Rest(data, everything(data), liked), seed))

    def test_other_events_are_not_known(self, data: Ratings) -> None:
        batch = asked(Rest(data, np.arange(3), FILLING))
        assert len(batch) == 1
        assert told(batch, 0) | {movie for _, movie in found(batch)} == {1, 2, 3}

    def test_nothing_to_learn(self) -> None:
        data = ratings([(1, 1, 5.0, 0), (2, 1, 5.0, 0)])
        with pytest.raises(DatasetError, match="nobody in 2 ratings"):
            Rest(data, everything(data), FILLING)

    def test_its_split_holds_out_a_part_of_everyone(self) -> None:
        data = ratings(clubs(users=30))
        split = Rest.split(data)
        assert sorted([*split.train, *split.validation]) == list(range(len(data)))
        assert set(data.users[split.validation]) == set(data.users)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_parts_of_a_batch_are_the_batch(name: str) -> None:
    data = ratings(clubs(users=20))
    config = replace(FILLING, objective=name)
    trainer = Trainer(data, everything(data), config)
    objective = kind_of(config)(data, everything(data), config)
    batch = objective.batch(np.arange(11), np.random.default_rng(0))
    parts = [batch.part(rank, 3) for rank in range(3)]
    assert [len(part) for part in parts] == [4, 4, 3]
    with torch.no_grad():
        whole = objective.loss(trainer.towers, batch)
        losses = [objective.loss(trainer.towers, part) * len(part) for part in parts]
    torch.testing.assert_close(sum(losses) / len(batch), whole)


def test_an_unknown_objective() -> None:
    with pytest.raises(ConfigurationError, match="no objective 'last': there are next, rest"):
        kind_of(Config(objective="last"))  # type: ignore[arg-type]
