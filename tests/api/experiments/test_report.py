"""GET /experiments and the report: from what was shown and done to rates, intervals and alarms."""

from collections.abc import Iterable

import pytest
from scipy.stats import chisquare

from stream.contracts.experiments import Assigned, FeedbackEvent
from stream.experiments.assignment import INTERLEAVED
from stream.experiments.outcomes import fold
from tests.api.conftest import World
from tests.api.experiments.definitions import START, experiment, model, variants
from tests.stream.experiments.test_outcomes import said, shown

URL = "/api/v1/experiments"


def one(variant: str, user: int, *feedback: FeedbackEvent) -> list[object]:
    """An impression of a person, and what they did with it."""
    assigned = {"trial": Assigned(variant=variant)}
    return [shown(f"{user}", user, experiments=assigned), *feedback]


def click(user: int, movie: int = 10) -> FeedbackEvent:
    return said(f"{user}", movie, user=user)


def count(world: World, events: Iterable[list[object]]) -> None:
    flat = [event for some in events for event in some]
    world.experiments.counted = fold({}, flat, 1_000)  # type: ignore[arg-type]


async def test_all_experiments_are_listed(world: World) -> None:
    assert (await world.client.get(URL)).json() == {"experiments": []}
    world.experiments.put(experiment("a", end=0.25, stop=START + 1))
    world.experiments.put(experiment("b", start=2**42 - 1, variants=variants(model=model("v2"))))
    world.experiments.put(experiment("c"))
    found = (await world.client.get(URL)).json()["experiments"]
    assert [(it["name"], it["status"]) for it in found] == [
        ("a", "stopped"),
        ("b", "scheduled"),
        ("c", "running"),
    ]
    assert found[0]["share"] == 0.25
    assert [it["model"] for it in found[1]["variants"]] == [None, "v2"]


async def test_rates_are_of_what_was_counted(world: World) -> None:
    world.experiments.put(experiment())
    treated = range(1, 101)
    others = range(101, 221)
    count(
        world,
        [
            *(one("treatment", it, *[click(it)] * (it <= 60)) for it in treated),
            *(one("control", it, *[click(it)] * (it <= 124)) for it in others),
            [said("1", 20, "rating", 4.0), said("2", 20, "rating", 3.0, user=2)],
        ],
    )
    answer = await world.client.get(f"{URL}/trial/report")
    assert answer.status_code == 200
    found = answer.json()
    by_name = {it["variant"]: it for it in found["variants"]}
    assert by_name["treatment"]["users"] == by_name["treatment"]["impressions"] == 100
    assert by_name["treatment"]["rates"] == {
        "click_rate": 0.6,
        "watch_rate": 0.0,
        "skip_rate": 0.0,
        "mean_rating": 3.5,
    }
    assert by_name["control"]["rates"]["click_rate"] == pytest.approx(0.2)
    assert by_name["control"]["rates"]["mean_rating"] is None
    clicks = next(it for it in found["comparisons"] if it["metric"] == "click_rate")
    assert clicks["difference"] == pytest.approx(0.4)
    assert clicks["uplift"] == pytest.approx(2.0)
    assert clicks["significant"]
    low, high = clicks["anytime_interval"]
    assert low < clicks["interval"][0] < 0.4 < clicks["interval"][1] < high
    ratings = next(it for it in found["comparisons"] if it["metric"] == "mean_rating")
    assert ratings["anytime_p"] is None
    assert not ratings["significant"]
    assert found["trustworthy"]
    assert found["sample_ratio"]["p"] == pytest.approx(chisquare([100, 120]).pvalue)


async def test_a_mismatch_condemns_the_report(world: World) -> None:
    world.experiments.put(experiment())
    count(world, [one("treatment" if it <= 60 else "control", it) for it in range(1, 241)])
    found = (await world.client.get(f"{URL}/trial/report")).json()
    assert found["sample_ratio"]["alarm"]
    assert not found["trustworthy"]


async def test_nothing_counted_yet_is_a_report_too(world: World) -> None:
    world.experiments.put(experiment())
    found = (await world.client.get(f"{URL}/trial/report")).json()
    assert [it["users"] for it in found["variants"]] == [0, 0]
    assert found["trustworthy"]
    assert {it["anytime_p"] for it in found["comparisons"]} == {None}


async def test_only_the_round_that_runs_is_reported(world: World) -> None:
    world.experiments.put(experiment(round=2))
    count(world, [one("treatment", it) for it in range(1, 9)])
    found = (await world.client.get(f"{URL}/trial/report")).json()
    assert [it["users"] for it in found["variants"]] == [0, 0]


async def test_interleaving_is_reported_by_preference(world: World) -> None:
    world.experiments.put(experiment(kind="interleaving"))
    assigned = {"trial": Assigned(variant=INTERLEAVED)}
    count(
        world,
        [
            [
                shown(f"{it}", it, experiments=assigned, teams=(0, 1, 0)),
                click(it, 20 if it <= 90 else 10),
            ]
            for it in range(1, 121)
        ],
    )
    found = (await world.client.get(f"{URL}/trial/report")).json()
    [preference] = found["comparisons"]
    assert (preference["metric"], preference["variant"]) == ("preference", "treatment")
    assert preference["difference"] == pytest.approx((90 - 30) / 120)
    assert preference["significant"]


async def test_an_unknown_experiment_lists_those_there_are(world: World) -> None:
    world.experiments.put(experiment("a"))
    answer = await world.client.get(f"{URL}/b/report")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:freshet:unknown-experiment"
    assert "there are a" in answer.json()["detail"]
