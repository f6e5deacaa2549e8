"""The ranker: the order of candidates by a conditional logit of named features.

The probability that somebody picks candidate j of C is exp(u_j) / sum_{c in C} exp(u_c), with

    u = sum_f (a_f + b_f g) x_f + c_f sign(x_f) log(1 + |x_f|)

of the features x_f and g = log(1 + how many ratings the user has given): what a feature is worth
may depend on how well the user is known, and what is far out of the ordinary may count for less
than in proportion. As u is linear in the weights, a fit has one optimum and a score is a sum.

Daniel McFadden: Conditional logit analysis of qualitative choice behavior, 1974. A candidate may
have been drawn for many (McFadden: Modelling the choice of residential location, 1978).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from stream.contracts.errors import DatasetError
from training.tower_inputs import Floats, Ints

Weights: TypeAlias = Mapping[str, Floats]  # of each feature f32[3]: a, b and c

# Penalty of the squared weights, of terms scaled to deviation 1: it keeps those that say the same
# from growing against each other.
_RIDGE: Final = 1e-4

_ITERATIONS: Final = 100  # of L-BFGS at most

_BLOCK: Final = 256  # impressions at once: 25 MB at 500 candidates and 50 terms


class Impressions(NamedTuple):
    """n times that somebody picked the first one, or the first ones, of C candidates.

    Attributes:
        features: by name, f32[n, C], as they were right before.
        ratings: i64[n] how many ratings the user had given.
        stand_for: f32[n, C] of how many movies each is drawn; 0 where there is no candidate.
        picked: i64[n] how many of them, 1 at least. Each was picked from among all C.
    """

    features: Mapping[str, Floats]
    ratings: Ints
    stand_for: Floats
    picked: Ints


def fit(impressions: Impressions) -> dict[str, Floats]:
    """The weights that make likeliest what was picked; the same for the same impressions.

    Raises:
        DatasetError: there are no impressions.
    """
    names, ratings = list(impressions.features), impressions.ratings
    if not len(ratings):
        raise DatasetError("nobody picked anything: there is nothing to learn an order from")
    blocks = [slice(begin, begin + _BLOCK) for begin in range(0, len(ratings), _BLOCK)]
    picks = impressions.picked.sum()
    with np.errstate(divide="ignore"):
        log_drawn = np.log(impressions.stand_for)

    def terms(block: slice) -> Floats:
        features = [impressions.features[name][block] for name in names]
        found = np.concatenate([_terms(x, ratings[block]) for x in features], axis=-1)
        return found * (impressions.stand_for[block] > 0)[..., None]

    squares = np.sum([np.square(terms(block)).sum((0, 1)) for block in blocks], axis=0)
    scales = np.sqrt(squares / np.count_nonzero(impressions.stand_for))
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
    weights = (found.x / scales).reshape(len(names), -1).astype(np.float32)
    return dict(zip(names, weights, strict=True))


def utilities(weights: Weights, features: Mapping[str, Floats], ratings: Ints) -> Floats:
    """f32[B, C]: u.

    Args:
        weights: of the features that count.
        features: by name, f32[B, C] or, the same for all, f32[1, C]; others are not looked at.
        ratings: i64[B] how many each user has given.
    """
    return sum(
        (amounts(of, features[name], ratings) for name, of in weights.items()),
        start=np.zeros((len(ratings), 1), np.float32),
    )


def amounts(weights: Floats, feature: Floats, ratings: Ints) -> Floats:
    """f32[B, C]: what one feature adds to the utility.

    Args:
        weights: f32[3] of the feature.
        feature: f32[B, C] its values for C candidates of each user, or f32[1, C] the same for all.
        ratings: i64[B] how many each user has given.
    """
    a, b, c = weights
    added: Floats = (a + b * _known(ratings)) * feature + c * _dampened(feature)
    return added


def _terms(feature: Floats, ratings: Ints) -> Floats:
    """f32[B, C, 3]: what a, b and c are the weights of."""
    return np.stack([feature, _known(ratings) * feature, _dampened(feature)], axis=-1)


def _known(ratings: Ints) -> Floats:
    """f32[B, 1]"""
    known: Floats = np.log1p(ratings, dtype=np.float32)[:, None]
    return known


def _dampened(feature: Floats) -> Floats:
    dampened: Floats = np.sign(feature) * np.log1p(np.abs(feature))
    return dampened
