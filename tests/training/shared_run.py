"""What `test_distributed` runs under torchrun: each process trains, and writes what it has."""

import sys
from pathlib import Path
from typing import Any

import torch

from tests.training.build import SMALL, clubs, ratings
from training import distributed
from training.checkpoint import Checkpoint
from training.epochs import train_until_best
from training.options import RunOptions
from training.split import split_by_time

# Batches of 16 and 17 examples: the two parts of the latter are of 8 and 9.
USERS = 101


def train(checkpoint: Path) -> dict[str, Any]:
    """Losses, qualities and weights after two epochs."""
    data = ratings(clubs(users=USERS))
    options = RunOptions(max_epochs=2)
    split = split_by_time(data)
    trained = train_until_best(data, split, SMALL, options, checkpoint=Checkpoint(checkpoint))
    return {
        "losses": [epoch.loss for epoch in trained.epochs],
        "qualities": [tuple(epoch.validation) for epoch in trained.epochs],
        "measured": trained.measured.state_dict(),
        "final": trained.final.state_dict(),
    }


def main(directory: Path) -> None:
    torch.set_num_threads(1)
    with distributed.processes():
        rank = distributed.rank()
        trained = train(directory / f"{rank}.checkpoint")
        torch.save({**trained, "processes": distributed.count()}, directory / f"{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
