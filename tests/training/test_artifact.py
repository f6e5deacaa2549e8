import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stream.coldstart import MANIFEST, ItemVectors
from stream.contracts.errors import ArtifactError
from stream.features import FEATURE_VERSION, UserState
from tests.stream.build import folded, rating
from tests.training.build import SMALL, a_predictor, a_ranking
from training import export
from training.artifact import CATALOGUE, USER_TOWER, Artifact, read_manifest
from training.dataset import Movie, Ratings
from training.index_edge import EdgeIndex
from training.tower_inputs import Ints
from training.trainer import Trainer


@pytest.fixture
def copy(artifact_directory: Path, tmp_path: Path) -> Path:
    """To be damaged."""
    return shutil.copytree(artifact_directory, tmp_path / artifact_directory.name)


def edit_manifest(directory: Path, **changes: object) -> None:
    path = directory / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_manifest(artifact: Artifact, artifact_directory: Path, club_ratings: Ratings) -> None:
    manifest = artifact.manifest
    assert manifest.version == artifact_directory.name == artifact.items.version
    assert (manifest.feature_version, manifest.history) == (
        FEATURE_VERSION,
        SMALL.towers.history,
    )
    assert manifest.dimensions == artifact.items.vectors.shape[1] == 16
    assert manifest.data_hash == club_ratings.digest
    assert manifest.genres == ("Comedy", "Drama", "Western")
    assert manifest.metrics == {"live_towers_ndcg": 0.5}
    assert manifest.config["learning_rate"] == SMALL.learning_rate
    assert manifest.config["hidden"] == SMALL.towers.hidden


def test_every_file_is_in_the_manifest(artifact: Artifact) -> None:
    files = {
        path.relative_to(artifact.directory).as_posix()
        for path in artifact.directory.rglob("*")
        if path.is_file()
    }
    assert files == {*artifact.manifest.files, MANIFEST}


def test_rows_are_the_catalogues(artifact: Artifact, club_ratings: Ratings) -> None:
    assert artifact.items.movie_ids.tolist() == [movie.movie_id for movie in club_ratings.movies]
    assert [movie.movie_id for movie in artifact.movies()] == artifact.items.movie_ids.tolist()
    assert sum(movie.popularity for movie in artifact.movies()) == len(club_ratings)
    for movie in (artifact.movies()[0], artifact.movies()[30], artifact.movies()[-1]):
        row = club_ratings.movies.index(
            Movie(movie.movie_id, movie.title, movie.genres, movie.year)
        )
        stars = club_ratings.half_stars[club_ratings.rows == row] / 2
        assert movie.popularity == len(stars)
        assert movie.mean_rating == (pytest.approx(stars.mean()) if len(stars) else None)
    assert artifact.movies()[-1].mean_rating is None  # nobody rated it


def test_the_stream_reads_its_item_vectors(artifact: Artifact) -> None:
    items = ItemVectors.load(artifact.directory)
    np.testing.assert_array_equal(items.vectors, artifact.items.vectors)


def test_the_index_finds_what_the_user_tower_asks_for(artifact: Artifact) -> None:
    """Someone who likes three movies of the first club is recommended the first club."""
    state = folded([rating(1, movie, 4.5) for movie in (1, 2, 3)]).users[1]
    index = EdgeIndex(artifact.index_directory, artifact.items, artifact.movies())
    try:
        assert index.count() == 73
        found = index.search(artifact.user_vectors([state])[0], 9, exclude=[1, 2, 3])
    finally:
        index.close()
    assert {movie for movie, _ in found} == set(range(4, 13))


def test_people_without_ratings_and_with_unknown_movies_only(artifact: Artifact) -> None:
    stranger = folded([rating(1, 999, 4.5)]).users[1]
    vectors = artifact.user_vectors([UserState(), stranger])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert artifact.user_vectors([]).shape == (0, 16)


def test_a_new_movie_has_a_vector_from_its_content(artifact: Artifact) -> None:
    new = Movie(999, "New", ("Drama",), 2001)
    one, same, other = artifact.item_vectors_for(
        [new, new, Movie(998, "Other", ("Western",), 1950)]
    )
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other, atol=0.01)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)


def test_a_movie_nobody_rated_is_as_if_new(artifact: Artifact, club_ratings: Ratings) -> None:
    unrated = club_ratings.movies[-1]
    np.testing.assert_allclose(
        artifact.item_vectors_for([unrated])[0], artifact.items.vectors[-1], atol=1e-5
    )


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no whole model artifact in .*train again"):
        Artifact.load(tmp_path)


def test_a_manifest_that_is_not_one(copy: Path) -> None:
    (copy / MANIFEST).write_text("{}")
    with pytest.raises(ArtifactError, match="missing required field"):
        Artifact.load(copy)


def test_figures_that_came_to_nan_are_in_the_manifest(copy: Path) -> None:
    edit_manifest(copy, metrics={"rating_then_rmse": None, "rating_asked": 2.0, "ndcg": 0.5})
    figures = read_manifest(copy).figures_of("rating_")
    assert figures == pytest.approx({"rating_then_rmse": np.nan, "rating_asked": 2.0}, nan_ok=True)


def test_a_missing_file(copy: Path) -> None:
    (copy / USER_TOWER).unlink()
    with pytest.raises(ArtifactError, match=f"{USER_TOWER} is missing"):
        Artifact.load(copy)


@pytest.mark.parametrize("name", [USER_TOWER, "item_vectors.npy", "index/edge_config.json"])
def test_a_damaged_file(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} is damaged"):
        Artifact.load(copy)


@pytest.mark.parametrize(
    ("field", "what"),
    [("layout", "layout"), ("feature_version", "feature version")],
)
def test_what_another_version_of_the_code_wrote(copy: Path, field: str, what: str) -> None:
    edit_manifest(copy, **{field: 99})
    with pytest.raises(ArtifactError, match=f"has {what} 99, this code reads"):
        Artifact.load(copy)


def test_item_vectors_of_another_dimension(copy: Path) -> None:
    edit_manifest(copy, dimensions=128)
    with pytest.raises(ArtifactError, match="have 16 dimensions, its manifest says 128"):
        Artifact.load(copy)


def test_a_tower_that_cannot_be_run(copy: Path) -> None:
    (copy / USER_TOWER).write_bytes(b"not a graph")
    edit_manifest(copy, files={})
    with pytest.raises(ArtifactError, match=f"{USER_TOWER} is not a tower"):
        Artifact.load(copy)


def test_a_catalogue_that_cannot_be_read(copy: Path) -> None:
    artifact = Artifact.load(copy)
    (copy / CATALOGUE).write_bytes(b"not columns")
    with pytest.raises(ArtifactError, match=f"{CATALOGUE} cannot be read"):
        artifact.movies()


def test_a_failed_export_leaves_nothing(
    trainer: Trainer,
    club_ratings: Ratings,
    club_events: Ints,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(export, "build_edge_index", fail)
    with pytest.raises(OSError, match="disk full"):
        export.write_artifact(
            tmp_path,
            trainer.towers,
            a_ranking(club_ratings),
            a_predictor(club_ratings),
            club_ratings,
            club_events,
            SMALL,
            {},
        )
    assert not list(tmp_path.iterdir())
