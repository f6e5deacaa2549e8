"""Metrics of ranked lists and of predicted ratings.

`judge` marks in each list what was held out, and every metric of ranked lists reads that:
f64[n], a value for each list, because confidence intervals need more than a mean (see
`training.compare`). What holds for all of them at k:

- They look at the first k places. A place that is NOTHING, because a user has fewer movies left or
  k is larger than the catalogue, is a miss; a list with no movies at all scores 0.
- A list for which nothing is relevant is NaN: no model could have got it right. trec_eval counts
  such a query as 0; implicit leaves it out of its means, as `training.compare` leaves out NaN.
- Ranks start at 1, the best.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from stream.contracts.errors import ConfigurationError
from training.tower_inputs import Floats, Ints

Values: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """n lists of so many places beside what was held out for each.

    Attributes:
        gains: f32[n, places] of the movie at each place, best rank first; 0 where it is not
            relevant or there is none.
        ideal: f32[n, places] the best gains that the held-out movies allow, descending.
        relevant: i64[n] held-out movies with a gain above 0, whether in the list or not.
    """

    gains: Floats
    ideal: Floats
    relevant: Ints

    @cached_property
    def hits(self) -> npt.NDArray[np.bool_]:
        """bool[n, places]: whether the movie at each place is relevant."""
        return self.gains > 0

    @cached_property
    def defined(self) -> Values:
        """f64[n]: 1, or NaN where nothing is relevant."""
        return np.where(self.relevant > 0, 1, np.nan)


def judge(lists: Ints, held: Ints, rows: Ints, gains: npt.ArrayLike = 1.0) -> Judged:
    """Look up each list's movies among those held out for it.

    Takes memory for the lists and the held-out movies, none for users times movies.

    Args:
        lists: i64[n, places] rows, best first, NOTHING where there are no more; none twice.
        held: i64[e] the list for which each movie is held out, in any order.
        rows: i64[e] the movie. Of a movie held out twice for one list, the last one counts.
        gains: [e] what it is worth to find it, at least 0; a single number for all.
    """
    n, places = lists.shape
    width = 2 + max(rows.max(initial=-1), lists.max(initial=-1))  # a column for NOTHING too
    keys = held * width + rows + 1
    keys, last = np.unique(keys[::-1], return_index=True)  # the first from behind
    worth = np.broadcast_to(np.asarray(gains, np.float32), rows.shape)[::-1][last]
    keys, worth = keys[worth > 0], worth[worth > 0]
    owner = keys // width
    relevant = np.bincount(owner, minlength=n)

    listed = np.arange(n)[:, None] * width + lists + 1
    found = np.searchsorted(keys, listed)
    # One more key that nothing has, so that what is behind the last one is looked up too.
    there = np.append(keys, -1)[found] == listed
    best = np.lexsort((-worth, owner))
    place = np.arange(len(owner)) - np.repeat(np.cumsum(relevant) - relevant, relevant)
    ideal = np.zeros((n, places), np.float32)
    fits = place < places
    ideal[owner[fits], place[fits]] = worth[best][fits]
    return Judged(np.where(there, np.append(worth, 0)[found], 0), ideal, relevant)


def recall(judged: Judged, k: int) -> Values:
    """hits in k / relevant.

    Not divided by min(k, relevant): somebody with more than k relevant movies cannot reach 1.
    RecBole and trec_eval (`recall_k`) agree. Mult-VAE's code divides by min(k, relevant).
    """
    return _found(judged, k) / (judged.relevant * judged.defined)


def precision(judged: Judged, k: int) -> Values:
    """hits in k / k.

    trec_eval (`P_k`) and RecBole agree. implicit's `precision` divides the hits of all lists by the
    sum of their min(k, relevant), and so reaches 1 where this cannot.
    """
    return _found(judged, k) / k * judged.defined


def hit_rate(judged: Judged, k: int) -> Values:
    """1 if there is a hit in k, else 0. trec_eval calls it `success_k`."""
    return (_found(judged, k) > 0) * judged.defined


def ndcg(judged: Judged, k: int) -> Values:
    """DCG / ideal DCG, where DCG = sum over hits at rank r <= k of 1 / log2(r + 1).

    The ideal list has min(k, relevant) hits at its top, so that 1 can be reached. trec_eval's
    `ndcg_cut_k` of grades 0 and 1, RecBole and implicit agree.
    """
    return _dcg(judged.hits[:, :k]) / (_dcg(judged.ideal[:, :k] > 0) * judged.defined)


def graded_ndcg(judged: Judged, k: int) -> Values:
    """DCG / ideal DCG, where DCG = sum over ranks r <= k of gain / log2(r + 1).

    The ideal list has the held-out movies by descending gain. Linear in the gain, as Järvelin and
    Kekäläinen (Cumulated gain-based evaluation of IR techniques, 2002) and trec_eval's
    `ndcg_cut_k`; for the form of Burges et al. (2005) judge with gains 2 ** grade - 1.
    """
    return _dcg(judged.gains[:, :k]) / (_dcg(judged.ideal[:, :k]) * judged.defined)


def average_precision(judged: Judged, k: int) -> Values:
    """Sum over hits at rank r <= k of (hits in r) / r, divided by min(k, relevant).

    Its mean is MAP. A list with nothing but hits reaches 1. implicit and RecBole agree; trec_eval's
    `map_cut_k` divides by `relevant`, which makes it min(k, relevant) / relevant times this.
    """
    hits = judged.hits[:, :k]
    precisions = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    total = np.einsum("ij,ij->i", precisions, hits.astype(np.float64))
    return np.asarray(total / (np.minimum(k, judged.relevant) * judged.defined))


def reciprocal_rank(judged: Judged, k: int) -> Values:
    """1 / rank of the first hit in k, 0 without one. Its mean is MRR.

    trec_eval's `recip_rank` has no k; it is this one of the whole list.
    """
    hits = judged.hits[:, :k]
    return np.asarray(hits.any(axis=1) / (hits.argmax(axis=1) + 1) * judged.defined)


RANKING: Final[Mapping[str, Callable[[Judged, int], Values]]] = {
    "recall": recall,
    "precision": precision,
    "hit_rate": hit_rate,
    "ndcg": ndcg,
    "graded_ndcg": graded_ndcg,
    "map": average_precision,
    "mrr": reciprocal_rank,
}


def ranking(judged: Judged, ks: Sequence[int]) -> dict[str, Values]:
    """All of `RANKING` at every k: f64[n] by name, such as ``ndcg@10``."""
    return {f"{name}@{k}": metric(judged, f"{name}@{k}") for name in RANKING for k in ks}


def metric(judged: Judged, name: str) -> Values:
    """f64[n]: one metric by its name, such as ``ndcg@10``.

    Raises:
        ConfigurationError: there is no such metric, or the lists have fewer than k places.
    """
    kind, k = parse(name)
    places = judged.gains.shape[1]
    if k > places:
        raise ConfigurationError(f"{name}: the lists have {places} places; make them {k} long")
    return RANKING[kind](judged, k)


def parse(name: str) -> tuple[str, int]:
    """A name of `RANKING` and k, from a name such as ``ndcg@10``.

    Raises:
        ConfigurationError: there is no such metric.
    """
    kind, _, k = name.partition("@")
    if kind not in RANKING or not k.isascii() or not k.isdigit() or int(k) < 1:
        raise ConfigurationError(
            f"no metric {name!r}: give one of {', '.join(RANKING)}, and where to cut the list, "
            "such as ndcg@10"
        )
    return kind, int(k)


def ranking_of_one(ranks: Ints | Values, ks: Sequence[int]) -> dict[str, Values]:
    """`ranking` where exactly one movie is relevant for each list, by the rank that it has there.

    All follow from the rank r, and are 0 where r > k: recall and hit rate are 1, precision 1 / k,
    NDCG (graded or not) 1 / log2(r + 1), MAP and MRR 1 / r.

    Args:
        ranks: i64[n] or f64[n], from 1, as `training.recommender.ranks` gives them.
        ks: where to cut.
    """
    once = np.ones(len(ranks))
    of_rank = {
        "recall": once,
        "precision": once,
        "hit_rate": once,
        "ndcg": 1 / np.log2(ranks + 1),
        "graded_ndcg": 1 / np.log2(ranks + 1),
        "map": 1 / ranks,
        "mrr": 1 / ranks,
    }
    return {
        f"{name}@{k}": np.where(ranks <= k, of_rank[name] / (k if name == "precision" else 1), 0)
        for name in RANKING
        for k in ks
    }


def rmse(predicted: npt.ArrayLike, actual: npt.ArrayLike) -> float:
    """Root of the mean of (predicted - actual)², in the unit of both. NaN for no ratings.

    For its confidence interval take the roots of the ends of the mean square's.
    """
    errors = np.subtract(predicted, actual, dtype=np.float64)
    return float(np.sqrt(np.mean(errors**2))) if errors.size else np.nan


def mae(predicted: npt.ArrayLike, actual: npt.ArrayLike) -> float:
    """Mean of |predicted - actual|, in the unit of both. NaN for no ratings."""
    errors = np.subtract(predicted, actual, dtype=np.float64)
    return float(np.mean(np.abs(errors))) if errors.size else np.nan


def _found(judged: Judged, k: int) -> Ints:
    found: Ints = judged.hits[:, :k].sum(axis=1)
    return found


def _dcg(gains: Floats | npt.NDArray[np.bool_]) -> Values:
    return gains @ (1 / np.log2(np.arange(gains.shape[1]) + 2))
