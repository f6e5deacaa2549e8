"""Impressions for the question "what else has somebody rated?": ratings held out at random.

The ranker learns from them where lists are asked for what was held out of somebody's ratings,
whenever that was. Where lists are asked for what comes next, impressions go by time, see
`training.impressions`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training.dataset import Ratings
from training.impressions import Said, added_up
from training.ranker import Impressions
from training.ranking import of_candidates
from training.recommender import NOTHING, top, without_rated
from training.split import KFold
from training.task import Task, task
from training.tower_inputs import Floats, Ints

_FOLDS: Final = 5  # of which one is held out

_BATCH: Final = 256  # lists at once: 60 MB a feature at 62,000 movies


def hold_out(ratings: Ratings, seed: int) -> Task:
    """A fifth of everybody's ratings, to find from the others.

    Raises:
        DatasetError: there are so few ratings that nothing is left to fit on, or to find.
    """
    return task(ratings, KFold(_FOLDS, seed).parts(ratings)[0])


@dataclass(frozen=True)
class Lists:
    """Impressions of movies that their users had not rated as far as was known.

    Picked is what was held out. Where it does not come among the first, it is not shown: added to
    the others, it would teach the ranker that what comes late is picked.

    Attributes:
        users: at most so many lists, one each.
        candidates: on a list, those that come first when the features are added up, each divided
            by its deviation.
        seed: of which users are drawn.
    """

    users: int
    candidates: int
    seed: int

    def impressions(self, held: Task, said: Said) -> Impressions:
        """Of a task as `hold_out` makes it; what `said` asks was fitted on `held.train` alone."""
        everybody = np.random.default_rng(self.seed).permutation(len(held.asked))
        which = np.sort(everybody[: self.users])
        features: list[dict[str, Floats]] = []
        stand_for: list[Floats] = []
        picked: list[Ints] = []
        for one in range(0, len(which), _BATCH):
            lists = which[one : one + _BATCH]
            histories = held.asked[lists]
            found = said(histories)
            shown = top(without_rated(added_up(found), histories), self.candidates)
            right = _right(held, lists)[np.arange(len(lists))[:, None], shown] & (shown != NOTHING)
            first = np.argsort(~right, axis=1, kind="stable")
            shown, right = np.take_along_axis(shown, first, axis=1), right.sum(axis=1)
            some = np.flatnonzero(right)
            features.append({name: of_candidates(x, shown)[some] for name, x in found.items()})
            stand_for.append((shown[some] != NOTHING).astype(np.float32))
            picked.append(right[some])
        return Impressions(
            {name: np.concatenate([one[name] for one in features]) for name in features[0]},
            np.concatenate(stand_for),
            np.concatenate(picked),
        )


def _right(held: Task, lists: Ints) -> npt.NDArray[np.bool_]:
    """bool[B, movies]: what is to be found for these lists of a task."""
    place = np.full(len(held.asked), -1)
    place[lists] = np.arange(len(lists))
    asked = place[held.held.lists]
    right = np.zeros((len(lists), len(held.train.movies)), np.bool_)
    right[asked[asked >= 0], held.held.rows[asked >= 0]] = True
    return right
