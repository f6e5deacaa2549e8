from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from training.dropout import Dropout

ONES = torch.ones(200, 300)


def made(share: float = 0.25, seed: int = 0) -> Dropout:
    torch.manual_seed(seed)
    return Dropout(share)


def test_a_share_becomes_nothing_and_the_sum_stays() -> None:
    dropped = made()(ONES)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (dropped == 0).float().mean() == pytest.approx(0.25, abs=0.01)
    assert dropped.mean() == pytest.approx(1, abs=0.01)


def test_every_pass_draws_anew() -> None:
    dropout = made()
    both = (dropout(ONES) == 0) & (dropout(ONES) == 0)
    assert both.float().mean() == pytest.approx(0.25**2, abs=0.01)


def test_gradients_pass_where_elements_do() -> None:
    leaf = ONES.clone().requires_grad_()
    dropped = made()(leaf)
    dropped.sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, dropped.detach())


def test_nothing_is_dropped_once_trained_or_of_share_0() -> None:
    assert torch.equal(made().eval()(ONES), ONES)
    assert torch.equal(made(0.0)(ONES), ONES)


def test_models_in_threads_draw_what_they_draw_alone() -> None:
    def draws(seed: int) -> list[Tensor]:
        dropout = dropouts[seed]
        return [dropout(ONES) for _ in range(20)]

    dropouts = [made(seed=seed) for seed in range(2)]
    alone = [draws(seed) for seed in range(2)]
    dropouts = [made(seed=seed) for seed in range(2)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(draws, range(2)))
    assert torch.equal(torch.stack(together[0]), torch.stack(alone[0]))
    assert torch.equal(torch.stack(together[1]), torch.stack(alone[1]))
    assert not torch.equal(alone[0][0], alone[1][0])


def test_its_state_goes_on_to_the_same_draws() -> None:
    first, second = made(seed=1), made(seed=2)
    first(ONES)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(ONES), second(ONES))
