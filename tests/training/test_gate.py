import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.contracts.errors import ConfigurationError
from stream.contracts.events import RefreshEvent, encode
from training.flat import parse
from training.gate import Decision, decide
from training.gate_policy import FEW, GatePolicy
from training.marks import Challenge, Marks
from training.metrics import Values
from training.tower_inputs import Ints

NOWHERE = 2**31 - 1
PEOPLE, EACH = 40, 10  # lists each
POLICY = GatePolicy(metric="hit_rate@10", min_lists=400, min_users=40, min_cold_lists=100)


def marks(version: str | None, ranks: Any, **other: Any) -> Marks:
    ranks = np.array(ranks, np.float64)
    shown: dict[str, Any] = {"coverage": 0.5, "gini": 0.9, "seconds": np.full(len(ranks), 0.002)}
    return Marks(version, ranks, **(shown | other))


def challenge(rival: Marks, challenger: Marks) -> Challenge:
    """Everybody is asked about ten times, from the first rating on."""
    users = np.repeat(np.arange(1, PEOPLE + 1), EACH)
    return Challenge(users, np.tile(np.arange(EACH), PEOPLE), rival, challenger)


def hits(share: int) -> Values:
    """Of each person's ten lists the last `share` have the movie at place 1, the others nowhere."""
    ranks = np.where(np.arange(EACH) >= EACH - share, 1, NOWHERE)
    return np.tile(ranks, PEOPLE).astype(np.float64)


def some_better(people: int, worse: int = 0) -> Challenge:
    """5 of 10 lists are right; for some people the challenger is right once more, for some less."""
    own = hits(5).reshape(PEOPLE, EACH)
    own[:people, 0] = 1
    own[people : people + worse, -1] = NOWHERE
    return challenge(marks("v1", hits(5)), marks("v2", own.ravel()))


BETTER = some_better(20)


def test_what_is_better_is_promoted() -> None:
    """Half of all people have 6 hits in place of 5: 0.55 beside 0.5, a gain of a tenth.

    The lead of a person is 0.1 or 0, of 40 drawn with replacement it is 0.05 +- 0.1 * sqrt(0.25 /
    40) = 0.0079, so that its low end at 0.95 is near 0.05 - 1.645 * 0.0079 = 0.037.
    """
    decided = decide(BETTER, POLICY)
    assert decided.promoted
    assert (decided.champion, decided.challenger) == ("v1", "v2")
    low = decided.figures.pop("lead_low")
    assert low == pytest.approx(0.037, abs=0.003)
    assert decided.figures == pytest.approx(
        {
            "lists": 400,
            "users": 40,
            "champion_hit_rate@10": 0.5,
            "challenger_hit_rate@10": 0.55,
            "gain": 0.1,
            "lead": 0.05,
            "confidence": 0.95,
            "champion_coverage": 0.5,
            "challenger_coverage": 0.5,
            "champion_gini": 0.9,
            "challenger_gini": 0.9,
            "champion_p95_ms": 2.0,
            "challenger_p95_ms": 2.0,
            "cold_lists": 200,
            "champion_cold_hit_rate@10": 0.0,
            "challenger_cold_hit_rate@10": 0.1,
        }
    )
    assert decided.reasons == (
        "hit_rate@10 is 0.5500 beside 0.5000 of v1: it leads that by +0.0500, by "
        f"{low:+.4f} at least with confidence 0.95",
    )


def test_what_is_as_good_is_refused() -> None:
    decided = decide(some_better(0), POLICY)
    assert not decided.promoted
    assert decided.reasons == (
        "hit_rate@10 is 0.5000 beside 0.5000 of v1: it leads that by +0.0000, by +0.0000 at least "
        "with confidence 0.95",
    )


def test_what_may_be_luck_is_refused_and_says_how_many_lists_would_show_it() -> None:
    """Seven people are better off by 0.1, five worse: 0.005 +- 0.1 * sqrt(12 / 40 / 40) = 0.0087.

    Its low end is 1.645 * 0.0087 = 0.0142 lower, where leads move in steps of 0.0025. A lead as
    large would be above its own on (0.0125 / 0.005)² times as many lists, or (0.015 / 0.005)².
    """
    [reason] = decide(some_better(7, worse=5), POLICY).reasons
    said = reason.rpartition("; such a lead would show on some ")[2]
    assert said in ("2,500 lists", "3,600 lists")
    assert decide(some_better(7, worse=0), POLICY).promoted


def test_a_minimum_gain_is_of_the_champion() -> None:
    """0.55 beside 0.5: the low end of the lead is 7.4% of the champion's mean."""
    assert decide(BETTER, replace(POLICY, min_gain=0.05)).promoted
    refused = decide(BETTER, replace(POLICY, min_gain=0.08))
    assert not refused.promoted
    assert "leads that and 8.0% of it by +0.0100, by -0.0" in refused.reasons[0]
    assert refused.figures["gain"] == pytest.approx(0.1)
    assert not decide(BETTER, replace(POLICY, min_gain=0.2)).promoted
    worse = some_better(0, worse=4)  # 0.49: 2% less
    assert not decide(worse, POLICY).promoted
    assert decide(worse, replace(POLICY, min_gain=-0.05)).promoted


def test_more_confidence_asks_for_more() -> None:
    unsure = some_better(8, worse=2)  # a low end of about 0.001 at 0.95
    assert decide(unsure, POLICY).promoted
    assert not decide(unsure, replace(POLICY, confidence=0.99)).promoted


def test_a_champion_that_is_never_right_can_be_replaced() -> None:
    decided = decide(challenge(marks("v1", hits(0)), marks("v2", hits(1))), POLICY)
    assert decided.promoted
    assert "gain" not in decided.figures


NAN = math.nan
SOME_NAN = np.where(np.arange(PEOPLE * EACH) == 7, NAN, 1.0)
BROKEN = [
    ({"ranks": SOME_NAN}, "1 times in its scores"),
    ({"ranks": np.full(PEOPLE * EACH, NAN)}, "400 times in its scores"),
    ({"coverage": NAN}, "1 times in coverage"),
    ({"gini": NAN}, "1 times in Gini coefficient"),
    ({"seconds": SOME_NAN}, "1 times in latency"),
]


@pytest.mark.parametrize(("wrong", "said"), BROKEN)
def test_nan_refuses_wherever_it_is(wrong: dict[str, Any], said: str) -> None:
    broken = replace(BETTER.challenger, **wrong)
    decided = decide(replace(BETTER, challenger=broken), POLICY)
    assert not decided.promoted
    [reason] = decided.reasons
    assert reason == f"{broken.name} gave NaN {said}: nothing can be said of such a model"


@pytest.mark.parametrize(("wrong", "said"), BROKEN)
def test_a_champion_that_gives_nan_keeps_no_successor_out(wrong: dict[str, Any], said: str) -> None:
    broken = replace(BETTER.rival, **wrong)
    gave = np.where(np.isnan(broken.ranks), NAN, BETTER.rival.ranks)
    decided = decide(replace(BETTER, rival=replace(broken, ranks=gave)), POLICY)
    assert decided.promoted
    assert decided.reasons[0] == f"{broken.name} gave NaN {said}: that counts as nothing found"


def test_a_challenger_that_finds_less_than_a_broken_champion_is_refused() -> None:
    """NaN is no free pass: what the champion does find counts for it."""
    broken = replace(BETTER.challenger, version="champion", ranks=BETTER.challenger.ranks.copy())
    broken.ranks[:1] = NAN
    assert not decide(challenge(broken, BETTER.rival), POLICY).promoted


def test_the_first_model_is_not_let_through_with_nan() -> None:
    broken = replace(BETTER.challenger, ranks=SOME_NAN)
    assert not decide(challenge(marks(None, hits(5)), broken), POLICY).promoted


@pytest.mark.parametrize("field", ["min_lists", "min_users"])
def test_too_few_lists_say_how_many_are_needed(field: str) -> None:
    enough = getattr(POLICY, field)
    assert decide(BETTER, replace(POLICY, **{field: enough})).promoted
    decided = decide(BETTER, replace(POLICY, **{field: enough + 1}))
    assert not decided.promoted
    lists, users = (401, 40) if field == "min_lists" else (400, 41)
    assert decided.reasons == (
        f"400 lists of 40 people are too few to judge by: at least {lists} of {users} are needed; "
        "wait for more ratings",
    )


@pytest.mark.parametrize(
    ("kept", "torn", "said"),
    [
        ({"coverage": 0.4}, {"coverage": 0.399}, "cover 39.90% of the catalogue beside 50.00%"),
        ({"gini": 0.9 + 0.02}, {"gini": 0.921}, "Gini coefficient of 0.9210 beside 0.9000"),
        (
            {"seconds": np.full(400, 0.003)},
            {"seconds": np.full(400, 0.0031)},
            "take 3.10 ms beside 2.00 ms",
        ),
        # One list in ten is slow: that is what a percentile is for. One in fifty is not.
        (
            {"seconds": np.where(np.arange(400) % 50, 0.002, 9.0)},
            {"seconds": np.where(np.arange(400) % 10, 0.002, 9.0)},
            "take 9000.00 ms beside 2.00 ms",
        ),
    ],
)
def test_each_guard_rail_refuses_alone(
    kept: dict[str, Any], torn: dict[str, Any], said: str
) -> None:
    policy = replace(POLICY, max_gini_rise=0.02)
    for other, promoted in ((kept, True), (torn, False)):
        decided = decide(replace(BETTER, challenger=replace(BETTER.challenger, **other)), policy)
        assert decided.promoted == promoted
    [reason] = decided.reasons
    assert said in reason


def test_all_that_is_wrong_is_said() -> None:
    worst = replace(
        some_better(0, worse=9).challenger, coverage=0.1, gini=0.99, seconds=np.full(400, 1.0)
    )
    reasons = decide(challenge(marks("v1", hits(5)), worst), POLICY).reasons
    said = ("it leads that by -", "lists cover 10.00%", "lists crowd", "lists take 1000.00 ms")
    assert len(reasons) == len(said)
    for part, reason in zip(said, reasons, strict=True):
        assert part in reason


def cold(right: int) -> Challenge:
    """All have 5 hits, the first of which the challenger has for some people only.

    What it lacks there it has twice over later.
    """
    of_rival = np.tile(np.where(np.arange(EACH) < 5, 1, NOWHERE), (PEOPLE, 1))
    own = of_rival.copy()
    own[right:, 0] = NOWHERE
    own[:, 5:8] = 1
    return challenge(marks("v1", of_rival.ravel()), marks("v2", own.ravel()))


def test_newcomers_may_not_pay_for_the_others() -> None:
    """Five of a person's ten lists are of few ratings; all were right, now one of them is not."""
    assert FEW == 5
    decided = decide(cold(right=0), POLICY)
    assert decided.figures["challenger_hit_rate@10"] > decided.figures["champion_hit_rate@10"]
    assert decided.reasons == (
        "for people with fewer than 5 ratings hit_rate@10 is 0.8000 beside 1.0000 on 200 lists: a "
        "loss of 10% at most is allowed",
    )
    assert decide(cold(right=20), POLICY).promoted  # a loss of 10%
    assert not decide(cold(right=19), POLICY).promoted
    assert decide(cold(right=0), replace(POLICY, max_cold_loss=0.2)).promoted


def test_newcomers_loss_that_may_be_chance_refuses_nothing() -> None:
    """One of the five lists: 6 of 40 people lose it, 2 win it, of 20 hits in all."""
    of_rival, own = (np.full((PEOPLE, EACH), NOWHERE, float) for _ in range(2))
    of_rival[:20, 0] = 1
    own[3:22, 0] = 1
    own[:, 9] = 1
    policy = replace(POLICY, max_cold_loss=0.01)
    sat = challenge(marks("v1", of_rival.ravel()), marks("v2", own.ravel()))
    decided = decide(sat, policy)
    assert decided.figures["champion_cold_hit_rate@10"] == pytest.approx(0.1)
    assert decided.figures["challenger_cold_hit_rate@10"] == pytest.approx(0.095)
    assert decided.promoted
    own[3:20, 0] = NOWHERE
    assert not decide(replace(sat, challenger=marks("v2", own.ravel())), policy).promoted


def test_too_few_newcomers_judge_nobody_and_it_is_said() -> None:
    assert not decide(cold(right=0), replace(POLICY, min_cold_lists=200)).promoted
    decided = decide(cold(right=0), replace(POLICY, min_cold_lists=201))
    assert decided.promoted
    assert decided.reasons[1] == (
        "200 lists of people with fewer than 5 ratings judge nobody: 201 are needed"
    )


def test_the_first_model_has_to_beat_popularity() -> None:
    decided = decide(replace(BETTER, rival=marks(None, hits(5))), POLICY)
    assert decided.promoted
    assert decided.champion is None
    assert decided.figures["popularity_hit_rate@10"] == 0.5
    assert "beside 0.5000 of popularity" in decided.reasons[0]
    assert not decide(replace(BETTER, rival=marks(None, hits(6))), POLICY).promoted


def test_the_first_model_may_take_longer_than_popularity() -> None:
    slow = replace(BETTER.challenger, seconds=np.full(400, 5.0))
    assert not decide(replace(BETTER, challenger=slow), POLICY).promoted
    first = decide(Challenge(BETTER.users, BETTER.ages, marks(None, hits(5)), slow), POLICY)
    assert first.promoted
    assert first.figures["challenger_p95_ms"] == 5_000


def test_any_metric_of_a_list_may_decide() -> None:
    """The movie at place 2 in place of 3: no other hits, but a higher NDCG."""
    sat = challenge(marks("v1", np.full(400, 3)), marks("v2", np.full(400, 2)))
    assert not decide(sat, POLICY).promoted
    better = decide(sat, replace(POLICY, metric="ndcg@10"))
    assert better.promoted
    assert better.figures["champion_ndcg@10"] == pytest.approx(1 / 2)
    assert better.figures["challenger_ndcg@10"] == pytest.approx(1 / math.log2(3))
    assert not decide(sat, replace(POLICY, metric="ndcg@1")).promoted


def predictor(rmse: float, coverage: float, asked: float = 1_000.0) -> dict[str, float]:
    """Figures of a predictor, those of the usual one where it is asked later."""
    of_ways = {"then": (rmse, coverage, asked), "later": (0.9, 0.9, asked)}
    return {
        f"rating_{way}_{name}": value
        for way, values in of_ways.items()
        for name, value in zip(("rmse", "coverage", "asked"), values, strict=True)
    }


def predicting(rival: dict[str, float], challenger: dict[str, float]) -> Challenge:
    """What is better in lists, with these predictors of ratings."""
    return replace(
        BETTER,
        rival=replace(BETTER.rival, predictor=rival),
        challenger=replace(BETTER.challenger, predictor=challenger),
    )


@pytest.mark.parametrize(
    ("rival", "kept", "torn", "said"),
    [
        (
            predictor(0.8, 0.9),
            predictor(0.919, 0.9),
            predictor(0.921, 0.9),
            "asked then what people rate, it is 0.921 stars off beside 0.800 (RMSE): 15% more at "
            "most is allowed",
        ),
        (
            predictor(0.8, 0.89),
            predictor(0.8, 0.841),
            predictor(0.8, 0.839),
            "asked then, its intervals hold 83.9% of the ratings beside 89.0%: 90% is promised, "
            "and 0.060 from that at most is allowed",
        ),
        (predictor(0.8, 0.9), predictor(0.8, 0.949), predictor(0.8, 0.951), "hold 95.1% of the"),
        # A champion whose intervals hold too few is no reason for others to hold fewer yet.
        (predictor(0.8, 0.7), predictor(0.8, 0.651), predictor(0.8, 0.649), "hold 64.9% of the"),
    ],
)
def test_a_predictor_of_ratings_that_is_clearly_worse_is_refused(
    rival: dict[str, float], kept: dict[str, float], torn: dict[str, float], said: str
) -> None:
    decided = decide(predicting(rival, kept), POLICY)
    assert decided.promoted
    assert decided.figures["challenger_rating_then_rmse"] == kept["rating_then_rmse"]
    assert decided.figures["champion_rating_then_coverage"] == rival["rating_then_coverage"]
    [reason] = decide(predicting(rival, torn), POLICY).reasons
    assert said in reason
    loose = replace(POLICY, max_rmse_rise=0.16, max_miscoverage=0.06)
    assert decide(predicting(rival, torn), loose).promoted


def test_a_predictor_that_is_just_as_good_is_good_enough() -> None:
    strict = replace(POLICY, max_rmse_rise=0.0, max_miscoverage=0.0)
    same = predictor(0.8, 0.85)
    assert decide(predicting(same, same), strict).promoted
    assert not decide(predicting(same, predictor(0.8, 0.849)), strict).promoted


def test_a_predictor_asked_in_another_way_is_judged_too() -> None:
    worse = predictor(0.8, 0.9) | {"rating_later_rmse": 1.2}
    [reason] = decide(predicting(predictor(0.8, 0.9), worse), POLICY).reasons
    assert "asked later what people rate, it is 1.200 stars off" in reason


def test_a_predictor_that_came_to_nan_is_refused_and_a_champions_keeps_nobody_out() -> None:
    fine, broken = predictor(0.8, 0.9), predictor(NAN, NAN)
    [reason] = decide(predicting(fine, broken), POLICY).reasons
    assert "v2 gave NaN 1 times in rating_then_rmse" in reason
    assert decide(predicting(broken, fine), POLICY).promoted
    first = replace(predicting({}, broken), rival=marks(None, hits(5)))
    assert not decide(first, POLICY).promoted


def test_predictors_that_were_measured_on_few_ratings_judge_nobody() -> None:
    fine, worse = predictor(0.8, 0.9), predictor(1.6, 0.2, asked=999)
    decided = decide(predicting(fine, worse), POLICY)
    assert decided.promoted
    assert decided.reasons[-1] == "predicted ratings judge nobody: 999 asked then, 999 asked later"
    assert not decide(predicting(fine, worse), replace(POLICY, min_predicted=999)).promoted
    assert decide(predicting({}, worse), replace(POLICY, min_predicted=1)).promoted


RANKS = st.lists(st.sampled_from([1.0, 4.0, 20.0, NOWHERE, NAN]), min_size=12, max_size=12)
FINE = st.floats(0, 1) | st.just(NAN)
MARKS = st.builds(
    Marks,
    version=st.just("v"),
    ranks=RANKS.map(np.array),
    coverage=FINE,
    gini=FINE,
    seconds=st.lists(st.floats(1e-4, 1) | st.just(NAN), min_size=12, max_size=12).map(np.array),
)
USERS = st.lists(st.integers(1, 5), min_size=12, max_size=12).map(np.array)
AGES = st.lists(st.integers(0, 9), min_size=12, max_size=12).map(np.array)
LOOSE = GatePolicy(min_lists=1, min_users=2, min_cold_lists=1)


def decided_on(users: Ints, ages: Ints, one: Marks, other: Marks) -> Decision:
    return decide(Challenge(users, ages, one, other), LOOSE)


@settings(max_examples=60, deadline=None)
@given(USERS, AGES, MARKS, MARKS)
def test_whatever_the_marks(users: Ints, ages: Ints, one: Marks, other: Marks) -> None:
    there, back = decided_on(users, ages, one, other), decided_on(users, ages, other, one)
    assert not (there.promoted and back.promoted)
    for decided in (there, back):
        assert decided.reasons
        assert all(map(math.isfinite, decided.figures.values()))
        if decided.promoted:
            assert decided.figures["lead_low"] > 0
            assert decided.figures["challenger_ndcg@10"] > decided.figures["champion_ndcg@10"]
        event = RefreshEvent(
            event_id="e",
            **msgspec.to_builtins(decided),
            event_time=10**12,
            produced_time=10**12,
        )
        assert msgspec.json.decode(encode(event), type=RefreshEvent) == event
    if any(np.isnan(values).any() for values in other.figures.values()):
        assert not there.promoted


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_the_order_of_the_questions_decides_nothing(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(400)
    sat = some_better(8, worse=2)
    shuffled = Challenge(
        sat.users[order],
        sat.ages[order],
        replace(sat.rival, ranks=sat.rival.ranks[order]),
        replace(sat.challenger, ranks=sat.challenger.ranks[order]),
    )
    assert decide(shuffled, POLICY) == decide(sat, POLICY)


def test_of_equal_challengers_one_in_twenty_passes() -> None:
    """Sixty people with ten lists each, half of them right for both, whichever they are.

    Of 100 at a chance of 0.05 more than 11 pass once in two hundred times.
    """
    chance, users = np.random.default_rng(3), np.repeat(np.arange(60), 10)
    taste = chance.beta(2, 2, (100, 60, 1))  # people differ, which the bootstrap has to see
    right = chance.random((2, 100, 60, 10)) < taste
    ranks = np.where(right, 1.0, NOWHERE).reshape(2, 100, 600)
    promoted = [
        decide(
            Challenge(users, np.full(600, 9), marks("v1", one), marks("v2", other)), POLICY
        ).promoted
        for one, other in zip(*ranks, strict=True)
    ]
    assert 1 <= sum(promoted) <= 11


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("metric", "hits@10", "no metric 'hits@10'"),
        ("metric", "ndcg", "no metric 'ndcg'"),
        ("min_gain", NAN, "min_gain = nan"),
        ("min_gain", -1.0, "min_gain = -1.0"),
        ("confidence", 1.0, "confidence = 1.0"),
        ("confidence", 0.5, "confidence = 0.5"),
        ("confidence", 95, "confidence = 95"),
        ("min_lists", 0, "min_lists = 0"),
        ("min_lists", 10.5, "min_lists = 10.5"),
        ("min_users", 1, "min_users = 1"),
        ("max_coverage_loss", -0.1, "max_coverage_loss = -0.1"),
        ("max_gini_rise", NAN, "max_gini_rise = nan"),
        ("max_slowdown", 0.9, "max_slowdown = 0.9"),
        ("max_cold_loss", "10%", "max_cold_loss = '10%'"),
        ("min_cold_lists", 0, "min_cold_lists = 0"),
        ("max_rmse_rise", -0.1, "max_rmse_rise = -0.1"),
        ("max_miscoverage", NAN, "max_miscoverage = nan"),
        ("min_predicted", 0, "min_predicted = 0"),
    ],
)
def test_a_policy_that_cannot_be(field: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said.replace("(", r"\(")):
        GatePolicy(**{field: value})
    with pytest.raises(ConfigurationError):
        parse(GatePolicy, {field: value}, "[gate]")


def test_an_unknown_key_of_a_policy_lists_those_there_are() -> None:
    assert parse(GatePolicy, {"min_gain": 0.01}, "[gate]") == GatePolicy(min_gain=0.01)
    with pytest.raises(ConfigurationError, match=r"\[gate\] has no key gain: there are confidenc"):
        parse(GatePolicy, {"gain": 0.01}, "[gate]")
