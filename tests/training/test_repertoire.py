"""What a model can recommend: the same whenever its later movies came."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.errors import ArtifactError
from tests.planted_model import CATALOGUE, GENRES, MOVIES, Trait
from tests.suites.movie_index import FILTERS
from training import repertoire
from training.artifact import Artifact
from training.dataset import Movie
from training.mmr import likeness
from training.movie_filter import ALL_MOVIES, MovieFilter
from training.repertoire import Repertoire

KNOWN = [movie.movie_id for movie in CATALOGUE]
LEARNT = Movie(CATALOGUE[0].movie_id, "Another title", ("Western",), 1990)


def later(movie_id: int, genre: int = 1, year: int | None = 2001) -> Movie:
    return Movie(movie_id, f"Movie {movie_id}", (GENRES[genre], "Unheard-of"), year)


@pytest.fixture(scope="module")
def artifact(models: dict[Trait, Path]) -> Artifact:
    return Artifact.load(models["genre"])


@pytest.fixture(scope="module")
def learnt(artifact: Artifact) -> Repertoire:
    return Repertoire.of(artifact)


def test_at_first_it_is_what_the_model_learnt(artifact: Artifact, learnt: Repertoire) -> None:
    assert learnt.items is artifact.items
    assert (learnt.learnt, learnt.later, learnt.unrated.tolist()) == (MOVIES, (), [])
    of_all = learnt.likeness[np.arange(MOVIES)]
    genres = [movie.genres for movie in artifact.movies()]
    np.testing.assert_array_equal(of_all, likeness(artifact.items.vectors, genres))


def test_later_movies_have_vectors_by_their_content(artifact: Artifact, learnt: Repertoire) -> None:
    """In a genre that the model knows; another one makes no two movies alike."""
    lacking = learnt.lacking(artifact, [later(9), LEARNT, later(5, genre=2)])
    assert [movie.movie_id for movie in lacking.movies] == [5, 9]
    assert {movie.popularity for movie in lacking.movies} == {0}
    found = learnt.taking_in(lacking)
    assert found.items.movie_ids[MOVIES:].tolist() == [5, 9]
    np.testing.assert_array_equal(
        found.items.vectors[MOVIES:], artifact.item_vectors_for([later(5, genre=2), later(9)])
    )
    np.testing.assert_array_equal(found.items.vectors[:MOVIES], artifact.items.vectors)
    learnt_rows, last = np.arange(MOVIES), np.array(MOVIES + 1)
    np.testing.assert_array_equal(found.likeness[learnt_rows], learnt.likeness[learnt_rows])
    assert found.unrated.tolist() == [MOVIES, MOVIES + 1]
    np.testing.assert_allclose(np.square(found.likeness[last]).sum(), 0.5 + 0.5 / 2, rtol=1e-5)
    assert found.likeness[last][-len(GENRES) + 1] == pytest.approx(0.5)  # of two, one is known
    assert not found.lacking(artifact, [LEARNT, later(9), later(5, genre=2)]).movies
    assert learnt.learnt == len(learnt.items.movie_ids)


def test_a_movie_that_changes_takes_its_own_place(artifact: Artifact, learnt: Repertoire) -> None:
    found = learnt.taking_in(learnt.lacking(artifact, [later(5), later(9)]))
    lacking = found.lacking(artifact, [later(9), later(5, genre=4)])
    assert [movie.movie_id for movie in lacking.movies] == [5]
    changed = found.taking_in(lacking)
    assert changed.items.movie_ids.tolist() == found.items.movie_ids.tolist()
    assert changed.later[0].genres[0] == GENRES[4]
    assert changed.items.vectors[MOVIES].argmax() == 4
    np.testing.assert_array_equal(changed.items.vectors[-1], found.items.vectors[-1])


@given(wanted=FILTERS)
def test_it_matches_what_an_index_finds(
    artifact: Artifact, learnt: Repertoire, wanted: MovieFilter
) -> None:
    found = learnt.taking_in(learnt.lacking(artifact, [later(5), later(9), later(2**32 - 1)]))
    every = [*artifact.movies(), *found.later]
    matching = found.matching(wanted)
    if wanted == ALL_MOVIES:
        assert matching is None
    else:
        assert matching is not None
        assert matching.tolist() == [wanted.wants(movie) for movie in every]


def test_what_matches_is_remembered_but_for_ids(learnt: Repertoire) -> None:
    """Of a filter of each genre and year, those asked for last; nobody's changes another's."""
    [*genres] = [MovieFilter(genres_any=frozenset([genre])) for genre in GENRES]
    first = learnt.matching(genres[0])
    assert first is not None
    assert learnt.matching(genres[0]) is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = False
    of_ids = learnt.matching(replace(genres[0], exclude=frozenset([KNOWN[0]])))
    only = learnt.matching(replace(genres[0], only=frozenset([KNOWN[0], KNOWN[1]])))
    assert of_ids is not None
    assert only is not None
    assert (first.sum() - of_ids.sum(), only.sum(), first[0]) == (1, 1, True)
    for year in range(1, 100):
        learnt.matching(MovieFilter(year_from=year))
    assert learnt.matching(genres[0]) is not first
    assert len(learnt._matching) == repertoire._REMEMBERED


MOVIE = st.builds(later, st.integers(1, 9), st.integers(0, 5), st.integers(1950, 2020))


@given(st.lists(st.lists(MOVIE, max_size=5, unique_by=lambda movie: movie.movie_id), max_size=5))
def test_it_is_the_same_however_the_movies_came(
    artifact: Artifact, learnt: Repertoire, looks: list[list[Movie]]
) -> None:
    """All at once, or look by look, each of which may change what came before."""
    found, newest = learnt, dict[int, Movie]()
    for look in looks:
        newest |= {movie.movie_id: movie for movie in look}
        found = found.taking_in(found.lacking(artifact, newest.values()))
    at_once = learnt.taking_in(learnt.lacking(artifact, reversed(newest.values())))
    assert found.later == at_once.later
    assert found.items.movie_ids.tolist() == at_once.items.movie_ids.tolist()
    assert found.unrated.tolist() == at_once.unrated.tolist()
    np.testing.assert_allclose(found.items.vectors, at_once.items.vectors, atol=1e-6)
    rows = np.arange(len(found.items.movie_ids))
    np.testing.assert_allclose(found.likeness[rows], at_once.likeness[rows], atol=1e-6)
    assert [*found.table] == [*at_once.table]


def test_a_tower_that_cannot_be_run_says_so(artifact: Artifact, learnt: Repertoire) -> None:
    class Broken(Artifact):
        def __init__(self) -> None:
            self.__dict__ |= artifact.__dict__
            self._item_tower = None

    with pytest.raises(ArtifactError, match="item tower"):
        learnt.lacking(Broken(), [later(5)])


def test_of_many_movies_without_a_rating_the_newest_are_tried(
    artifact: Artifact, learnt: Repertoire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later ones before those that a model learnt, whatever their ids, and in whatever order."""
    monkeypatch.setattr(repertoire, "POOL", 3)
    some = replace(learnt, unrated=np.arange(4), unrated_vectors=learnt.items.vectors[:4])
    tried = []
    for movies in ([[later(5), later(9)]], [[later(9)], [later(5)]]):
        found = some
        for come in movies:
            found = found.taking_in(found.lacking(artifact, come))
        tried.append(found.items.movie_ids[found.unrated].tolist())
        np.testing.assert_array_equal(found.unrated_vectors, found.items.vectors[found.unrated])
    newest_learnt = int(learnt.items.movie_ids[:4].max())
    assert tried == [sorted([5, 9, newest_learnt])] * 2
