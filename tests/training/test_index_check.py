from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from stream.contracts.errors import ArtifactError
from tests.api.doubles import MemoryIndex
from tests.planted_model import CATALOGUE, GENRES, MOVIES, Trait
from tests.training.build import ratings
from training.artifact import Artifact
from training.dataset import Ratings
from training.index import IndexedMovie
from training.index_check import PEOPLE, PLACES, IndexCheck, check_index
from training.index_edge import EdgeIndex
from training.movie_filter import ALL_MOVIES, MovieFilter
from training.tower_inputs import Floats

KNOWN = [movie.movie_id for movie in CATALOGUE]
NEW = 5_000  # in the log, not in the model


def log_of(people: int) -> Ratings:
    events = [
        (user, [*KNOWN, NEW][(user * 31 + place * 17) % (MOVIES + 1)], 4.0, place)
        for user in range(1, people + 1)
        for place in range(1 + user % 30)
    ]
    return ratings(events, [*KNOWN, NEW])


LOG = log_of(40)


@pytest.fixture(scope="module")
def artifact(models: dict[Trait, Path]) -> Artifact:
    return Artifact.load(models["genre"])


class Exact(MemoryIndex):
    """Remembers who asked."""

    def __init__(self, movies: Sequence[IndexedMovie], vectors: Floats) -> None:
        super().__init__(movies, vectors)
        self.asked: list[tuple[int, list[int]]] = []

    def search(
        self,
        vector: npt.NDArray[np.float32],
        limit: int,
        exclude: Collection[int] = (),
        wanted: MovieFilter = ALL_MOVIES,
    ) -> list[tuple[int, float]]:
        self.asked.append((limit, list(exclude)))
        return super().search(vector, limit, exclude, wanted)


def exact(artifact: Artifact) -> Exact:
    return Exact(artifact.movies(), artifact.items.vectors)


def test_the_index_of_an_artifact_is_its_own(artifact: Artifact) -> None:
    index = EdgeIndex(artifact.index_directory, artifact.items, artifact.movies())
    assert check_index(index, artifact, LOG) == IndexCheck(MOVIES, 1.0, 1.0)
    index.close()


def test_people_are_asked_without_what_they_rated_and_so_are_canaries(artifact: Artifact) -> None:
    index = exact(artifact)
    check_index(index, artifact, LOG)
    people, canaries = index.asked[:40], index.asked[40:]
    assert {limit for limit, _ in index.asked} == {PLACES}
    for user, (_, seen) in enumerate(people, 1):
        rated = {LOG.movies[row].movie_id for row in LOG.rows[LOG.users == user]}
        assert set(seen) == rated
    assert len(canaries) == len(GENRES)
    for genre, (_, seen) in zip(GENRES, canaries, strict=True):
        most = [movie.movie_id for movie in CATALOGUE if movie.genre == genre][:5]
        assert sorted(seen) == most


def test_canaries_are_the_same_whatever_the_log_says(artifact: Artifact) -> None:
    asked = []
    for people in (1, 40):
        index = exact(artifact)
        check_index(index, artifact, log_of(people))
        asked.append(index.asked[people:])
    assert asked[0] == asked[1]


@pytest.mark.parametrize(("people", "expected"), [(PEOPLE, PEOPLE), (PEOPLE + 1, 101)])
def test_some_stand_for_many(people: int, expected: int, artifact: Artifact) -> None:
    index = exact(artifact)
    check_index(index, artifact, log_of(people))
    assert len(index.asked) == expected + len(GENRES)


def test_canaries_are_asked_where_nobody_is_in_the_log(artifact: Artifact) -> None:
    index = exact(artifact)
    nobody = LOG.take(np.zeros(0, np.int64))
    assert check_index(index, artifact, nobody) == IndexCheck(MOVIES, 1.0, 1.0)
    assert len(index.asked) == len(GENRES)


@pytest.mark.parametrize("less", [1, -1])
def test_a_movie_too_few_or_too_many(less: int, artifact: Artifact) -> None:
    class Miscounted(Exact):
        def count(self) -> int:
            return super().count() - less

    index = Miscounted(artifact.movies(), artifact.items.vectors)
    said = rf"index of model genre holds {MOVIES - less} movies, the model {MOVIES}: build it again"
    with pytest.raises(ArtifactError, match=said):
        check_index(index, artifact, LOG)


def test_another_versions_vectors(artifact: Artifact, models: dict[Trait, Path]) -> None:
    other = Artifact.load(models["decade"])
    with pytest.raises(ArtifactError, match=r"gives movie \d+ a score of .*, the model"):
        check_index(exact(other), artifact, LOG)


def test_one_movie_with_another_vector(artifact: Artifact) -> None:
    vectors = artifact.items.vectors.copy()
    vectors[7] = vectors[8]
    with pytest.raises(ArtifactError, match=f"gives movie {KNOWN[7]} a score"):
        check_index(Exact(artifact.movies(), vectors), artifact, LOG)


def test_another_catalogue(artifact: Artifact) -> None:
    movies = [*artifact.movies()]
    movies[9] = msgspec.structs.replace(movies[9], title="Another")
    with pytest.raises(ArtifactError, match=f"calls movie {KNOWN[9]} .*Another"):
        check_index(Exact(movies, artifact.items.vectors), artifact, LOG)


@pytest.mark.parametrize("other", [3.25, None])
def test_another_mean(
    artifact: Artifact, other: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last bit of a mean is lost in a real index; anything more is another movie's."""
    table = replace(artifact.movies(), mean_ratings=np.full(MOVIES, 27.5 / 7))
    monkeypatch.setattr(artifact, "movies", lambda: table)
    [nearly] = np.nextafter([27.5 / 7], 4).tolist()
    movies = [msgspec.structs.replace(one, mean_rating=nearly) for one in table]
    check_index(Exact(movies, artifact.items.vectors), artifact, LOG)
    movies[9] = msgspec.structs.replace(movies[9], mean_rating=other)
    with pytest.raises(ArtifactError, match=f"calls movie {KNOWN[9]} "):
        check_index(Exact(movies, artifact.items.vectors), artifact, LOG)


def test_a_movie_that_the_model_does_not_know(artifact: Artifact) -> None:
    movies = [*artifact.movies()]
    movies[9] = msgspec.structs.replace(movies[9], movie_id=NEW + 1)
    with pytest.raises(ArtifactError, match=f"has movie {NEW + 1}, which the model does not know"):
        check_index(Exact(movies, artifact.items.vectors), artifact, LOG)


def lossy(artifact: Artifact, every: int) -> Exact:
    """One in so many of the nearest is not found, and what comes behind all of them is instead."""

    class Lossy(Exact):
        def search(
            self,
            vector: npt.NDArray[np.float32],
            limit: int,
            exclude: Collection[int] = (),
            wanted: MovieFilter = ALL_MOVIES,
        ) -> list[tuple[int, float]]:
            found = super().search(vector, 2 * limit, exclude, wanted)
            return [hit for place, hit in enumerate(found) if place % every][:limit]

    return Lossy(artifact.movies(), artifact.items.vectors)


def test_what_is_approximate_passes_and_what_is_broken_does_not(artifact: Artifact) -> None:
    """Of fifty places one in 25 is missed: 96%. One in 5: 80%; one in 2: 50%."""
    checked = check_index(lossy(artifact, 25), artifact, LOG)
    assert (checked.recall, checked.canary_recall) == (0.96, 0.96)
    assert check_index(lossy(artifact, 5), artifact, LOG).recall == 0.8
    with pytest.raises(ArtifactError, match=r"finds 50\.0% of what is nearest to people, not 80%"):
        check_index(lossy(artifact, 2), artifact, LOG)


def test_what_only_canaries_miss(artifact: Artifact) -> None:
    nobody = LOG.take(np.zeros(0, np.int64))
    with pytest.raises(ArtifactError, match="nearest to canaries"):
        check_index(lossy(artifact, 2), artifact, nobody)


def test_what_was_excluded_is_not_found(artifact: Artifact) -> None:
    """An index that does not leave out what somebody has rated finds that instead."""

    class Deaf(Exact):
        def search(
            self,
            vector: npt.NDArray[np.float32],
            limit: int,
            exclude: Collection[int] = (),
            wanted: MovieFilter = ALL_MOVIES,
        ) -> list[tuple[int, float]]:
            return super().search(vector, limit, wanted=wanted)

    index = Deaf(artifact.movies(), artifact.items.vectors)
    with pytest.raises(ArtifactError, match=r"finds movie \d+, which was excluded"):
        check_index(index, artifact, LOG)


def test_a_movie_found_twice_counts_once(artifact: Artifact) -> None:
    class Stammering(Exact):
        def search(
            self,
            vector: npt.NDArray[np.float32],
            limit: int,
            exclude: Collection[int] = (),
            wanted: MovieFilter = ALL_MOVIES,
        ) -> list[tuple[int, float]]:
            found = super().search(vector, limit, exclude, wanted)
            return [*found[: limit // 2], *found[: limit // 2]]

    index = Stammering(artifact.movies(), artifact.items.vectors)
    with pytest.raises(ArtifactError, match=r"finds 50\.0% of"):
        check_index(index, artifact, LOG)


def test_a_model_of_nan(models: dict[Trait, Path]) -> None:
    broken = Artifact.load(models["genre"])
    broken.items.vectors = broken.items.vectors.copy()
    broken.items.vectors[3] = np.nan
    with pytest.raises(ArtifactError, match="model genre gives NaN: train it again"):
        check_index(exact(broken), broken, LOG)
