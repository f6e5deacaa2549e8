"""The training objective: which movie came next, among all of them."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from training.tower_inputs import Floats, Ints


def sampled_softmax(
    users: Tensor, candidates: Tensor, targets: Tensor, log_presence: Tensor, temperature: Tensor
) -> Tensor:
    """Cross-entropy of the movie that came next against a sample of all movies.

    The candidates of a batch are its own targets and some random movies, so that a movie is the
    more often among them the more popular it is. A candidate that is present with probability p
    stands for 1/p of its kind: its logit is corrected by -log p, which makes the denominator an
    unbiased estimate of the full softmax's (importance sampling: Bengio and Senécal, 2008). The
    target is always present and is not corrected. Where all movies are candidates, p = 1, this is
    the full softmax.

    Args:
        users: f32[B, d], L2-normalised.
        candidates: f32[C, d], L2-normalised, distinct movies.
        targets: i64[B], which candidate came next.
        log_presence: f32[C], log p.
        temperature: f32[], divides the cosines.

    Returns:
        f32[], the mean over the batch.
    """
    logits = torch.addmm(-log_presence, users / temperature, candidates.T)
    logits[torch.arange(len(targets)), targets] += log_presence[targets]
    return functional.cross_entropy(logits, targets)


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
