from dataclasses import replace

import numpy as np
import pytest

from producers.datasets import find as found_dataset
from producers.datasets import load
from tests.training.build import ratings
from training.config import REST
from training.dataset import Ratings
from training.embeddings import (
    LEAST_GENRES,
    LEAST_SEQUELS,
    NEIGHBOURS,
    WELL_KNOWN,
    cosines,
    find,
    genre_likeness,
    genre_matrix,
    genre_purity,
    nearest,
    neighbourhood,
    pairs,
    popularity_axis,
    principal_axes,
    well_known,
)
from training.scorer import padded_vectors
from training.tower_inputs import Floats
from training.trainer import Trainer

SERIES = 12  # of two films each, in `library`


def library() -> Ratings:
    """Twelve films and their sequels, each pair with a genre of its own, all well known."""
    users = range(1, WELL_KNOWN + 1)
    log = ratings([(user, movie, 4.0, movie) for user in users for movie in range(1, 25)])
    movies = [
        movie._replace(title=f"Film {'ABCDEFGHJKLM'[row // 2]}{' 2' * (row % 2)}",
                       genres=(f"Genre {row // 2}",))
        for row, movie in enumerate(log.movies)
    ]  # fmt: skip
    return replace(log, movies=movies)


def scaled(vectors: Floats) -> Floats:
    found: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def circle(degrees: list[float]) -> Floats:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_the_nearest_are_those_with_the_largest_cosine() -> None:
    assert nearest(circle([0, 10, 30, 180]), 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]


def test_the_nearest_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = scaled(np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32))
    whole = nearest(vectors, 5)
    monkeypatch.setattr("training.embeddings._BLOCK", 7)
    np.testing.assert_array_equal(nearest(vectors, 5), whole)
    assert (whole != np.arange(30)[:, None]).all()


def test_genre_likeness_by_hand() -> None:
    genres = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0]], bool)
    left, right = np.array([0, 0, 0, 3]), np.array([1, 2, 3, 3])
    np.testing.assert_allclose(genre_likeness(genres, left, right), [1 / 3, 1, 0, 0])


def test_genre_purity_by_hand() -> None:
    genres = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0]], bool)
    near = np.array([[1, 2], [0, 2], [0, 1]])
    # The first movie's neighbours have its genres once each; the others', in half of the cases.
    np.testing.assert_array_equal(genre_purity(genres, near), [0.5, 0.5, np.nan])


def test_where_sequels_lie_side_by_side_all_is_well() -> None:
    """Each film's nearest is its sequel, and the one of its genre; the other nine are not."""
    log = library()
    angles = [15.0 * (row // 2) + row % 2 for row in range(2 * SERIES)]
    found = neighbourhood(circle(angles), log)
    assert (found.movies, found.with_sequels) == (24, 24)
    assert found.sequels == 1
    assert found.sequels_by_chance == pytest.approx(10 / 23)
    assert found.genres == pytest.approx(1 / 10)
    assert found.genres_by_chance == pytest.approx(1 / 23, abs=0.01)
    assert found.problems() == []


def test_where_sequels_lie_far_apart_it_is_said() -> None:
    log = library()
    angles = [5.0 * (row // 2) + 180 * (row % 2) for row in range(2 * SERIES)]
    found = neighbourhood(circle(angles), log)
    assert found.sequels == found.genres == 0
    sequels, genres = found.problems()
    assert sequels.startswith("of a movie's sequels 0.0% are among its 10 nearest movies, of 24")
    assert genres.startswith("a movie and its 10 nearest are alike in genre by 0.00")


def test_the_larger_part_of_a_series_has_no_room_among_ten() -> None:
    log = library()
    movies = [
        movie._replace(title=f"Saga {row + 1}" if row < 14 else f"Film {chr(97 + row)}")
        for row, movie in enumerate(log.movies)
    ]
    angles = [float(row) if row < 14 else 90.0 + row for row in range(24)]
    found = neighbourhood(circle(angles), replace(log, movies=movies))
    assert found.with_sequels == 14
    assert found.sequels == 1  # ten of each one's 13


@pytest.mark.parametrize("known", [0, NEIGHBOURS])
def test_too_few_movies_are_no_problem(known: int) -> None:
    users = range(1, WELL_KNOWN + 1)
    events = [(user, movie, 4.0, movie) for user in users for movie in range(1, known + 1)]
    log = ratings([*events, (1, 50, 3.0, 0)])
    found = neighbourhood(circle([0.0] * len(log.movies)), log)
    assert found.movies == known
    assert np.isnan(found.sequels)
    assert found.problems() == []


def test_little_known_movies_are_not_compared() -> None:
    users = range(1, WELL_KNOWN + 1)
    events = [(user, movie, 4.0, movie) for user in users for movie in (3, 5)]
    log = ratings([*events, *((user, 4, 4.0, 9) for user in users[:-1])])
    assert well_known(log).tolist() == [0, 2]


def test_pairs_have_in_common_what_they_are_said_to() -> None:
    log = library()
    found = pairs(log, np.arange(24), 5_000)
    assert {kind: two.shape[0] for kind, two in found.items()} == dict.fromkeys(found, 2)
    assert sorted(map(tuple, found["sequels"].T.tolist())) == [(r, r + 1) for r in range(0, 24, 2)]
    assert (found["any"][0] != found["any"][1]).all()
    assert (np.abs(found["same genres"][0] - found["same genres"][1]) == 1).all()
    assert len(found["same genres"].T) + len(found["no common genre"].T) == len(found["any"].T)
    assert len(found["same genres"].T) / len(found["any"].T) == pytest.approx(1 / 23, abs=0.01)


def test_pairs_are_of_the_rows_alone() -> None:
    found = pairs(library(), np.array([2, 3, 8]), 200)
    assert set(found["any"].ravel().tolist()) == {2, 3, 8}
    assert found["sequels"].tolist() == [[2], [3]]


def test_cosines_of_pairs() -> None:
    two = np.array([[0, 0], [1, 2]])
    np.testing.assert_allclose(cosines(circle([0, 60, 90]), two), [0.5, 0], atol=1e-6)


def test_principal_axes_of_a_known_shape() -> None:
    """Deviations of 3 and 1 along known directions: nine tenths of the variance are the first's."""
    chance = np.random.default_rng(0)
    places = chance.normal(size=(4_000, 2)) * (3, 1)
    turned = places @ circle([30, 120]) + 5
    found = principal_axes(turned.astype(np.float32), 2)
    np.testing.assert_allclose(found.explained, [0.9, 0.1], atol=0.01)
    assert abs(np.corrcoef(found.places[:, 0], places[:, 0])[0, 1]) > 0.999


def test_the_axis_of_popularity_is_found_and_where_there_is_none_not() -> None:
    chance = np.random.default_rng(0)
    vectors = chance.normal(size=(600, 5)).astype(np.float32)
    counts = np.exp(3 + vectors[:, 2] * 0.5).astype(np.int64) + 1
    found = popularity_axis(vectors, counts)
    assert found.direction[2] > 0.98
    assert found.correlation > 0.9
    shuffled = popularity_axis(vectors, chance.permutation(counts))
    assert abs(shuffled.correlation) < 0.18  # three standard errors of 300


def test_a_title_is_found_by_its_beginning() -> None:
    movies = library().movies
    assert find(movies, "Film B") == 2
    assert find(movies, "Casablanca") is None


@pytest.fixture(scope="module")
def hundred_k(tmp_path_factory: pytest.TempPathFactory) -> Ratings:
    cache = tmp_path_factory.mktemp("data")
    dataset = load(found_dataset("100k", cache=cache, say=lambda _: None))
    return Ratings.from_tables(dataset.ratings, dataset.movies)


@pytest.fixture(scope="module")
def learnt(hundred_k: Ratings) -> Floats:
    """By towers that learn to fill in histories, in four epochs of half a second."""
    trainer = Trainer(hundred_k, np.arange(len(hundred_k)), REST)
    for _ in range(4):
        trainer.epoch()
    return padded_vectors(trainer.towers)[1:]


def test_sequels_and_genres_of_100k_are_found(hundred_k: Ratings, learnt: Floats) -> None:
    """With three seeds 0.40, 0.39 and 0.42; 2.6 times chance."""
    found = neighbourhood(learnt, hundred_k)
    assert found.with_sequels == 67
    assert found.sequels > 0.33 > 30 * found.sequels_by_chance
    assert found.genres > 2.3 * found.genres_by_chance
    assert found.problems() == []


def test_shuffled_vectors_are_found_out(hundred_k: Ratings, learnt: Floats) -> None:
    found = neighbourhood(np.random.default_rng(0).permutation(learnt), hundred_k)
    assert found.sequels < LEAST_SEQUELS / 2
    assert found.genres < LEAST_GENRES / 1.3 * found.genres_by_chance
    assert len(found.problems()) == 2


def test_vectors_in_the_order_of_another_catalogue_are_found_out(
    hundred_k: Ratings, learnt: Floats
) -> None:
    """Off by one, as if the padding had been taken for the first movie."""
    assert len(neighbourhood(np.roll(learnt, 1, axis=0), hundred_k).problems()) == 2


def test_sequels_are_more_alike_than_films_of_the_same_genres(
    hundred_k: Ratings, learnt: Floats
) -> None:
    means = {
        kind: float(cosines(learnt, two).mean())
        for kind, two in pairs(hundred_k, well_known(hundred_k), 20_000).items()
    }
    assert means["sequels"] > means["same genres"] + 0.05
    assert means["same genres"] > means["any"] + 0.05
    assert means["any"] > means["no common genre"] + 0.01


def test_genres_of_the_catalogue(hundred_k: Ratings) -> None:
    genres = genre_matrix(hundred_k)
    assert genres.shape == (1682, len(hundred_k.genres))
    row = find(hundred_k.movies, "Toy Story")
    assert [hundred_k.genres[at] for at in np.flatnonzero(genres[row])] == [
        "Animation",
        "Children's",
        "Comedy",
    ]
