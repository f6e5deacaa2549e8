"""Dropout for models that are trained side by side, and interrupted."""

import torch
from torch import Tensor, nn

_SEEDS = 2**62


class Dropout(nn.Module):
    """`nn.Dropout`, whose draws depend on nothing else in the process.

    All threads draw from the same generator of torch, so that of two models in training each would
    get what the other happens to leave. Here every pass has a seed of its own, one after the other;
    the latest is part of the module's state, with which a run that is resumed goes on to the same
    draws on any device.

    Args:
        share: of the elements that become 0 while the module is trained; the others are raised, so
            that sums stay what they are on average.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self._seed = int(torch.randint(_SEEDS, ()))

    def forward(self, elements: Tensor) -> Tensor:
        if not self.training or not self.share:
            return elements
        self._seed += 1
        chance = torch.Generator(elements.device).manual_seed(self._seed)
        kept = torch.empty_like(elements).bernoulli_(1 - self.share, generator=chance)
        return elements * kept / (1 - self.share)

    def get_extra_state(self) -> Tensor:
        """What `state_dict` has of it."""
        return torch.tensor(self._seed)

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from there."""
        self._seed = int(state)
