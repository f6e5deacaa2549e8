"""Two processes under torchrun compute what one computes alone."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stream.contracts.errors import DatasetError
from tests.training.build import SMALL, clubs, everything, ratings
from tests.training.shared_run import train
from training import distributed
from training.trainer import Trainer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shared")
    run = "torch.distributed.run --standalone --nproc-per-node 2 -m tests.training.shared_run"
    subprocess.run([sys.executable, "-m", *run.split(), str(directory)], cwd=ROOT, check=True)
    return directory


def read(directory: Path, rank: int) -> dict[str, Any]:
    read: dict[str, Any] = torch.load(directory / f"{rank}.pt", weights_only=True)
    assert read.pop("processes") == 2
    return read


def test_two_processes_compute_what_one_does(shared: Path, tmp_path: Path) -> None:
    alone, together = train(tmp_path / "checkpoint"), read(shared, 0)
    assert together["losses"] == pytest.approx(alone["losses"], rel=1e-5)
    assert together["qualities"] == alone["qualities"]
    for model in ("measured", "final"):
        for name, weights in alone[model].items():
            torch.testing.assert_close(together[model][name], weights, rtol=1e-3, atol=1e-4)


def test_both_have_the_same_weights_to_the_last_bit(shared: Path) -> None:
    first, second = read(shared, 0), read(shared, 1)
    assert first["losses"] == second["losses"]
    assert first["qualities"] == second["qualities"]
    for model in ("measured", "final"):
        for name, weights in first[model].items():
            assert torch.equal(second[model][name], weights)


def test_only_the_leader_writes(shared: Path) -> None:
    assert [path.name for path in shared.glob("*.checkpoint")] == ["0.checkpoint"]


def test_more_processes_than_examples_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ratings(clubs(users=9))
    monkeypatch.setattr(distributed, "count", lambda: 99)
    with pytest.raises(DatasetError, match="cannot be shared by 99 processes"):
        Trainer(data, everything(data), SMALL)
