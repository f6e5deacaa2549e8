"""How a training run is carried out, as opposed to what is trained: `training.config.Config`."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

Device: TypeAlias = Literal["auto", "cpu", "cuda"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run.

    Attributes:
        max_epochs: at most.
        patience: epochs without a better one on the validation part, after which to stop.
        seed: of everything random.
        threads: on a CPU, for each of the two models. Threads that share a step wait for each other
            by spinning, which makes training several times slower wherever something else runs too.
        device: ``auto`` is CUDA where there is one.
        precision: of the products of matrices; weights stay float32. ``auto`` is bfloat16 on CUDA
            and float32 elsewhere.
        compile: let `torch.compile` make a program of each tower before the first step. On a CPU
            an epoch takes as long with it as without.
        side_by_side: train both models at once, else in turns, on one core of a CPU.
    """

    max_epochs: Annotated[int, Meta(ge=1)] = 12
    patience: Annotated[int, Meta(ge=1)] = 2
    seed: Annotated[int, Meta(ge=0)] = 0
    threads: Annotated[int, Meta(ge=1)] = 1
    device: Device = "auto"
    precision: Precision = "auto"
    compile: bool = False
    side_by_side: bool = True
