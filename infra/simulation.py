"""Experiments with people who have already done everything: what would the report have said?

Every rating of a data set's later part is an impression: each variant's list right before it is
known, and it is clicked if what the person rated next is in it. So a person may be given either
variant as often as one likes, by the product's own assignment, and every look at the product's own
statistics repeated: after each impression, as if somebody never took their eyes off the report.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from api.experiments.statistics import ALPHA, Comparison, Ratio, compare
from stream.contracts.experiments import ExperimentEvent, Variant
from stream.experiments.assignment import variant_of
from training.prequential import Questions, ask
from training.recommender import Recommender

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_NOW: Final = 1_000_000_000_000  # ms: any time at which the simulated experiments run


@dataclass(frozen=True)
class Past:
    """n impressions in the order of time.

    Attributes:
        users: i64[n] ids of who was shown a list.
        clicked: bool[2, n] whether it had what they rated next: control's, treatment's.
    """

    users: Ints
    clicked: Flags

    @property
    def uplift(self) -> float:
        """Of the treatment's click rate, were everybody given both."""
        control, treatment = self.clicked.mean(axis=1)
        return float(treatment / control - 1)

    def same(self) -> "Past":
        """Both variants are the control."""
        return replace(self, clicked=self.clicked[[0, 0]])

    def degraded(self, share: float, seed: int) -> "Past":
        """The treatment is the control, but loses this share of its clicks at random."""
        lost = np.random.default_rng(seed).random(len(self.users)) < share
        return replace(self, clicked=np.stack([self.clicked[0], self.clicked[0] & ~lost]))


class Seen(NamedTuple):
    """What came of m runs.

    Attributes:
        always: the share in which the always-valid test saw a difference at any look.
        peeking: the share in which the fixed test did, looked at as often.
        once: the share in which the fixed test did, looked at when all was over.
        covered: the share in which the confidence sequence held the true difference at every look.
        impressions: of those runs that `always` counts, the median number of impressions by then;
            NaN where there is none.
        uplift: the mean over runs of what is estimated in the end.
    """

    always: float
    peeking: float
    once: float
    covered: float
    impressions: float
    uplift: float


def replayed(
    questions: Questions,
    variants: Sequence[Recommender],
    k: int,
    on_progress: Callable[[int, int, int], None] = lambda *_: None,
) -> Past:
    """Ask both variants, fitted, for what came next, and see what is in their first k.

    `on_progress` is told which variant, how many questions are answered and of how many.
    """
    clicked = [
        ask(model, questions, "fresh", partial(on_progress, at)) <= k
        for at, model in enumerate(variants)
    ]
    return Past(questions.users.astype(np.int64), np.stack(clicked))


def repeat(
    past: Past,
    runs: int,
    effect: float,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Seen:
    """Assign everybody anew so many times, and look at each run after every impression.

    Args:
        effect: the relative uplift that the experiment is made to find.
        on_progress: told how many runs are done, of how many.
    """
    ids, numbers = np.unique(past.users, return_inverse=True)
    gains = np.stack([_gains(numbers, clicked) for clicked in past.clicked])
    rates = past.clicked.mean(axis=1)
    true = float(rates[1] - rates[0])
    found, peeked, once, covered, needed, uplifts = [], [], [], [], [], []
    for run in range(runs):
        treated = _treated(ids, run)[numbers]
        seen = _looks(gains, treated, effect)
        crossed = np.flatnonzero(seen.always_p <= ALPHA)
        found.append(len(crossed) > 0)
        needed += crossed[:1].tolist()
        peeked.append(bool((seen.p <= ALPHA).any()))
        once.append(bool(seen.p[-1] <= ALPHA))
        outside = (seen.always_low > true) | (seen.always_high < true)
        covered.append(not outside.any())
        uplifts.append(float(seen.uplift[-1]))
        on_progress(run + 1, runs)
    return Seen(
        float(np.mean(found)),
        float(np.mean(peeked)),
        float(np.mean(once)),
        float(np.mean(covered)),
        float(np.median(needed)) + 1 if needed else float("nan"),
        float(np.mean(uplifts)),
    )


def experiment(run: int) -> ExperimentEvent:
    """The experiment of a run: each has a salt of its own, and so other people in its variants."""
    return ExperimentEvent(
        event_id="simulated",
        name="simulated",
        group="simulated",
        salt=f"simulated-{run}",
        control="control",
        variants=(Variant(name="control"), Variant(name="treatment")),
        start=_NOW,
        event_time=_NOW,
        produced_time=_NOW,
    )


def _treated(ids: Ints, run: int) -> Flags:
    drawn = experiment(run)
    return np.array([variant_of(drawn, int(user)).name == "treatment" for user in ids])


def _gains(users: Ints, clicked: Flags) -> npt.NDArray[np.float64]:
    """f64[6, n]: what each impression adds to the sums of `Ratio`, of clicks to impressions."""
    order = np.argsort(users, kind="stable")
    starts = np.flatnonzero(np.diff(users[order], prepend=-1))
    lengths = np.diff(np.append(starts, len(users)))
    x = np.arange(len(users)) - np.repeat(starts, lengths)  # impressions before this one
    clicks = clicked[order].astype(np.float64)
    before = np.cumsum(clicks) - clicks
    y = before - np.repeat(before[starts], lengths)  # clicks before this one
    after = y + clicks
    gains = np.empty((6, len(users)))
    gains[:, order] = [
        x == 0,
        clicks,
        np.ones(len(users)),
        after**2 - y**2,
        after * (x + 1) - y * x,
        (x + 1) ** 2 - x**2,
    ]
    return gains


def _looks(gains: npt.NDArray[np.float64], treated: Flags, effect: float) -> Comparison:
    """The comparison after every impression."""
    control = np.cumsum(np.where(treated, 0, gains[0]), axis=1)
    treatment = np.cumsum(np.where(treated, gains[1], 0), axis=1)
    return compare(Ratio(*control), Ratio(*treatment), effect)
