"""The ranker: the order of candidates by a conditional logit of named features.

The probability that somebody picks candidate j of C is exp(u_j) / sum_{c in C} exp(u_c), with

    u = sum_f a_f x_f + b_f sign(x_f) log(1 + k_f |x_f|)

of the features x_f, 1 / k_f being how large a feature usually is: what is far out of the ordinary
may count for less than in proportion. As u is linear in a and b, a fit has one optimum and a score
is a sum.

Daniel McFadden: Conditional logit analysis of qualitative choice behavior, 1974. A candidate may
have been drawn for many (McFadden: Modelling the choice of residential location, 1978).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from stream.contracts.errors import DatasetError
from training.tower_inputs import Floats, Ints

Weights: TypeAlias = Mapping[str, Floats]  # of each feature f32[3]: a, b and k

# Penalty of the squared weights, of terms scaled to size 1: it keeps those that say the same from
# growing against each other. 1e-4 to 1e-2 are alike on MovieLens 100K and latest-small.
_RIDGE: Final = 1e-3

_ITERATIONS: Final = 100  # of L-BFGS at most

_BLOCK: Final = 256  # impressions at once: 25 MB at 500 candidates and 50 terms


class Impressions(NamedTuple):
    """n times that somebody picked the first one, or the first ones, of C candidates.

    Attributes:
        features: by name, f32[n, C], as they were right before.
        stand_for: f32[n, C] of how many movies each is drawn; 0 where there is no candidate.
        picked: i64[n] how many of them, 1 at least. Each was picked from among all C.
    """

    features: Mapping[str, Floats]
    stand_for: Floats
    picked: Ints


def fit(impressions: Impressions) -> dict[str, Floats]:
    """The `Weights` that make likeliest what was picked; the same for the same impressions.

    Raises:
        DatasetError: there are no impressions.
    """
    from scipy import optimize, special  # 30 MB, which serving does not need

    names, lists = list(impressions.features), len(impressions.picked)
    if not lists:
        raise DatasetError("nobody picked anything: there is nothing to learn an order from")
    blocks = [slice(begin, begin + _BLOCK) for begin in range(0, lists, _BLOCK)]
    picks = impressions.picked.sum()
    there = impressions.stand_for > 0
    with np.errstate(divide="ignore"):
        log_drawn = np.log(impressions.stand_for)
    steepness = {name: 1 / _size(impressions.features[name][there]) for name in names}

    def terms(block: slice) -> Floats:
        """f32[n, C, 2 features]: of each, what a and b are the weights of."""
        found = []
        for name in names:
            feature = impressions.features[name][block]
            found += [feature, _dampened(feature, steepness[name])]
        return np.stack(found, axis=-1) * there[block][..., None]

    squares = np.sum([np.square(terms(block)).sum((0, 1)) for block in blocks], axis=0)
    scales = np.sqrt(squares / np.count_nonzero(there))
    scales[scales == 0] = 1

    def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        """-log P of what was picked, mean over picks, and its gradient."""
        value, gradient = _RIDGE * weights @ weights, 2 * _RIDGE * weights
        for block in blocks:
            scaled = terms(block) / scales
            logits = scaled @ weights + log_drawn[block]
            picked = impressions.picked[block, None]
            right = np.arange(logits.shape[1]) < picked
            value -= special.log_softmax(logits, axis=1)[right].sum() / picks
            wrong = special.softmax(logits, axis=1) * picked - right
            gradient += np.einsum("nc,nct->t", wrong, scaled) / picks
        return float(value), gradient

    found = optimize.minimize(
        loss, np.zeros(len(scales)), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}
    )
    weights = (found.x / scales).reshape(len(names), -1)
    return {
        name: np.array([*of, steepness[name]], np.float32)
        for name, of in zip(names, weights, strict=True)
    }


def utilities(weights: Weights, features: Mapping[str, Floats]) -> Floats:
    """f32[B, C]: u.

    Args:
        weights: of the features that count.
        features: by name, f32[B, C] or, the same for all, f32[1, C]; others are not looked at.
    """
    return sum(
        (amounts(of, features[name]) for name, of in weights.items()),
        start=np.zeros((1, 1), np.float32),
    )


def amounts(weights: Floats, feature: Floats) -> Floats:
    """f32 as the feature: what it adds to the utility.

    Args:
        weights: f32[3] of the feature.
        feature: its values.
    """
    a, b, k = weights
    added: Floats = a * feature + b * _dampened(feature, k)
    return added


def _dampened(feature: Floats, steepness: np.float32) -> Floats:
    dampened: Floats = np.sign(feature) * np.log1p(steepness * np.abs(feature))
    return dampened


def _size(values: Floats) -> np.float32:
    """f32[]: the root of the mean square; 1 where all are 0."""
    size = np.sqrt(np.square(values, dtype=np.float64).mean())
    return np.float32(size or 1)
