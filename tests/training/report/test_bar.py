from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.training.report.made_up import offline, prequential
from training.compare import Difference, Interval
from training.report.bar import AT_RANDOM, Compared, Goal, beaten, compared
from training.report.parts import PREQUENTIAL, RANDOM, Measured, parts
from training.report.ranges import RANGES, beside, ceilings, place
from training.runs import Result

PLAN = parts("made-up", "made-up", ["ease"])


def measured(
    at_random: Sequence[Result] = (), live: Sequence[Result] = ()
) -> Mapping[str, Measured]:
    found = {RANDOM: at_random, PREQUENTIAL: live}
    return {name: Measured(PLAN[name], tuple(results), {}) for name, results in found.items()}


def ranked(model: str, fresh: int) -> Result:
    return prequential(model, {"fresh": fresh, "daily": 20, "frozen": 20})


AT_RANDOM_RESULTS = [
    offline("popularity", 0.2),
    offline("ease", 0.4),
    offline("towers-rest", 0.39),
    offline("two-stage", 0.45),
]
LIVE_RESULTS = [ranked("popularity", 11), ranked("item-knn", 3), ranked("two-stage", 1)]


def by_question(rows: Sequence[Compared]) -> dict[tuple[str, str, str], Compared]:
    return {(row.asked.partition(" (")[0], row.figure, row.base): row for row in rows}


def test_each_row_of_the_bar() -> None:
    rows, missing = compared(measured(AT_RANDOM_RESULTS, LIVE_RESULTS))
    found = by_question(rows)
    assert not missing
    assert list(found) == [
        ("random fifth", "ndcg@10", "ease"),
        ("random fifth", "recall@10", "ease"),
        ("random fifth", "map@10", "ease"),
        ("random fifth, retrieval alone", "recall@300", "ease"),
        ("prequential, fresh", "hit_rate@10", "item-knn"),
        ("prequential, fresh", "ndcg@10", "item-knn"),
        *(
            ("prequential, fresh, users with 1-10 ratings", metric, base)
            for base in ("popularity", "item-knn")
            for metric in ("hit_rate@10", "ndcg@10")
        ),
    ]
    first = found["random fifth", "ndcg@10", "ease"]
    assert (first.model, first.value.value, first.base_value.value) == ("two-stage", 0.45, 0.4)
    assert first.difference.relative.value == pytest.approx(0.125)
    retrieval = found["random fifth, retrieval alone", "recall@300", "ease"]
    assert retrieval.model == "towers-rest"
    assert retrieval.difference.relative.value == pytest.approx(-0.025)
    # Of place 3, NDCG is 1 / log2(4).
    live = found["prequential, fresh", "ndcg@10", "item-knn"]
    assert (live.value.value, live.base_value.value) == pytest.approx((0.8, 0.4))
    assert live.difference.relative.value == pytest.approx(1.0)


def test_users_with_few_ratings_are_exactly_those() -> None:
    """Their lists alone: with ten ratings, but neither with none nor with eleven."""
    ages = np.tile([0.0, 1, 3, 5, 10, 11, 50], 40)
    # Those with 1 to 10 are found by ours alone, and the others by both.
    results = [ranked("two-stage", 1), ranked("item-knn", 1), ranked("popularity", 1)]
    few = (ages >= 1) & (ages <= 10)
    results = [replace(one, lists={**one.lists, "age": ages}) for one in results]
    for base in results[1:]:
        base.lists["fresh/rank"][few] = 99  # type: ignore[index]
    rows = by_question(compared(measured(live=results))[0])
    row = rows["prequential, fresh, users with 1-10 ratings", "hit_rate@10", "item-knn"]
    assert row.asked.endswith("(n = 160)")
    assert (row.value.value, row.base_value.value) == (0.8, 0.0)
    everyone = rows["prequential, fresh", "hit_rate@10", "item-knn"]
    assert everyone.base_value.value == pytest.approx(0.8 * 3 / 7)


def test_what_is_missing_is_said() -> None:
    assert compared({})[1] == [
        "two-stage (random fifth)",
        "a baseline (random fifth)",
        "towers-rest (random fifth, retrieval alone)",
        "ease (random fifth, retrieval alone)",
        "two-stage (prequential, fresh)",
        "a baseline (prequential, fresh)",
        "two-stage (prequential, fresh, users with 1-10 ratings)",
        "popularity (prequential, fresh, users with 1-10 ratings)",
        "item-knn (prequential, fresh, users with 1-10 ratings)",
    ]
    rows, missing = compared(measured(AT_RANDOM_RESULTS[1:3], LIVE_RESULTS))
    assert missing == ["two-stage (random fifth)"]
    assert len(rows) == 7
    assert "; towers-rest (random fifth, retrieval alone); " in "".join(beaten(measured()))


def gain(value: float, p_value: float) -> Difference:
    some = Interval(value, value - 0.1, value + 0.1)
    return Difference(some, some, p_value, 40, 40)


@pytest.mark.parametrize(
    ("goal", "value", "p_value", "verdict"),
    [
        (AT_RANDOM, 0.03, 0.04, "**reached**"),
        (AT_RANDOM, 0.03, 0.06, "may be chance"),
        (AT_RANDOM, 0.03, np.nan, "may be chance"),
        (AT_RANDOM, 0.029, 0.001, "missed"),
        (AT_RANDOM, np.nan, 0.001, "missed"),
        (Goal(-0.03), -0.029, 0.001, "**reached**"),
        (Goal(-0.03), -0.031, 0.5, "missed"),
    ],
)
def test_what_is_reached(goal: Goal, value: float, p_value: float, verdict: str) -> None:
    assert goal.verdict(gain(value, p_value)) == verdict


def test_a_table_of_it() -> None:
    [table] = beaten(measured(AT_RANDOM_RESULTS, LIVE_RESULTS))
    first, *_, retrieval = table.splitlines()[2:6]
    assert first.startswith("| random fifth | NDCG@10 | two-stage | 0.4500<br>")
    assert "| ease | 0.4000<br>" in first
    assert "| +12.5%<br>" in first
    assert first.endswith("| <0.001 | +3% | **reached** |")
    assert "| recall@300 | towers-rest | 0.3900<br>" in retrieval
    assert retrieval.endswith("| -3% | **reached** |")


def test_the_most_that_a_data_set_allows() -> None:
    """Users with 5, 20 and 10 movies to be found: 5, 10 and 10 of them in ten places."""
    result = offline("two-stage", 0.3)
    result = replace(result, lists={**result.lists, "held_out": np.array([5.0, 20, 10])})
    assert ceilings(result, movies=120) == pytest.approx(
        {
            "recall@10": (1 + 0.5 + 1) / 3,
            "precision@10": (0.5 + 1 + 1) / 3,
            "ndcg@10": 1,
            "hit_rate@10": 1,
            "map@10": 1,
            "coverage@10": 0.25,
        }
    )


@pytest.mark.parametrize(
    ("value", "where"),
    [(0.196, "within"), (0.194, "**below**"), (0.284, "within"), (0.286, "above")],
)
def test_where_a_figure_is_by_its_range(value: float, where: str) -> None:
    assert place(value, RANGES["recall@10"]) == where


def test_figures_beside_their_ranges() -> None:
    """Every figure is 0.3; all users have five movies to be found."""
    words, table, why = beside(offline("two-stage", 0.3), movies=4000)
    assert "5 ratings a user on average and 5 at the median" in words
    value = "0.3000<br>0.2970 to 0.3030"
    assert f"| recall@10 | {value} | 0.20 to 0.28 | above | 1.00 |" in table
    assert f"| precision@10 | {value} | 0.35 to 0.45 | **below** | 0.50 |" in table
    assert "| coverage@10 | 0.1500 | 0.30 to 0.40 | **below** | 0.10 |" in table
    assert "precision@10 is below where 100% of the users have fewer than 10 movies" in why
    assert "NDCG@10 is below, and the size of the data set does not explain it." in why
    assert "coverage@10 is below because no list could reach the range here." in why
