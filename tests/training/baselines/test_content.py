from dataclasses import replace

import numpy as np
import pytest

from stream.contracts.errors import ConfigurationError
from tests.training.build import START, ratings
from training.baselines.content import Content
from training.dataset import Movie, Ratings, Tags
from training.histories import Histories
from training.tower_inputs import Floats

MOVIES = [
    Movie(1, "Space", ("Sci-Fi",), 1995),
    Movie(2, "Space again", ("Sci-Fi",), 1995),
    Movie(3, "Space before", ("Sci-Fi",), 1991),
    Movie(4, "Old space", ("Sci-Fi",), 1955),
    Movie(5, "Space laughs", ("Comedy", "Sci-Fi"), 1995),
    Movie(6, "Laughs", ("Comedy",), 1995),
    Movie(7, "Some day", ("Drama",), None),
    Movie(8, "Nothing known", (), None),
]
TAGS = Tags(
    np.array([0, 6, 6, 1, 2]),
    np.array(["robots", "robots", "robots", "mine alone", "later"], np.dtypes.StringDType()),
    START + np.array([0, 0, 0, 0, 99], np.int64),
)


def log() -> Ratings:
    data = ratings([(1, 6, 4.0, 0), (2, 6, 4.0, 0), (1, 7, 4.0, 1)], range(1, 9))
    return replace(data, movies=MOVIES, tags=TAGS)


def scores(model: Content, *movies: int) -> Floats:
    """For someone who likes these, the last one most recently."""
    model.fit(log())
    return model.score(Histories.raw(MOVIES, [[(movie, 4.0, START + movie) for movie in movies]]))[
        0
    ]


def test_alike_by_genre_and_year() -> None:
    same, before, old, both, other = scores(Content(popularity=0), 2)[[0, 2, 3, 4, 5]]
    assert scores(Content(popularity=0), 2)[1] == pytest.approx(1)
    assert same < 1  # its tag sets it apart
    assert same > old
    assert 1 > before > old > other
    assert before > both > other


def test_without_the_year_genres_remain() -> None:
    by_genre = scores(Content(year=0, tags=0, popularity=0), 2)
    np.testing.assert_allclose(by_genre[:4], 1, rtol=1e-6)
    assert by_genre[5:].tolist() == [0, 0, 0]


def test_a_tag_in_common_makes_alike_and_one_of_a_single_movie_does_not() -> None:
    assert scores(Content(popularity=0), 1)[6] > 0
    assert scores(Content(popularity=0, tags=0), 1)[6] == 0
    model = Content()
    model.fit(log())
    assert model.vectors[[1]].nnz == 1 + 2  # a genre and two decades


def test_tags_given_after_the_training_are_not_known() -> None:
    times = START + np.array([0, 99], np.int64)
    told = replace(log(), tags=Tags(np.array([0, 6]), TAGS.words[:2], times))
    known, early = Content(popularity=0), Content(popularity=0)
    known.fit(told)
    early.fit(told.take(np.arange(len(told))))
    asked = Histories.raw(MOVIES, [[(1, 5.0, START)]])
    # Tags alone have something in common: of the squared lengths 1 + 0.5 + 1 and 1 + 1, 1.
    assert known.score(asked)[0, 6] == pytest.approx(1 / np.sqrt(2.5 * 2))
    assert early.score(asked)[0, 6] == 0


def test_euclidean_is_less_the_mean_squared_distance() -> None:
    model = Content(similarity="euclidean", recency=0.5, popularity=0)
    found = scores(model, 1, 6)
    vectors = model.vectors.toarray()
    distances = ((vectors[:, None] - vectors[[0, 5]]) ** 2).sum(axis=2)
    np.testing.assert_allclose(found, -(distances @ [1 / 3, 2 / 3]), atol=1e-6)


def test_cosine_is_a_mean_weighted_by_recency() -> None:
    model = Content(recency=0.5, popularity=0)
    found = scores(model, 1, 6)
    unit = model.vectors.toarray()
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), [1] * 7 + [0], rtol=1e-6)
    np.testing.assert_allclose(found, unit @ unit[[0, 5]].T @ [1 / 3, 2 / 3], atol=1e-6)


def test_popularity_orders_what_is_alike_and_what_nothing_is_known_of() -> None:
    assert np.argsort(-scores(Content()), kind="stable").tolist()[:2] == [5, 6]
    assert scores(Content(), 2)[7] == 0


def test_an_unknown_similarity() -> None:
    with pytest.raises(ConfigurationError, match="'jaccard': there are cosine, euclidean"):
        Content(similarity="jaccard")
