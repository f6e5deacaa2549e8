import math

import pytest
import torch

from training.classic_losses import bpr, combined, mse, predicted_stars

PREDICTED, STARS = torch.tensor([3.0, 4.0]), torch.tensor([4.0, 2.0])
# One user likes a movie as expected of two others, one of which is worth a third of it in odds.
LIKED, OTHERS = torch.tensor([3.0]), torch.tensor([[3.0, 3.0 - math.log(3)]])


def test_a_cosine_is_half_a_star_to_five() -> None:
    assert predicted_stars(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0.5, 2.75, 5.0]


def test_mse_by_hand() -> None:
    assert mse(PREDICTED, STARS).item() == (1 + 4) / 2


def test_bpr_by_hand() -> None:
    """The odds are 1 to 1 and 3 to 1: -log(1/2) and -log(3/4)."""
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert bpr(LIKED, OTHERS).item() == pytest.approx(expected)


def test_bpr_of_several_users_by_hand() -> None:
    liked, others = torch.tensor([3.0, 5.0]), torch.tensor([[3.0], [5.0 + math.log(4)]])
    assert bpr(liked, others).item() == pytest.approx((math.log(2) + math.log(5)) / 2)


def test_without_a_pair_bpr_is_nothing() -> None:
    assert bpr(torch.zeros(0), torch.zeros(0, 4)).item() == 0


def test_combined_by_hand() -> None:
    expected = 0.7 * 2.5 + 0.3 * (math.log(2) + math.log(4 / 3)) / 2
    assert combined(PREDICTED, STARS, LIKED, OTHERS).item() == pytest.approx(expected)


def test_where_the_losses_pull() -> None:
    """Predictions towards the stars given; the liked movie up, the others down, the worst most."""
    predicted, liked = PREDICTED.clone().requires_grad_(), LIKED.clone().requires_grad_()
    others = OTHERS.clone().requires_grad_()
    combined(predicted, STARS, liked, others).backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is not None
    assert liked.grad is not None
    assert others.grad is not None
    torch.testing.assert_close(predicted.grad, 0.7 * (PREDICTED - STARS))
    torch.testing.assert_close(others.grad, 0.3 * torch.tensor([[1 / 2, 1 / 4]]) / 2)
    torch.testing.assert_close(liked.grad, -others.grad.sum(1))
