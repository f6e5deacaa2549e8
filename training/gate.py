"""The gate: may a challenger take the champion's place? Their marks and a policy decide, alone.

`training.challenge` does the measuring. Here is no clock, no file and no chance but
that of a bootstrap with a fixed seed, so that a decision can be made again from what it rests on.

A challenger is promoted if all of this holds:

1. Nothing of the challenger is NaN. What a champion gives NaN for it has not found: one that is
   broken loses, and does not keep its successors out.
2. There are enough lists, of enough people.
3. It is better, by at least the minimum gain, with the policy's confidence.
4. No guard rail is torn: coverage, popularity bias, latency, cold-start quality, the predictor of
   ratings.

The first model has no champion. Without a model people are shown what is popular, so popularity is
its rival, and 1 to 4 hold as they are, but for latency and ratings: a list that is the same for all
costs nothing to make, and predicts none.

What the confidence means. It is that of one gate: of challengers that are exactly as good as the
minimum gain asks for, one in twenty passes at 0.95, and fewer of worse ones. Guard rails have no
part in it, as they can only refuse. It is not the confidence of a sequence: whoever sends twenty
such challengers against one champion sees one pass, on average; where the same events judge them
all, it is the one that suits these events. Three things keep that harmless. At a minimum gain of 0
luck lets pass what is as good, hardly what is worse: what is worse by the distance from an estimate
to its low end passes once in two thousand. Luck is not inherited: the lucky one is the champion of
the next exam, which is on later events. And an exam should ask about events that judged no
challenger before, as `training.snapshot` sees to. Where promotions themselves are dear, raise the
confidence: 1 - (1 - c) / n for n gates against one champion (Bonferroni) keeps c for all of them
together.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from training import compare
from training.compare import Interval
from training.gate_policy import FEW, SLOW, GatePolicy
from training.marks import Challenge, Marks
from training.metrics import Values, parse, ranking_of_one
from training.rating_served import COVERAGE, RATING, WAYS
from training.tower_inputs import Ints


@dataclass(frozen=True)
class Decision:
    """What the gate decided about a challenger.

    Attributes:
        champion: the version that it was held against; None for the first.
        challenger: its version.
        promoted: whether it may be served.
        reasons: sentences.
        figures: what they rest on, such as ``champion_ndcg@10``; all of them finite.
    """

    champion: str | None
    challenger: str
    promoted: bool
    reasons: tuple[str, ...]
    figures: dict[str, float]


class _Ruling(NamedTuple):
    """What one rule has to say: its figures, an objection if it has one, or else a remark."""

    figures: dict[str, float]
    objection: str = ""
    remark: str = ""


def decide(challenge: Challenge, policy: GatePolicy) -> Decision:
    """Whether the challenger may be served; see the module."""
    rulings = [_whole(challenge), _enough(challenge, policy)]
    if not any(ruling.objection for ruling in rulings):
        rulings += [rule(challenge, policy) for rule in _RULES]
    objections = tuple(ruling.objection for ruling in rulings if ruling.objection)
    remarks = tuple(ruling.remark for ruling in rulings if ruling.remark)
    figures = {name: value for ruling in rulings for name, value in ruling.figures.items()}
    return Decision(
        champion=challenge.rival.version,
        challenger=challenge.challenger.name,
        promoted=not objections,
        reasons=objections or remarks,
        figures={name: float(x) for name, x in figures.items() if math.isfinite(x)},
    )


def too_few(users: Ints, policy: GatePolicy) -> str:
    """Why nothing can be judged by lists of these people, i64[n]; '' where something can."""
    lists, people = len(users), len(np.unique(users))
    if lists >= policy.min_lists and people >= policy.min_users:
        return ""
    return (
        f"{lists:,} lists of {people:,} people are too few to judge by: at least "
        f"{policy.min_lists:,} of {policy.min_users:,} are needed; wait for more ratings"
    )


def _whole(challenge: Challenge) -> _Ruling:
    """Nothing of the challenger is NaN."""
    broken, rival = _nan(challenge.challenger), _nan(challenge.rival)
    return _Ruling(
        {},
        objection=f"{broken}: nothing can be said of such a model" if broken else "",
        remark=f"{rival}: that counts as nothing found" if rival else "",
    )


def _nan(marks: Marks) -> str:
    """In what a model gave NaN, and how often; '' where in nothing."""
    return "; ".join(
        f"{marks.name} gave NaN {np.count_nonzero(np.isnan(values))} times in {what}"
        for what, values in marks.figures.items()
        if np.isnan(values).any()
    )


def _enough(challenge: Challenge, policy: GatePolicy) -> _Ruling:
    """There are enough lists, of enough people."""
    lists, users = len(challenge.users), len(np.unique(challenge.users))
    return _Ruling({"lists": lists, "users": users}, too_few(challenge.users, policy))


def _gain(challenge: Challenge, policy: GatePolicy) -> _Ruling:
    """It is better, by at least the minimum gain, with the policy's confidence.

    The lead is the mean of (challenger - (1 + minimum gain) * rival), which needs no division: a
    champion that is never right can be replaced too.
    """
    rival, challenger = _values(challenge, policy)
    lead = _lead(challenger, rival * (1 + policy.min_gain), challenge.users, policy)
    base, mean = float(rival.mean()), float(challenger.mean())
    figures = {
        f"{challenge.role}_{policy.metric}": base,
        f"challenger_{policy.metric}": mean,
        "gain": mean / base - 1 if base else math.nan,
        "lead": lead.value,
        "lead_low": lead.low,
        "confidence": policy.confidence,
    }
    more = f" and {policy.min_gain:.1%} of it" if policy.min_gain else ""
    said = (
        f"{policy.metric} is {mean:.4f} beside {base:.4f} of {challenge.rival.name}: it leads that"
        f"{more} by {lead.value:+.4f}, by {lead.low:+.4f} at least with confidence "
        f"{policy.confidence:g}"
    )
    if lead.low > 0:
        return _Ruling(figures, remark=said)
    if lead.value > 0:
        needed = len(challenge.users) * ((lead.value - lead.low) / lead.value) ** 2
        said += f"; such a lead would show on some {needed:,.0f} lists"
    return _Ruling(figures, said)


def _coverage(challenge: Challenge, policy: GatePolicy) -> _Ruling:
    rival, challenger = challenge.rival.coverage, challenge.challenger.coverage
    least = rival * (1 - policy.max_coverage_loss)
    objection = ""
    if challenger < least:
        objection = (
            f"its lists cover {challenger:.2%} of the catalogue beside {rival:.2%}: at least "
            f"{least:.2%} is asked for"
        )
    return _Ruling(
        {f"{challenge.role}_coverage": rival, "challenger_coverage": challenger}, objection
    )


def _popularity_bias(challenge: Challenge, policy: GatePolicy) -> _Ruling:
    rival, challenger = challenge.rival.gini, challenge.challenger.gini
    most = rival + policy.max_gini_rise
    objection = ""
    if challenger > most:
        objection = (
            f"its lists crowd on fewer movies: a Gini coefficient of {challenger:.4f} beside "
            f"{rival:.4f}, where at most {most:.4f} is allowed"
        )
    return _Ruling({f"{challenge.role}_gini": rival, "challenger_gini": challenger}, objection)


def _latency(challenge: Challenge, policy: GatePolicy) -> _Ruling:
    rival, challenger = (
        float(np.percentile(marks.seconds, SLOW)) * 1_000
        for marks in (challenge.rival, challenge.challenger)
    )
    objection = ""
    if challenge.rival.version is not None and challenger > rival * policy.max_slowdown:
        objection = (
            f"its lists take {challenger:.2f} ms beside {rival:.2f} ms (p{SLOW}, made in turns): "
            f"at most {policy.max_slowdown:g} times as long is allowed"
        )
    figures = {f"{challenge.role}_p{SLOW}_ms": rival, f"challenger_p{SLOW}_ms": challenger}
    return _Ruling(figures, objection)


def _cold_start(challenge: Challenge, policy: GatePolicy) -> _Ruling:
    """Among people with few ratings no loss that is both large and shown."""
    few = challenge.ages < FEW
    lists, whose = int(few.sum()), f"people with fewer than {FEW} ratings"
    if lists < policy.min_cold_lists:
        remark = f"{lists:,} lists of {whose} judge nobody: {policy.min_cold_lists:,} are needed"
        return _Ruling({"cold_lists": lists}, remark=remark)
    rival, challenger = (values[few] for values in _values(challenge, policy))
    lead = _lead(challenger, rival, challenge.users[few], policy)
    base, mean = float(rival.mean()), float(challenger.mean())
    figures = {
        "cold_lists": lists,
        f"{challenge.role}_cold_{policy.metric}": base,
        f"challenger_cold_{policy.metric}": mean,
    }
    objection = ""
    if mean < base * (1 - policy.max_cold_loss) and not lead.high >= 0:
        objection = (
            f"for {whose} {policy.metric} is {mean:.4f} beside {base:.4f} on {lists:,} lists: a "
            f"loss of {policy.max_cold_loss:.0%} at most is allowed"
        )
    return _Ruling(figures, objection)


def _predictor(challenge: Challenge, policy: GatePolicy) -> _Ruling:
    """It predicts ratings as well as the champion's did, however it is asked."""
    rival, challenger = challenge.rival.predictor, challenge.challenger.predictor
    figures: dict[str, float] = {}
    objections, few = [], []
    for way in WAYS:
        rmse, coverage, asked = (f"{RATING}{way}_{of}" for of in ("rmse", "coverage", "asked"))
        if asked not in rival or asked not in challenger:  # there is none, or nobody measured it
            continue
        if (ratings := min(rival[asked], challenger[asked])) < policy.min_predicted:
            few.append(f"{ratings:,.0f} asked {way}")
            continue
        figures |= {f"champion_{of}": rival[of] for of in (rmse, coverage)}
        figures |= {f"challenger_{of}": challenger[of] for of in (rmse, coverage)}
        if challenger[rmse] > rival[rmse] * (1 + policy.max_rmse_rise):
            objections.append(
                f"asked {way} what people rate, it is {challenger[rmse]:.3f} stars off beside "
                f"{rival[rmse]:.3f} (RMSE): {policy.max_rmse_rise:.0%} more at most is allowed"
            )
        missed, most = (
            abs(of[coverage] - COVERAGE) + slack
            for of, slack in ((challenger, 0), (rival, policy.max_miscoverage))
        )
        if missed > most:
            objections.append(
                f"asked {way}, its intervals hold {challenger[coverage]:.1%} of the ratings beside "
                f"{rival[coverage]:.1%}: {COVERAGE:.0%} is promised, and {most:.3f} from that at "
                "most is allowed"
            )
    remark = f"predicted ratings judge nobody: {', '.join(few)}" if few else ""
    return _Ruling(figures, "; ".join(objections), remark)


_RULES: Final = (_gain, _coverage, _popularity_bias, _latency, _cold_start, _predictor)


def _values(challenge: Challenge, policy: GatePolicy) -> tuple[Values, Values]:
    """f64[n] of the metric, of the rival and of the challenger; 0 where there was NaN."""
    cut = [parse(policy.metric)[1]]
    rival, challenger = (
        ranking_of_one(np.nan_to_num(marks.ranks, nan=np.inf), cut)[policy.metric]
        for marks in (challenge.rival, challenge.challenger)
    )
    return rival, challenger


def _lead(model: Values, other: Values, users: Ints, policy: GatePolicy) -> Interval:
    """Mean of the difference. Beyond each end lies what the policy's confidence leaves."""
    return compare.mean(model - other, users, confidence=2 * policy.confidence - 1).interval
