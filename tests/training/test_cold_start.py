import numpy as np
import pytest
import torch

from stream.coldstart import ItemVectors
from stream.contracts.events import RatingEvent
from tests.stream.build import folded, rating
from tests.training.build import SMALL, START, clubs, ratings
from training.cold_start import (
    content_vectors,
    first_ratings,
    lengths,
    places_of,
    pooled,
    recognised,
)
from training.dataset import Ratings
from training.histories import Histories
from training.scorer import padded_vectors
from training.tower_inputs import PADDING, Floats, Ints
from training.trainer import Trainer


@pytest.fixture
def log() -> Ratings:
    return ratings([(1, 1, 4.0, 0), (1, 2, 1.0, 1), (1, 3, 5.0, 2), (7, 2, 3.0, 0)])


def some_vectors(movies: int) -> Floats:
    vectors = np.random.default_rng(0).normal(size=(movies, 6)).astype(np.float32)
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def test_the_first_ratings_of_some_users(log: Ratings) -> None:
    histories = first_ratings(log, np.array([1, 7, 9]), 2)
    lists, events = histories.events()
    assert lists.tolist() == [0, 0, 1]
    assert log.rows[events].tolist() == [0, 1, 1]
    assert histories.lengths.tolist() == [2, 1, 0]


def test_pooled_by_hand(log: Ratings) -> None:
    """Stars less 2.75, faded by 0.8 for every later rating."""
    vectors = np.eye(3, dtype=np.float32)
    found = pooled(vectors, Histories.of_users(log, np.array([1, 7, 9])))
    one = np.array([1.25 * 0.64, -1.75 * 0.8, 2.25])
    np.testing.assert_allclose(found[0], one / np.linalg.norm(one), rtol=1e-6)
    np.testing.assert_allclose(found[1], [0, 1, 0], rtol=1e-6)
    assert not found[2].any()


def test_pooled_is_what_the_stream_pools() -> None:
    chance = np.random.default_rng(0)
    movies = chance.permutation(80)[:70]  # more than the stream looks at
    stars = chance.integers(1, 11, 70) / 2
    events: list[RatingEvent] = [
        rating(1, int(movie) + 1, float(some), START + 1_000 * step)
        for step, (movie, some) in enumerate(zip(movies, stars, strict=True))
    ]
    vectors = some_vectors(80)
    ids = np.arange(1, 81, dtype=np.uint32)
    (streamed,) = ItemVectors("v1", ids, vectors).pool([folded(events).users[1]])
    assert streamed is not None
    log = ratings(
        [
            (1, int(m) + 1, float(s), 1_000 * i)
            for i, (m, s) in enumerate(zip(movies, stars, strict=True))
        ],
        range(1, 81),
    )
    found = pooled(vectors, Histories.of_users(log, np.array([1])))
    np.testing.assert_allclose(found[0], streamed.vector, atol=1e-3)  # that is in half precision


def test_recognised_by_hand() -> None:
    """The first is nearest to their own final vector, the second to one of the other two."""
    final = np.eye(3, dtype=np.float32)
    early = np.array([[0.9, 0.1, 0.0], [0.7, 0.2, 0.1], [0.5, 0.5, 0.0]], np.float32)
    np.testing.assert_allclose(recognised(early, final), [1, 0.5, 0])


def test_by_chance_half_are_less_alike() -> None:
    early, final = np.split(some_vectors(1_000) + 5, 2)
    assert recognised(early, final).mean() == pytest.approx(0.5, abs=0.05)


def test_places_by_hand() -> None:
    angles = np.radians([0, 10, 30, 180])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    wanted: Ints = np.array([[1, 3], [2, 0], [0, 1], [2, 1]])
    assert places_of(vectors, vectors, wanted).tolist() == [[1, 3], [2, 1], [2, 1], [1, 2]]


@pytest.fixture(scope="module")
def trained() -> tuple[Trainer, Ratings]:
    log = ratings(clubs(users=60), range(1, 75))  # nobody has rated 73 and 74
    trainer = Trainer(log, np.arange(len(log)), SMALL)
    trainer.epoch()
    return trainer, log


def test_content_vectors_know_no_ratings(trained: tuple[Trainer, Ratings]) -> None:
    """They are what the towers make of a movie that nobody has rated, and of no other."""
    trainer, log = trained
    content, vectors = content_vectors(trainer.towers, log), padded_vectors(trainer.towers)[1:]
    np.testing.assert_allclose(np.linalg.norm(content, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(content[72:], vectors[72:], rtol=1e-5, atol=1e-6)
    rated = np.bincount(log.rows, minlength=74)[:72] > 0
    assert (np.abs(content[:72] - vectors[:72]).max(axis=1) > 1e-2)[rated].all()


def test_lengths_are_those_that_are_taken_away(trained: tuple[Trainer, Ratings]) -> None:
    trainer, log = trained
    towers = trainer.towers
    found = lengths(towers)
    assert found.shape == (len(log.movies),)
    own = towers.items.unscaled(towers.index, towers.features).detach().numpy()[PADDING + 1 :]
    np.testing.assert_allclose(own / found[:, None], padded_vectors(towers)[1:], atol=1e-5)
    with torch.no_grad():
        for parameter in (towers.items.embedding.weight, *towers.items.content[-1].parameters()):
            parameter *= 2
    np.testing.assert_allclose(lengths(towers), 2 * found, rtol=1e-5)
