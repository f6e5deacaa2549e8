"""Metrics of ranked lists.

Their arguments:
    hits: bool[n, k], whether the movie at each rank of n lists is relevant, best rank first.
    relevant: i64[n], how many relevant movies there are for each list, in it or not; at least 1.

With one relevant movie a list, as in next-event prediction, recall and hit rate are the same.
"""

import numpy as np
import numpy.typing as npt

from training.tower_inputs import Ints


def recall(hits: npt.NDArray[np.bool_], relevant: Ints) -> float:
    """Mean of (relevant movies in the list) / (relevant movies).

    Not divided by min(k, relevant): somebody with more than k relevant movies cannot reach 1.
    0 for no lists.
    """
    return _mean(hits.sum(axis=1) / relevant)


def ndcg(hits: npt.NDArray[np.bool_], relevant: Ints) -> float:
    """Mean of DCG / ideal DCG, where DCG = sum over hits at rank r = 1.. of 1 / log2(r + 1).

    The ideal list has min(k, relevant) hits at its top, so that 1 can be reached. 0 for no lists.
    """
    discounts = 1 / np.log2(np.arange(hits.shape[1]) + 2)
    ideal = np.cumsum(discounts)[np.minimum(relevant, hits.shape[1]) - 1]
    return _mean(hits @ discounts / ideal)


def hit_rate(hits: npt.NDArray[np.bool_]) -> float:
    """Share of lists with a relevant movie in them. 0 for no lists."""
    return _mean(hits.any(axis=1).astype(float))


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
