"""Where a step is computed, and in which numbers."""

from contextlib import AbstractContextManager
from typing import Final, NamedTuple

import torch

from stream.contracts.errors import ConfigurationError
from training.options import Device, Precision

_DTYPES: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class Arithmetic(NamedTuple):
    """A device, and the numbers in which matrices are multiplied there."""

    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, device: Device, precision: Precision) -> "Arithmetic":
        """As `RunOptions` say.

        Raises:
            ConfigurationError: there is no such device here.
        """
        there = torch.cuda.is_available()
        if device == "cuda" and not there:
            raise ConfigurationError("device = cuda, and there is no CUDA here: use auto or cpu")
        cuda = there and device != "cpu"
        if precision == "auto":
            precision = "bfloat16" if cuda else "float32"
        where = torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
        return cls(where, _DTYPES[precision])

    def autocast(self) -> AbstractContextManager[None]:
        """For the forward pass."""
        mixed = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype, enabled=mixed)

    def scaler(self) -> torch.amp.GradScaler:
        """For the backward pass: gradients of float16 would be rounded to 0 as they are."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
