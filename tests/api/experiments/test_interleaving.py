"""Team-draft interleaving: every list is fair, and nothing comes twice."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from api.experiments.interleaving import team_draft


def drafted(one: list[int], other: list[int], limit: int, seed: int) -> tuple[list[int], list[int]]:
    return team_draft(one, other, limit, lambda it: it, Random(seed))


LISTS = st.lists(st.integers(0, 12), max_size=10, unique=True)


@given(LISTS, LISTS, st.integers(0, 12), st.integers(0, 99))
def test_each_takes_its_best_that_is_left(
    one: list[int], other: list[int], limit: int, seed: int
) -> None:
    found, teams = drafted(one, other, limit, seed)
    assert len(found) == len(teams) == len(set(found)) == min(limit, len({*one, *other}))
    for at, (movie, team) in enumerate(zip(found, teams, strict=True)):
        left = [it for it in (one, other)[team] if it not in found[:at]]
        assert movie == left[0]


@given(st.permutations(range(10)), st.permutations(range(10)), st.integers(0, 99))
def test_of_two_whole_lists_both_have_as_many_places_at_every_depth(
    one: list[int], other: list[int], seed: int
) -> None:
    _, teams = drafted(one, other, 10, seed)
    assert all(sorted(teams[at : at + 2]) == [0, 1] for at in range(0, 10, 2))


def test_a_coin_says_who_is_first() -> None:
    firsts = Counter(drafted([1, 2], [3, 4], 2, seed)[1][0] for seed in range(400))
    assert 160 < firsts[0] < 240


def test_two_equal_lists_stay_what_they_are() -> None:
    assert drafted([1, 2, 3], [1, 2, 3], 3, 1)[0] == [1, 2, 3]
