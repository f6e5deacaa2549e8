"""What it costs to be wrong about the movies that somebody chose, among all of them."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.tower_inputs import Floats, Ints


def sampled_softmax(
    users: Tensor, candidates: Tensor, targets: Tensor, log_presence: Tensor, temperature: Tensor
) -> Tensor:
    """Cross-entropy of the movie that came next against a sample of all movies: `multinomial` of
    one movie each.

    Args:
        users: f32[B, d].
        candidates: f32[C, d], distinct movies.
        targets: i64[B], which candidate came next.
        log_presence: f32[C], log p.
        temperature: f32[], divides the dot products.

    Returns:
        f32[], the mean over the batch.
    """
    everyone = torch.arange(len(targets), device=targets.device)
    losses = multinomial(users / temperature @ candidates.T, everyone, targets, log_presence)
    return losses.mean()


def multinomial(scores: Tensor, owners: Tensor, targets: Tensor, log_presence: Tensor) -> Tensor:
    """f32[t]: minus the log of the share that softmax over all movies gives to each target, from a
    sample of the movies. The likelihood of Mult-VAE (Liang et al., WWW 2018).

    The candidates of a batch are its own targets and some random movies, so that a movie is the
    more often among them the more popular it is. A candidate that is present with probability p
    stands for 1/p of its kind: its logit is corrected by -log p, which makes the denominator an
    unbiased estimate of the full softmax's (importance sampling: Bengio and Senécal, 2008). The
    target is always present and is not corrected. Where all movies are candidates, p = 1, this is
    the full softmax.

    Args:
        scores: f32[B, C] of distinct movies; -inf for one that was not there to be chosen.
        owners: i64[t] who chose each target, a row.
        targets: i64[t] a column.
        log_presence: f32[C], log p.
    """
    corrected = scores - log_presence
    total = torch.logsumexp(corrected, dim=1)[owners]
    share = torch.exp(corrected[owners, targets] - total)
    own = log_presence[targets]
    # Of the sum, the target's part is e^score instead of e^(score - log p).
    total = total + torch.log1p(share * torch.expm1(own))
    return total - scores[owners, targets]


def log_presence(
    shares: npt.NDArray[np.float64], candidates: Ints, batch: int, negatives: int
) -> Floats:
    """f32[C]: log of the probability that a batch's candidates include each of these movies.

    Args:
        shares: f64[n], the share of all targets that each movie has.
        candidates: i64[C], the movies in question.
        batch: targets in a batch, drawn by `shares`.
        negatives: further movies, drawn uniformly with replacement.
    """
    absent = batch * np.log1p(-shares[candidates])
    absent += negatives * np.log1p(-1 / len(shares))
    presence: Floats = np.log(-np.expm1(absent)).astype(np.float32)
    return presence
