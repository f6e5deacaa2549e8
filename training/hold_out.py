"""Impressions for the question "what else has somebody rated?": ratings held out at random.

The ranker learns from them where lists are asked for what was held out of somebody's ratings,
whenever that was. Where lists are asked for what comes next, impressions go by time, see
`training.two_stage`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from training.dataset import Ratings
from training.histories import Histories
from training.ranker import Impressions
from training.ranking import of_candidates
from training.recommender import NOTHING, batches, top, without_rated
from training.split import KFold
from training.task import Task, task
from training.tower_inputs import Floats, Ints

_FOLDS: Final = 5  # of which one is held out

# Features of people: by name f32[B, movies], or f32[1, movies] of what is the same for everybody.
Said: TypeAlias = Callable[[Histories], Mapping[str, Floats]]


def hold_out(ratings: Ratings, seed: int) -> Task:
    """A fifth of everybody's ratings, to find from the others.

    Raises:
        DatasetError: there are so few ratings that nothing is left to fit on, or to find.
    """
    return task(ratings, KFold(_FOLDS, seed).parts(ratings)[0])


@dataclass(frozen=True)
class Lists:
    """Impressions of lists on which are what was held out of a user's ratings, and other movies.

    Attributes:
        users: at most so many lists, one each.
        candidates: on a list. At most half of them are held-out ratings, drawn from what there is;
            the others are movies that the user has not rated at all, those that come first when
            the features are added up, each divided by its deviation.
        seed: of what is drawn.
    """

    users: int
    candidates: int
    seed: int

    def impressions(self, held: Task, said: Said) -> Impressions:
        """Of a task as `hold_out` makes it; what `said` asks was fitted on `held.train` alone."""
        chance = np.random.default_rng(self.seed)
        which = np.sort(chance.permutation(len(held.asked))[: self.users])
        of_list = np.searchsorted(held.held.lists, np.arange(len(held.asked) + 1))
        features: list[dict[str, Floats]] = []
        shown: list[Ints] = []
        picked = []
        begin = 0
        for some in batches(held.asked[which]):
            found = said(some)
            order = without_rated(_order(found), some)
            for one, number in enumerate(which[begin : begin + len(some)]):
                own = held.held.rows[of_list[number] : of_list[number + 1]]
                order[one, own] = -np.inf
                own = chance.permutation(own)[: self.candidates // 2]
                order[one, own] = np.inf
                picked.append(len(own))
            movies = top(order, self.candidates)
            features.append({name: of_candidates(x, movies) for name, x in found.items()})
            shown.append(movies)
            begin += len(some)
        return Impressions(
            {name: np.concatenate([one[name] for one in features]) for name in features[0]},
            held.asked[which].lengths,
            (np.concatenate(shown) != NOTHING).astype(np.float32),
            np.array(picked),
        )


def _order(features: Mapping[str, Floats]) -> Floats:
    """f32[B, movies]"""
    added = []
    for values in features.values():
        deviations = values.std(axis=1, keepdims=True)
        added.append(values / np.where(deviations > 0, deviations, 1))
    order: Floats = np.sum(np.broadcast_arrays(*added), axis=0)
    return order
