"""Exploration: a bounded chance in the lists for movies that the model has no rating of.

What orders the movies knows nothing of such a movie but its content: no links lead to it, nothing
makes it hot, and its vector is nobody's nearest. Shown to nobody, it would stay so. So it gets a
bonus in utility that shrinks as it is rated,

    BONUS / sqrt(1 + n / PRIOR)

after n ratings: optimism in the face of uncertainty (Auer, Cesa-Bianchi and Fischer: Finite-time
analysis of the multiarmed bandit problem, 2002), the uncertainty being the standard deviation of a
normal mean after n observations and a prior worth PRIOR of them.

What that costs is bounded twice. It counts for the last of every ten places alone: a list has at
most one movie in ten that is there by its bonus, and each is the best for that person among those
that have one. And a utility is a log-odds (`training.ranker`): what comes to a place by its bonus
is at least exp(-BONUS) times as likely to be picked as what it moves down by one, to the ranker's
knowledge.

Torch-free, because serving explores too.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from training.mmr import NOWHERE
from training.tower_inputs import Floats, Ints

# Log-odds. What ratings have taught adds about as much to the utility of what people pick: where a
# tenth of the movies was kept from the training, the median of those picked was 5.8 below that of
# the others on MovieLens 100K, and 5.2 on latest-small; towers 4.1 and 3.2 of it, the rest links
# and heats. Where a movie is new, the tenth place of four lists in ten is for one.
BONUS: Final = 5.0

# Ratings. By as many, vectors and links begin to say more of a movie than its content does.
PRIOR: Final = 10

EVERY: Final = 10  # places of a list, the last of which is for exploring

# Movies that are tried for each person: one for each such place of the longest list, 100.
TRIED: Final = 10

# Decimals of what is compared: the lab and the API, which add up in another order, choose the same.
_PLACES: Final = 4


class Explored(NamedTuple):
    """B lists of k places.

    Attributes:
        order: i64[B, k] which candidate each place has; NOWHERE at the end of a list.
        tried: bool[B, k] which of them are there by their bonus.
    """

    order: Ints
    tried: npt.NDArray[np.bool_]


def bonuses(ratings: npt.ArrayLike) -> Floats:
    """f32 as `ratings`: what is added to the utility of movies that were rated so often."""
    found: Floats = (BONUS / np.sqrt(1 + np.asarray(ratings) / PRIOR)).astype(np.float32)
    return found


def most_promising(worth: Floats) -> Ints:
    """i64[B, min(TRIED, m)]: which of m movies are tried for each list, the best first.

    Args:
        worth: f32[B, m] utility and bonus of each; of equal ones the first is tried.
    """
    rounded = worth.round(_PLACES)
    count = min(TRIED, rounded.shape[1])
    chosen = np.empty((len(rounded), count), np.int64)
    if count:  # a whole sort would take longer than everything else where many movies are new
        least = np.partition(rounded, -count, axis=1)[:, -count]
        for one, (own, low) in enumerate(zip(rounded, least, strict=True)):
            among = np.flatnonzero(own >= low)
            chosen[one] = among[np.argsort(-own[among], kind="stable")[:count]]
    return chosen


def explore(order: Ints, utilities: Floats, rows: Ints, bonus: Floats) -> Explored:
    """Put movies that are tried into lists, one at most in the last of every ten places.

    The place is for the one of highest utility and bonus among those that are not in the list above
    it. It takes the place if that is more than the utility of what is there, which moves down with
    all that follows. What comes at a place does not depend on how long the list is.

    Args:
        order: i64[B, k] which of the C candidates each list has, in order; NOWHERE at its end.
        utilities: f32[B, C] of the candidates, in log-odds; -inf is in no list.
        rows: i64[B, C] which movie each is; a movie has the same utility wherever it is in a list.
        bonus: f32[B, C] of the candidates; 0 is no movie that is tried.
    """
    order, there = order.copy(), np.zeros(order.shape, np.bool_)
    for one in np.flatnonzero((bonus > 0).any(axis=1)):
        columns = np.flatnonzero(bonus[one] > 0)
        worth = utilities[one, columns] + bonus[one, columns]
        best_first = columns[np.argsort(-worth.round(_PLACES), kind="stable")]
        _explore(order[one], there[one], best_first.tolist(), rows[one], utilities[one], bonus[one])
    return Explored(order, there)


def _explore(
    order: Ints,
    there: npt.NDArray[np.bool_],
    tried: Sequence[int],
    rows: Ints,
    utilities: Floats,
    bonus: Floats,
) -> None:
    """One list, in place. `tried` are the candidates that are, the best first."""
    for place in range(EVERY - 1, len(order), EVERY):
        above, rest = order[:place], order[place:]
        if above[-1] == NOWHERE:
            return
        listed = set(rows[above].tolist())
        best = next((one for one in tried if rows[one] not in listed), None)
        if best is None:
            return
        least = -np.inf if rest[0] == NOWHERE else utilities[rest[0]]
        if utilities[best] + bonus[best] > least:
            earned = rest[0] != NOWHERE and rows[rest[0]] == rows[best]
            others = [one for one in rest.tolist() if one == NOWHERE or rows[one] != rows[best]]
            order[place:] = [best, *others][: len(rest)]
            there[place] = not earned
