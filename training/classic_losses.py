"""The objectives of the classic towers: predicted stars, and which of two movies is liked more."""

from typing import Final, Literal, TypeAlias, TypeVar, get_args

from torch import Tensor
from torch.nn import functional

from training.tower_inputs import Floats

Loss: TypeAlias = Literal["mse", "bpr", "combined"]
LOSSES: Final[tuple[Loss, ...]] = get_args(Loss)

# Shares of the two in the combined loss. Both read stars, so they are of the same unit.
MSE_SHARE: Final = 0.7
BPR_SHARE: Final = 0.3


# A tensor or an array of cosines.
Cosines = TypeVar("Cosines", Tensor, Floats)


def predicted_stars(cosines: Cosines) -> Cosines:
    """A cosine of -1 as half a star, of 1 as five: 0.5 + 4.5 (cosine + 1) / 2."""
    return 2.75 + 2.25 * cosines


def mse(predicted: Tensor, stars: Tensor) -> Tensor:
    """f32[], the mean squared error.

    Args:
        predicted: f32[B] stars.
        stars: f32[B] that were given.
    """
    return functional.mse_loss(predicted, stars)


def bpr(liked: Tensor, others: Tensor) -> Tensor:
    """f32[], the mean of -log sigmoid(liked - other): 0 where there is no pair.

    Steffen Rendle et al.: BPR: Bayesian personalized ranking from implicit feedback, UAI 2009.

    Args:
        liked: f32[p] stars predicted for a movie that the user of each pair liked.
        others: f32[p, k] for movies that the same user has not rated.
    """
    losses = functional.softplus(others - liked[:, None])
    return losses.sum() / max(losses.numel(), 1)


def combined(predicted: Tensor, stars: Tensor, liked: Tensor, others: Tensor) -> Tensor:
    """f32[], 0.7 `mse` + 0.3 `bpr`, with the arguments of both."""
    return MSE_SHARE * mse(predicted, stars) + BPR_SHARE * bpr(liked, others)
