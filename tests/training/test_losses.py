import numpy as np
import pytest
import torch
from torch.nn import functional

from training.losses import log_presence, multinomial, sampled_softmax

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


def test_each_target_of_somebody_has_its_share_by_hand() -> None:
    scores = torch.log(torch.tensor([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]]))
    owners, columns = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2])
    losses = multinomial(scores, owners, columns, torch.zeros(3))
    torch.testing.assert_close(torch.exp(-losses), torch.tensor([1 / 8, 2 / 8, 8 / 16]))


def test_what_could_not_be_chosen_takes_no_share() -> None:
    scores = torch.log(torch.tensor([[1.0, 2.0, 0.0]]))
    losses = multinomial(scores, torch.tensor([0]), torch.tensor([0]), torch.zeros(3))
    assert torch.exp(-losses).item() == pytest.approx(1 / 3)


def test_a_candidate_stands_for_those_that_were_not_drawn_and_the_target_for_itself() -> None:
    scores = torch.log(torch.tensor([[1.0, 2.0, 5.0]]))
    presence = torch.log(torch.tensor([0.5, 1.0, 0.25]))
    losses = multinomial(scores, torch.tensor([0, 0]), torch.tensor([0, 2]), presence)
    expected = torch.tensor([1 / (1 + 2 + 5 * 4), 5 / (1 * 2 + 2 + 5)])
    torch.testing.assert_close(torch.exp(-losses), expected)
