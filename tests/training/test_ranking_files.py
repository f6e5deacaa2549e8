"""The second stage on disk: what is written is read, and what does not fit is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stream.contracts.errors import ArtifactError
from tests.training.build import a_ranking, ratings
from training.ranking_files import LINKS, RANKING, read_ranking, write_ranking

LOG = ratings([(1, movie, 4.0, movie) for movie in range(1, 31)])
MOVIES = len(LOG.movies)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_ranking(tmp_path, a_ranking(LOG))
    return tmp_path


def change(directory: Path, **parts: object) -> None:
    path = directory / RANKING
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


def test_it_comes_back(directory: Path) -> None:
    written, read = a_ranking(LOG), read_ranking(directory, MOVIES)
    assert read.links.keys() == written.links.keys()
    for name, links in written.links.items():
        found = read.links[name]
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(found.matrix, part), getattr(links.matrix, part))
        assert replace(found, matrix=links.matrix) == links
    for ours, theirs in (
        (read.weights, written.weights),
        (read.newcomers, written.newcomers),
    ):
        assert ours.keys() == theirs.keys()
        for name, weights in theirs.items():
            assert ours[name].dtype == np.float32
            np.testing.assert_array_equal(ours[name], weights)
    assert (read.proposed, read.trade_off) == (written.proposed, written.trade_off)


def test_links_stay_on_disk(directory: Path) -> None:
    matrix = read_ranking(directory, MOVIES).links["next"].matrix
    for part in (matrix.data, matrix.indices):
        base = part
        while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
            base = base.base
        assert isinstance(base, np.memmap)


@pytest.mark.parametrize("part", ["weights", "newcomers", "proposed"])
def test_a_feature_that_this_code_lacks(directory: Path, part: str) -> None:
    value: object = 5 if part == "proposed" else [1, 0, 0]
    change(directory, **{part: {"aura": value}})
    with pytest.raises(ArtifactError, match=r"of aura, but there are .*heat_30.*: train again"):
        read_ranking(directory, MOVIES)


def test_newcomers_have_live_features_alone(directory: Path) -> None:
    change(directory, newcomers={"towers": [1, 0, 0]})
    with pytest.raises(ArtifactError, match="newcomers' weights of towers"):
        read_ranking(directory, MOVIES)


def test_links_of_other_movies(directory: Path) -> None:
    with pytest.raises(ArtifactError, match="not of 31 movies"):
        read_ranking(directory, MOVIES + 1)


@pytest.mark.parametrize("name", [RANKING, f"{LINKS}/next.data.npy", f"{LINKS}/next.indptr.npy"])
def test_something_is_missing(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(ArtifactError, match=r"no whole ranking.*train and promote again"):
        read_ranking(directory, MOVIES)


def test_a_part_of_another_type(directory: Path) -> None:
    path = directory / LINKS / "next.data.npy"
    np.save(path, np.load(path).astype(np.float64))
    with pytest.raises(ArtifactError, match="data of next is float64"):
        read_ranking(directory, MOVIES)


def test_a_weight_is_missing(directory: Path) -> None:
    change(directory, newcomers={"heat_30": [1, 0]})
    with pytest.raises(ArtifactError, match=r"of length 3.*newcomers"):
        read_ranking(directory, MOVIES)


def test_something_else_in_its_place(directory: Path) -> None:
    change(directory, weights={"towers": "heavy"})
    with pytest.raises(ArtifactError, match="Expected `array`, got `str`"):
        read_ranking(directory, MOVIES)
