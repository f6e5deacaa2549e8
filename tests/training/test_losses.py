import numpy as np
import pytest
import torch
from torch.nn import functional

from training.losses import log_presence, sampled_softmax

MOVIES = 50


@pytest.fixture
def vectors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(users, movies, targets)"""
    generator = torch.Generator().manual_seed(0)
    users, movies = (
        functional.normalize(torch.randn(n, 8, generator=generator), dim=1) for n in (6, MOVIES)
    )
    return users, movies, torch.tensor([3, 3, 0, 49, 7, 20])


def test_with_all_movies_present_it_is_the_full_softmax(
    vectors: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    users, movies, targets = vectors
    loss = sampled_softmax(users, movies, targets, torch.zeros(MOVIES), torch.tensor(0.1))
    full = functional.cross_entropy(users @ movies.T / 0.1, targets)
    torch.testing.assert_close(loss, full)


def test_log_presence_is_how_often_movies_are_candidates() -> None:
    chance = np.random.default_rng(0)
    shares = chance.dirichlet(np.full(MOVIES, 0.3))
    shares[0] = 0
    shares /= shares.sum()
    present = np.zeros(MOVIES)
    draws = 20_000
    for _ in range(draws):
        batch = [*chance.choice(MOVIES, 8, p=shares), *chance.integers(0, MOVIES, 5)]
        present[np.unique(batch)] += 1
    expected = np.exp(log_presence(shares, np.arange(MOVIES), batch=8, negatives=5))
    np.testing.assert_allclose(present / draws, expected, atol=0.015)


def test_the_denominator_is_right_on_average(
    vectors: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    """Uncorrected, a sample's sum is far too small."""
    users, movies, _ = vectors
    user, target, temperature = users[:1], torch.tensor([3]), torch.tensor(0.5)
    scores = (user @ movies.T / temperature)[0]
    full = scores.exp().sum() / scores[3].exp()

    chance = np.random.default_rng(1)
    shares = np.arange(MOVIES) / np.arange(MOVIES).sum()
    corrected = []
    for _ in range(4_000):
        others = [*chance.choice(MOVIES, 10, p=shares), *chance.integers(0, MOVIES, 10)]
        candidates = np.unique([3, *others])
        presence = log_presence(shares, candidates, batch=10, negatives=10)
        loss = sampled_softmax(
            user,
            movies[candidates],
            torch.from_numpy(np.searchsorted(candidates, target.numpy())),
            torch.from_numpy(presence),
            temperature,
        )
        corrected.append(loss.exp().item())  # the estimate of `full`
    assert np.mean(corrected) == pytest.approx(full.item(), rel=0.02)
