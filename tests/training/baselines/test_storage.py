import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from stream.contracts.errors import ArtifactError
from tests.training.build import ratings
from training.baselines import catalogue, storage
from training.baselines.catalogue import Entry
from training.baselines.ease import Ease
from training.baselines.neighbours import ItemKnn
from training.dataset import Ratings
from training.histories import Histories
from training.recommender import OnProgress
from training.tower_inputs import Floats


@dataclass
class Pair:
    """Everything that a fit may set: an array, a dict of them, and other recommenders."""

    share: float = 0.5

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        self.ease, self.knn = Ease(l2=2.0), ItemKnn()
        self.ease.fit(train)
        self.knn.fit(train)
        self.bounds = np.array([1.5, 2.5])
        self.layers = {"first.weight": np.eye(2), "second": np.zeros((0, 3), np.int64)}

    def score(self, histories: Histories) -> Floats:
        return self.ease.score(histories) + self.knn.score(histories)


@dataclass
class Unsaveable:
    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        self.names = ["a list"]

    def score(self, histories: Histories) -> Floats:
        return np.zeros((len(histories), 1), np.float32)


@pytest.fixture(autouse=True)
def _in_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{__name__}:"
    more = {"pair": Entry(path + "Pair"), "unsaveable": Entry(path + "Unsaveable")}
    monkeypatch.setattr(catalogue, "MODELS", {**catalogue.MODELS, **more})


def log() -> Ratings:
    return ratings([(u, m, 4.0, m) for u in range(6) for m in range(1, 6) if (u + m) % 3])


@pytest.fixture
def pair() -> Pair:
    model = Pair(share=0.25)
    model.fit(log())
    return model


def test_all_that_a_fit_sets_comes_back(pair: Pair, tmp_path: Path) -> None:
    storage.save(pair, tmp_path / "deep" / "pair", log().movies)
    loaded = storage.load(tmp_path / "deep" / "pair", log().movies)
    assert isinstance(loaded, Pair)
    assert (loaded.share, loaded.ease, loaded.knn) == (0.25, Ease(l2=2.0), ItemKnn())
    assert loaded.bounds.tolist() == [1.5, 2.5]
    assert loaded.layers.keys() == pair.layers.keys()
    for name, layer in pair.layers.items():
        np.testing.assert_array_equal(loaded.layers[name], layer)
    everyone = Histories.of_users(log(), np.arange(7))
    np.testing.assert_array_equal(loaded.score(everyone), pair.score(everyone))


def test_what_was_there_before_is_replaced(pair: Pair, tmp_path: Path) -> None:
    storage.save(pair, tmp_path / "model", log().movies)
    pair.share = 0.75
    storage.save(pair, tmp_path / "model", log().movies)
    assert storage.load(tmp_path / "model", log().movies) == Pair(share=0.75)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_cannot_be_saved_leaves_nothing_and_spoils_nothing(pair: Pair, tmp_path: Path) -> None:
    model = Unsaveable()
    model.fit(log())
    storage.save(pair, tmp_path / "model", log().movies)
    with pytest.raises(TypeError, match=r"Unsaveable\.names is list: not saved"):
        storage.save(model, tmp_path / "model", log().movies)
    assert storage.load(tmp_path / "model", log().movies) == pair
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_another_catalogue(pair: Pair, tmp_path: Path) -> None:
    """A row would mean another movie. Titles may change."""
    storage.save(pair, tmp_path / "model", log().movies)
    renamed = [movie._replace(title="Another") for movie in log().movies]
    assert storage.load(tmp_path / "model", renamed) == pair
    for other in (log().movies[1:], log().movies[::-1]):
        with pytest.raises(ArtifactError, match="was fitted on another catalogue: fit it again"):
            storage.load(tmp_path / "model", other)


@pytest.mark.parametrize("missing", [storage.MODEL, storage.ARRAYS, "ease", "knn/arrays.npz"])
def test_a_damaged_model(pair: Pair, tmp_path: Path, missing: str) -> None:
    storage.save(pair, tmp_path / "model", log().movies)
    path = tmp_path / "model" / missing
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(ArtifactError, match=r"no whole model in .*: fit it again"):
        storage.load(tmp_path / "model", log().movies)


@pytest.mark.parametrize("size", [0, 100])
def test_a_cut_file(pair: Pair, tmp_path: Path, size: int) -> None:
    storage.save(pair, tmp_path / "model", log().movies)
    arrays = tmp_path / "model" / storage.ARRAYS
    arrays.write_bytes(arrays.read_bytes()[:size])
    with pytest.raises(ArtifactError, match="no whole model"):
        storage.load(tmp_path / "model", log().movies)


@pytest.mark.parametrize(
    ("key", "value"), [("hyperparameters", {"temperature": 1}), ("model", "temperature")]
)
def test_a_model_of_another_version(pair: Pair, tmp_path: Path, key: str, value: object) -> None:
    storage.save(pair, tmp_path / "model", log().movies)
    file = tmp_path / "model" / storage.MODEL
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(ArtifactError, match=r"temperature.*fit it again"):
        storage.load(tmp_path / "model", log().movies)


def test_a_model_that_never_was_saved(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no whole model in"):
        storage.load(tmp_path / "model", log().movies)
