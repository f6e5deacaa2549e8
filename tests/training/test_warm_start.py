"""What the next training begins from is what the last one ended with."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stream.contracts.errors import ArtifactError
from tests.training.build import (
    DAY,
    SMALL,
    a_predictor,
    a_ranking,
    clubs,
    everything,
    ratings,
    tables,
)
from training import export
from training.artifact import LogPosition, read_manifest
from training.dataset import Ratings
from training.epochs import best_epoch, train_until_best
from training.export import write_artifact
from training.objectives import Next
from training.options import RunOptions
from training.pipeline import train
from training.scorer import padded_vectors
from training.trainer import Trainer
from training.warm_start import WEIGHTS, Start, TowerWeights, read_start

MEASURED_UNTIL = 5_000  # ms, of `written`
POSITION = LogPosition("topic", (3, 4))


@pytest.fixture(scope="module")
def data() -> Ratings:
    """With a movie that nobody has rated, the last one."""
    return ratings(clubs(users=100), range(1, 74))


@pytest.fixture(scope="module")
def trainers(data: Ratings) -> tuple[Trainer, Trainer]:
    measured, final = (
        Trainer(data, events, SMALL) for events in (everything(data)[:400], everything(data))
    )
    for trainer in (measured, final):
        trainer.epoch()
    return measured, final


@pytest.fixture(scope="module")
def written(
    data: Ratings, trainers: tuple[Trainer, Trainer], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    measured, final = (TowerWeights.of(trainer.towers, data) for trainer in trainers)
    with pytest.MonkeyPatch.context() as patch:
        without_what_is_served(patch)
        return write_artifact(
            tmp_path_factory.mktemp("artifacts"),
            trainers[1].towers,
            a_ranking(data),
            a_predictor(data),
            data,
            everything(data),
            SMALL,
            {},
            Start(measured, final, MEASURED_UNTIL),
            POSITION,
        )


def without_what_is_served(patch: pytest.MonkeyPatch) -> None:
    """Artifacts that no training reads more of are written in no time."""
    for slow in ("export_towers", "build_edge_index"):
        patch.setattr(export, slow, lambda *_: None)


def test_towers_go_on_as_they_were(
    data: Ratings, trainers: tuple[Trainer, Trainer], written: Path
) -> None:
    """Both pairs, each from its own weights, through the file."""
    start = read_start(written, SMALL, judged_from=MEASURED_UNTIL)
    assert start.judged_from == MEASURED_UNTIL
    for trainer, weights in zip(trainers, (start.measured, start.final), strict=True):
        events = everything(data)[:400] if trainer is trainers[0] else everything(data)
        again = Trainer(data, events, SMALL, RunOptions(seed=7), weights)
        np.testing.assert_allclose(
            padded_vectors(again.towers), padded_vectors(trainer.towers), atol=1e-6
        )
        assert again.towers.log_temperature == trainer.towers.log_temperature
        ours, theirs = (t.towers.users.state_dict() for t in (again, trainer))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_manifest_says_what_was_known(data: Ratings, written: Path) -> None:
    manifest = read_manifest(written)
    assert manifest.position == POSITION
    assert manifest.until == data.times.max()
    assert WEIGHTS in manifest.files


def test_what_is_kept_is_a_copy(data: Ratings) -> None:
    trainer = Trainer(data, everything(data), SMALL)
    kept = TowerWeights.of(trainer.towers, data)
    before = {name: values.copy() for name, values in kept.parameters.items()}
    trainer.epoch()
    assert all(np.array_equal(kept.parameters[name], before[name]) for name in before)


def test_embeddings_follow_their_movies(data: Ratings, trainers: tuple[Trainer, Trainer]) -> None:
    """The catalogue lost movie 1, and has new ones before, between and after; 73 was unrated."""
    weights = TowerWeights.of(trainers[1].towers, data)
    assert weights.movie_ids.tolist() == list(range(1, 73))
    events = [(user, movie + 1, 4.0, time) for user, movie, _, time in clubs(users=50) if movie > 1]
    grown = ratings([*events, (1, 73, 5.0, DAY), (1, 900, 5.0, 2 * DAY)])
    ids = [movie.movie_id for movie in grown.movies]
    own = Trainer(grown, everything(grown), SMALL, begin=weights).towers.items.embedding.weight
    old = trainers[1].towers.items.embedding.weight
    for row, movie in enumerate(ids):
        expected = old[movie] if movie <= 72 else torch.zeros(16)
        assert torch.equal(own[row + 1], expected), movie
    assert not own[0].any()  # PADDING


def test_a_new_genre_is_no_other_shape(data: Ratings, trainers: tuple[Trainer, Trainer]) -> None:
    """Columns of the content follow their genres; a new one keeps its weights of chance."""
    weights = TowerWeights.of(trainers[1].towers, data)
    movies = [movie._replace(genres=(*movie.genres, "Anime")) for movie in data.movies]
    grown = replace(data, movies=movies)
    assert grown.genres == ("Anime", "Comedy", "Drama", "Western")
    begun = Trainer(grown, everything(grown), SMALL, begin=weights).towers.items.content[0].weight
    chance = Trainer(grown, everything(grown), SMALL).towers.items.content[0].weight
    old = trainers[1].towers.items.content[0].weight
    assert torch.equal(begun[:, 1:], old)
    assert torch.equal(begun[:, 0], chance[:, 0])
    lost = replace(data, movies=[movie._replace(genres=("Western",)) for movie in data.movies])
    begun = Trainer(lost, everything(lost), SMALL, begin=weights).towers.items.content[0].weight
    assert torch.equal(begun, old[:, 2:])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (replace(SMALL, towers=replace(SMALL.towers, hidden=32)), "hidden was 16 and is 32 now"),
        (replace(SMALL, objective="rest"), "objective was next and is rest now"),
    ],
)
def test_another_shape_is_refused(written: Path, config: object, said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        read_start(written, config, MEASURED_UNTIL)  # type: ignore[arg-type]


def test_hyperparameters_of_the_training_are_no_shape(written: Path) -> None:
    assert read_start(written, replace(SMALL, learning_rate=1e-3), MEASURED_UNTIL)


def test_nothing_that_is_asked_was_seen(written: Path) -> None:
    with pytest.raises(ArtifactError, match="has seen some of the ratings"):
        read_start(written, SMALL, judged_from=MEASURED_UNTIL - 1)


@pytest.mark.parametrize("harm", ["damaged", "missing", "manifest"])
def test_a_damaged_champion_is_refused(written: Path, tmp_path: Path, harm: str) -> None:
    copy = shutil.copytree(written, tmp_path / written.name)
    if harm == "damaged":
        content = bytearray((copy / WEIGHTS).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / WEIGHTS).write_bytes(content)
    else:
        (copy / (WEIGHTS if harm == "missing" else "manifest.json")).unlink()
    with pytest.raises(ArtifactError, match=r"is damaged|to begin from|no whole model"):
        read_start(copy, SMALL, MEASURED_UNTIL)


def test_what_training_would_spoil_stays_as_it_was(
    data: Ratings, trainers: tuple[Trainer, Trainer]
) -> None:
    """With steps that are far too long every epoch is worse than what it began from."""
    start = Start(*(TowerWeights.of(trainer.towers, data) for trainer in trainers), judged_from=0)
    wild = replace(SMALL, learning_rate=10.0)
    split = Next.split(data)
    trained = train_until_best(data, split, wild, RunOptions(patience=2), start=start)
    assert [epoch.number for epoch in trained.epochs] == [0, 1, 2]
    assert math.isnan(trained.epochs[0].loss)
    assert best_epoch(trained.epochs) == 0
    for towers, trainer in zip((trained.measured, trained.final), trainers, strict=True):
        users = trainer.towers.users.state_dict()
        assert all(torch.equal(w, users[name]) for name, w in towers.users.state_dict().items())
    own, expected = (
        TowerWeights.of(towers, data).parameters["items.embedding.weight"]
        for towers in (trained.final, trainers[1].towers)
    )
    np.testing.assert_array_equal(own, expected)


def test_a_training_goes_on_from_its_champion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins better than one that begins from nothing has become after an epoch. A champion that
    knows too much is left alone, which the outcome says."""
    without_what_is_served(monkeypatch)
    events = sorted(clubs(users=150), key=lambda event: event[3])
    options = RunOptions(max_epochs=6, side_by_side=False)
    before = tables(events[: len(events) * 9 // 10], range(1, 73))
    first = train(*before, tmp_path, config=SMALL, options=options)
    assert first.cold is None
    one = RunOptions(max_epochs=1)
    now = tables(events, range(1, 73))
    warm = train(*now, tmp_path, config=SMALL, options=one, champion=first.directory)
    cold = train(*now, tmp_path, config=SMALL, options=one)
    assert warm.cold is None
    assert [epoch.number for epoch in warm.epochs] == [0, 1]
    assert warm.epochs[0].validation.ndcg > 1.5 * cold.epochs[0].validation.ndcg
    back = train(*before, tmp_path, config=SMALL, options=one, champion=warm.directory)
    assert back.cold is not None
    assert "has seen some of the ratings" in back.cold
