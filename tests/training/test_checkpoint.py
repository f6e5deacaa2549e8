"""Runs that are interrupted, and checkpoints that are not what they should be."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from os import _exit
from pathlib import Path

import pytest
import torch

from stream.contracts.errors import ArtifactError
from tests.training.build import SMALL, clubs, ratings
from training.checkpoint import Checkpoint, Origin, State
from training.config import Config
from training.dataset import Ratings
from training.epochs import Trained, train_until_best
from training.options import Precision, RunOptions
from training.recommender import OnProgress
from training.split import split_by_time

# With all that is random: dropout too.
DRAWN = replace(SMALL, towers=replace(SMALL.towers, user="sequential", width=16, dropout=0.2))

EPOCHS = 4
KILLED_AFTER = 2.5  # epochs


def run(
    checkpoint: Checkpoint,
    *,
    users: int = 40,
    config: Config = DRAWN,
    epochs: int = EPOCHS,
    seed: int = 0,
    precision: Precision = "auto",
    on_progress: OnProgress = lambda *_: None,
) -> Trained:
    data = ratings(clubs(users=users))
    options = RunOptions(max_epochs=epochs, patience=epochs, seed=seed, precision=precision)
    return train_until_best(data, split_by_time(data), config, options, on_progress, checkpoint)


def die(path: Path) -> None:
    """Train until the process ends in the middle of an epoch, as if it were killed."""

    def on_progress(done: int, of: int) -> None:
        if done > of * KILLED_AFTER / EPOCHS:
            _exit(1)

    run(Checkpoint(path), on_progress=on_progress)


def contents(path: Path) -> State:
    _, content = path.read_bytes().split(b"\n", 1)
    state: State = torch.load(io.BytesIO(content), weights_only=True)
    return state


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    """A run of four epochs, and its last checkpoint."""
    path = tmp_path_factory.mktemp("whole") / "run.checkpoint"
    return run(Checkpoint(path)), path


def test_a_killed_run_goes_on_to_the_same_losses_and_weights(
    whole: tuple[Trained, Path], tmp_path: Path
) -> None:
    trained, uninterrupted = whole
    path = tmp_path / "run.checkpoint"
    process = get_context("spawn").Process(target=die, args=(path,))
    process.start()
    process.join()
    assert json.loads(path.read_bytes().split(b"\n", 1)[0])["epoch"] == int(KILLED_AFTER)
    torch.manual_seed(99)  # this is another process than the one that began
    steps: list[int] = []
    resumed = run(Checkpoint(path, resume=True), on_progress=lambda done, _: steps.append(done))
    assert resumed.epochs == trained.epochs  # to the last bit
    assert min(steps) == max(steps) // 2 + 1  # nothing is done twice
    assert_same(contents(path), contents(uninterrupted))
    assert_same(resumed.final.state_dict(), trained.final.state_dict())


def assert_same(left: object, right: object) -> None:
    """Equal to the last bit."""
    if isinstance(left, dict):
        assert isinstance(right, dict)
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list):
        assert isinstance(right, list)
        for pair in zip(left, right, strict=True):
            assert_same(*pair)
    elif isinstance(left, torch.Tensor):
        assert isinstance(right, torch.Tensor)
        assert torch.equal(left, right)
    else:
        assert left == right


def test_what_is_finished_is_not_trained_again(whole: tuple[Trained, Path]) -> None:
    trained, path = whole
    steps: list[tuple[int, int]] = []
    again = run(Checkpoint(path, resume=True), on_progress=lambda *step: steps.append(step))
    assert again.epochs == trained.epochs
    assert_same(again.measured.state_dict(), trained.measured.state_dict())
    assert len(steps) == 1


def test_a_run_may_be_made_longer(whole: tuple[Trained, Path], tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    run(Checkpoint(path), epochs=2)
    assert run(Checkpoint(path, resume=True)).epochs == whole[0].epochs


def test_without_resume_a_run_begins_anew(whole: tuple[Trained, Path], tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    path.write_bytes(whole[1].read_bytes())
    assert run(Checkpoint(path), epochs=1).epochs == whole[0].epochs[:1]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"users": 41}, "the ratings are others"),
        ({"seed": 1}, "the seed is 0, not 1"),
        ({"precision": "float16"}, "the precision is auto, not float16"),
        ({"config": replace(DRAWN, learning_rate=0.5)}, "learning_rate is 0.02, not 0.5"),
        ({"config": replace(DRAWN, towers=replace(DRAWN.towers, hidden=3))}, "hidden is 16, not 3"),
    ],
)
def test_another_run_is_refused(
    whole: tuple[Trained, Path], other: dict[str, object], message: str
) -> None:
    with pytest.raises(ArtifactError, match=f"is of another run: {message}"):
        run(Checkpoint(whole[1], resume=True), **other)  # type: ignore[arg-type]


def cut(content: bytes) -> bytes:
    return content[:-1]


def changed(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


def of_another_layout(content: bytes) -> bytes:
    header, rest = content.split(b"\n", 1)
    return json.dumps({**json.loads(header), "layout": 99}).encode() + b"\n" + rest


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "is damaged"),
        (changed, "is damaged"),
        (of_another_layout, "has layout 99, this code reads 1"),
        (lambda content: b"", "does not begin as a checkpoint"),
        (lambda content: b"{}\n", "does not begin as a checkpoint"),
        (lambda content: b'{"layout":1}\n', "does not begin as a checkpoint"),
        (lambda content: b"[1]\n", "does not begin as a checkpoint"),
    ],
)
def test_what_is_damaged_is_refused(
    whole: tuple[Trained, Path], tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "run.checkpoint"
    path.write_bytes(damage(whole[1].read_bytes()))
    with pytest.raises(ArtifactError, match=message) as raised:
        run(Checkpoint(path, resume=True))
    assert "without --resume" in str(raised.value)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no checkpoint to resume from"):
        run(Checkpoint(tmp_path / "run.checkpoint", resume=True))


def test_another_vocabulary_is_named() -> None:
    def origin(data: Ratings) -> Origin:
        return Origin.of(data, SMALL, RunOptions())

    events = clubs(users=5)
    ours = origin(ratings(events, range(1, 73)))
    assert ours.differences(origin(ratings(events, range(1, 74)))) == ["the movies are others"]
    assert ours.differences(ours) == []
