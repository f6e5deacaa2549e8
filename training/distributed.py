"""One training run in several processes, as `torchrun` starts them: they share each step.

Every process draws the same batches and takes its part of the users; gradients are averaged, so
that all have the same weights and what one process alone would compute. The first one leads: it
alone measures, writes and prints.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")

_LEADER: Final = 0


@contextmanager
def processes() -> Iterator[None]:
    """Be one of the processes that `torchrun` started; where it did not, one process is all."""
    if not distributed.is_torchelastic_launched():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # one GPU each
        distributed.init_process_group("cpu:gloo,cuda:nccl")
    else:
        distributed.init_process_group("gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def count() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else _LEADER


def leads() -> bool:
    """Whether this is the one that measures, writes and prints."""
    return rank() == _LEADER


def of_leader(make: Callable[[], T]) -> T:
    """What the leader makes, in every process.

    Where it raises, it ends, and `torchrun` ends the others.
    """
    if count() == 1:
        return make()
    made = [make() if leads() else None]
    distributed.broadcast_object_list(made, _LEADER)
    return made[0]  # type: ignore[return-value]


def total(value: Tensor) -> float:
    """The sum over all processes of a f64[]."""
    if count() > 1:
        distributed.all_reduce(value)
    return value.item()
