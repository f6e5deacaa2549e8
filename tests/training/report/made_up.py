"""Results that nobody measured: figures that can be followed by hand."""

from collections.abc import Mapping

import numpy as np

from training import compare
from training.offline import Protocol
from training.runs import Question, Result
from training.tower_inputs import Ints
from training.trade_off import ACCURACY, FIGURES, MODEL, TRADE_OFFS

USERS = np.arange(1, 41)
COSTS = {"fit_seconds": 1.5, "peak_bytes": 150 * 2**20, "model_bytes": 2**20}
OFFLINE = Protocol(ks=(5, 10, 300))
METRICS = ("ndcg", "recall", "precision", "hit_rate", "map", "mrr")
BESIDE = ("novelty", "intra_list_diversity", "serendipity")
STATES = ("fresh", "daily", "frozen")


def offline(model: str, level: float, dataset: str = "made-up", **figures: float) -> Result:
    """A model whose every metric is `level` on average, and varies between users."""
    noise = np.tile([-0.01, 0.01], len(USERS) // 2)
    lists = {f"{name}@{k}": level + noise for name in (*METRICS, *BESIDE) for k in OFFLINE.ks}
    lists["held_out"] = np.full(len(USERS), 5.0)
    means = {name: compare.mean(values, USERS).interval for name, values in lists.items()}
    found = {name: mean.value for name, mean in means.items()}
    found |= {f"{name}@{k}": level / 2 for name in ("coverage", "gini") for k in OFFLINE.ks}
    return Result(
        Question("offline", dataset, "0", model, {"ks": list(OFFLINE.ks)}),
        {**found, **COSTS, **figures},
        {
            "intervals": {name: [mean.low, mean.high] for name, mean in means.items()},
            "choices": [{"hyperparameters": {"strength": level}, "trials": []}],
        },
        USERS,
        lists,
    )


def trade_off(asked: str) -> Result:
    """Accuracy falls by as much as the trade-off, relatively, and all else grows by that."""
    noise = np.tile([-0.01, 0.01], len(USERS) // 2)
    lists, figures = {}, {"lists": float(len(USERS))}
    for step in TRADE_OFFS:
        for name in FIGURES:
            level = 0.5 * (1 - step if name in ACCURACY else 1 + step)
            figures[f"{step}/{name}"] = level
            if not name.startswith("coverage"):
                lists[f"{step}/{name}"] = level + noise
    settings = {
        "asked": asked,
        "trade_offs": list(TRADE_OFFS),
        "hyperparameters": {"diversity": 0.2},
    }
    return Result(Question("diversity", "made-up", "0", MODEL, settings), figures, {}, USERS, lists)


def prequential(model: str, ranks: Mapping[str, int], dataset: str = "made-up") -> Result:
    """A model that finds every movie at the same place, in each state its own; one user in five
    it finds nothing for.

    Each of 40 users is asked about seven times, once at each age and on each of the first days.
    """
    users = np.repeat(USERS, 7)
    places: dict[str, Ints] = {
        state: np.where(users % 5 == 0, 99, ranks[state]) for state in STATES
    }
    lists = {f"{state}/rank": rank.astype(np.float64) for state, rank in places.items()}
    lists["age"] = np.tile([0.0, 1, 3, 5, 10, 20, 50], len(USERS))
    lists["day"] = np.tile([0.0, 0, 1, 1, 2, 3, 7], len(USERS))
    figures, intervals = {}, {}
    for state, rank in places.items():
        hits = (rank <= 10).astype(float)
        for name, values in {"hit_rate@10": hits, "ndcg@10": hits / np.log2(rank + 1)}.items():
            mean = compare.mean(values, users).interval
            figures[f"{state}/{name}"] = mean.value
            intervals[f"{state}/{name}"] = [mean.low, mean.high]
    figures |= {"lists": float(len(users)), "users": float(len(USERS)), **COSTS}
    details = {"intervals": intervals, "choice": {"hyperparameters": {}, "trials": []}}
    return Result(Question("prequential", dataset, "0", model, {}), figures, details, users, lists)
