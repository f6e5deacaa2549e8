"""Assignment: sticky, uniform, independent, exclusive, and moved no further than it must be."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare, kstest

from stream.contracts.events import encode
from stream.contracts.experiments import Variant, decode_experiment
from stream.experiments.assignment import INTERLEAVED, Plan, point, runs, variant_of
from tests.api.experiments.definitions import START, experiment, variants

NOW = START + 1
PEOPLE = range(1, 10_001)


def three(*weights: float) -> tuple[Variant, ...]:
    return tuple(Variant(name=f"v{at}", weight=it) for at, it in enumerate(weights))


def shares(plan: Plan, people: range = PEOPLE) -> Counter[str]:
    return Counter(it.name for user in people for it in plan.of(user, NOW))


def test_points_are_what_is_written_down() -> None:
    """Another hash would give everybody another variant: this one is for good."""
    # `printf 'variant\\ntrial\\ncontrol\\n42' | b2sum -l 64`, as a fraction of 2^64
    assert point("variant", "trial", "control", 42) == pytest.approx(0.03857838681185838, abs=1e-16)


def test_points_are_uniform() -> None:
    assert kstest([point("group", "g", user) for user in PEOPLE], "uniform").pvalue > 0.01


@settings(max_examples=30)
@given(
    weights=st.lists(st.floats(0.2, 5.0), min_size=2, max_size=4), salt=st.text("ab", max_size=4)
)
def test_variants_come_as_often_as_they_weigh(weights: list[float], salt: str) -> None:
    drawn = experiment(salt=f"s{salt}", control="v0", variants=three(*weights))
    people = range(1, 2_001)
    counts = Counter(variant_of(drawn, user).name for user in people)
    expected = len(people) * np.array(weights) / sum(weights)
    observed = [counts[f"v{at}"] for at in range(len(weights))]
    assert chisquare(observed, expected).pvalue > 1e-6


def test_an_assignment_is_sticky_and_the_same_after_a_journey() -> None:
    drawn = experiment()
    travelled = decode_experiment(encode(drawn))
    for user in range(1, 200):
        assert Plan([drawn]).of(user, NOW) == Plan([drawn]).of(user, NOW + 10**9)
        assert variant_of(drawn, user).name == variant_of(travelled, user).name


def test_two_experiments_are_independent() -> None:
    plan = Plan([experiment("one"), experiment("two")])
    table = np.zeros((2, 2))
    for user in PEOPLE:
        one, two = plan.of(user, NOW)
        table[int(one.name == "treatment"), int(two.name == "treatment")] += 1
    assert table.sum() == len(PEOPLE)
    assert chi2_contingency(table).pvalue > 0.01


def test_another_weight_moves_people_from_or_to_that_variant_only() -> None:
    before = experiment(control="v0", variants=three(1, 1, 1))
    after = experiment(control="v0", variants=three(1, 1, 2))
    moved = Counter(
        (variant_of(before, user).name, variant_of(after, user).name)
        for user in PEOPLE
        if variant_of(before, user).name != variant_of(after, user).name
    )
    assert {to for _, to in moved} == {"v2"}
    # From a third to a half of all people: a sixth moves, no more.
    assert sum(moved.values()) / len(PEOPLE) == pytest.approx(1 / 6, abs=0.015)


@given(cuts=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=3, unique=True))
def test_of_a_group_a_person_is_in_one_experiment(cuts: list[float]) -> None:
    edges = [0.0, *sorted(cuts), 1.0]
    plan = Plan(
        experiment(f"e{at}", group="g", begin=begin, end=end)
        for at, (begin, end) in enumerate(pairwise(edges))
    )
    assert all(len(plan.of(user, NOW)) == 1 for user in range(1, 300))


def test_of_two_that_claim_the_same_people_the_older_has_them() -> None:
    old, new = experiment("old", group="g"), experiment("new", group="g", start=START + 1)
    assert {it.experiment.name for it in Plan([new, old]).of(7, NOW)} == {"old"}


def test_a_wider_share_keeps_those_who_are_in_it() -> None:
    narrow, wide = (Plan([experiment(end=end)]) for end in (0.2, 0.5))
    inside = {user for user in PEOPLE if narrow.of(user, NOW)}
    assert len(inside) / len(PEOPLE) == pytest.approx(0.2, abs=0.02)
    assert all(narrow.of(user, NOW)[0].name == wide.of(user, NOW)[0].name for user in inside)


def test_who_is_held_out_is_in_no_experiment() -> None:
    plan = Plan([experiment("one"), experiment("two")], holdout=0.1)
    numbers = Counter(len(plan.of(user, NOW)) for user in PEOPLE)
    assert set(numbers) == {0, 2}
    assert numbers[0] / len(PEOPLE) == pytest.approx(0.1, abs=0.015)


def test_who_is_named_gets_what_it_says_and_is_not_counted() -> None:
    names = dict.fromkeys(range(1, 100), "treatment")
    other = experiment("other", group="trial", begin=0.5)
    plan = Plan([experiment(overrides=names, end=0.5), other], holdout=1.0)
    for user in names:
        [found] = plan.of(user, NOW)
        assert (found.experiment.name, found.name, found.counted) == ("trial", "treatment", False)
        assert not found.exposure().counted
    assert not plan.of(100, NOW)


def test_it_runs_from_its_start_to_its_stop() -> None:
    drawn = experiment(stop=START + 10)
    assert [runs(drawn, START + at) for at in (-1, 0, 9, 10)] == [False, True, True, False]
    assert not Plan([drawn]).of(1, START + 10)


def test_an_interleaved_list_has_both_variants() -> None:
    plan = Plan([experiment(kind="interleaving", variants=variants(ranker=False))])
    assert shares(plan, range(1, 50)) == {INTERLEAVED: 49}
