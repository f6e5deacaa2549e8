"""How large a step of training is: warm up, then stay, or fall along a cosine."""

import math
from collections.abc import Callable
from typing import Final

from training.config import Config

# Of the learning rate, below which it does not fall: epochs after the last of the cosine are not
# for nothing.
LOWEST: Final = 0.01


def schedule(config: Config, steps: int) -> Callable[[int], float]:
    """The share of the learning rate at each step, from 0.

    It rises over `Config.warm_up` steps, for Adam's estimates are of nothing yet in the first few.
    Then it falls along half a cosine until `Config.decay_epochs` are over (Loshchilov and Hutter:
    SGDR, ICLR 2017, without restarts), where there are any.

    Args:
        config: hyperparameters.
        steps: of an epoch.
    """
    last = config.decay_epochs * steps

    def share(step: int) -> float:
        risen = min(1.0, (step + 1) / config.warm_up)
        if not last:
            return risen
        fallen = (1 + math.cos(math.pi * min(step / last, 1))) / 2
        return risen * (LOWEST + (1 - LOWEST) * fallen)

    return share
