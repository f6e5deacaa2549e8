"""Experiments in the answers of GET /recommendations: what is chosen, what is said and told."""

from dataclasses import replace
from typing import Any

import pytest

from api.experiments.trial import trial_of
from api.lists.wanted import Wanted
from api.serving.watcher import Serving
from stream.contracts.experiments import Assigned
from stream.experiments.assignment import variant_of
from tests.api.conftest import World
from tests.api.experiments.definitions import START, experiment, model, variants

TREATED = {42: "treatment"}


async def given(world: World, *definitions: Any) -> None:
    for event in definitions:
        world.experiments.put(event)
    await world.watcher.refresh()


async def test_every_answer_has_an_impression_of_its_own_that_is_told(world: World) -> None:
    await world.rate(42, 200)
    answers = [await world.get(42, limit=5)]
    await world.services.recommender.close()  # what is to be kept is kept
    answers.append(await world.get(42, limit=5))
    assert answers[1]["cached"]
    ids = [answer["impression_id"] for answer in answers]
    assert len(set(ids)) == 2
    assert [event.impression_id for event in world.log.exposures] == ids
    event = world.log.exposures[0]
    assert event.user_id == 42
    assert list(event.movies) == [item["movie_id"] for item in answers[0]["items"]]
    assert (event.model_version, event.strategy, event.position) == ("v1", "two_tower", 0)
    assert event.experiments == {}
    assert answers[0]["experiments"] == {}


async def test_the_second_page_says_where_it_begins(world: World) -> None:
    await world.rate(42, 200)
    first = await world.get(42, limit=5)
    second = await world.get(42, limit=5, cursor=first["next_cursor"])
    await world.get(42, limit=5, cursor=second["next_cursor"])
    assert [event.position for event in world.log.exposures] == [0, 5, 10]


async def test_a_variant_is_what_the_hash_says_and_is_told(world: World) -> None:
    drawn = experiment(variants=variants(strategy="popular"))
    await given(world, drawn)
    for user in range(1, 21):
        await world.rate(user, 200)
        answer = await world.get(user)
        variant = variant_of(drawn, user).name
        assert answer["experiments"] == {"trial": variant}
        assert answer["strategy"] == ("popular" if variant == "treatment" else "two_tower")
        assert world.log.exposures[-1].experiments == {"trial": Assigned(variant=variant)}
    assert {it.experiments["trial"].variant for it in world.log.exposures} == {
        "control",
        "treatment",
    }


@pytest.mark.parametrize(
    ("choice", "strategy"),
    [({"strategy": "popular"}, "popular"), ({"strategy": "trending"}, "trending")],
)
async def test_lists_for_everybody_leave_out_what_was_rated(
    world: World, choice: dict[str, Any], strategy: str
) -> None:
    await world.rate(42, 1, 2)
    await given(world, experiment(variants=variants(**choice), overrides=TREATED))
    answer = await world.get(42, limit=10)
    assert answer["strategy"] == strategy
    assert not {1, 2} & {item["movie_id"] for item in answer["items"]}


async def test_without_ranker_the_nearest_come_as_they_are(world: World) -> None:
    await world.rate(42, 200)
    await given(world, experiment(variants=variants(ranker=False), overrides=TREATED))
    answer = await world.get(42, limit=4)
    assert [item["movie_id"] for item in answer["items"]] != []
    assert {item["source"] for item in answer["items"]} == {"two_tower"}
    assert {item["movie_id"] for item in answer["items"]} == {198, 199, 201, 202}
    assert answer["degraded"] == []


async def test_who_is_named_is_told_and_not_counted(world: World) -> None:
    await given(world, experiment(variants=variants(strategy="popular"), overrides=TREATED))
    assert (await world.get(42))["experiments"] == {"trial": "treatment"}
    assert not world.log.exposures[-1].experiments["trial"].counted


async def test_what_a_client_asks_for_goes_before_whatever_the_variant_is(world: World) -> None:
    await given(world, experiment(variants=variants(diversity=0.9)))
    for user in range(1, 9):
        answer = await world.get(user, diversity=0.1)
        assert answer["experiments"] == {}
        assert answer["experiments_left_out"] == {"trial": "asked_otherwise"}
        assert world.log.exposures[-1].experiments == {}
    assert (await world.get(1))["experiments_left_out"] == {}


async def test_an_answer_of_another_variant_is_not_given_again(world: World) -> None:
    await world.rate(42, 200)
    before = await world.get(42)
    await world.services.recommender.close()  # what is to be kept is kept
    await given(world, experiment(variants=variants(ranker=False), overrides=TREATED))
    during = await world.get(42)
    assert not during["cached"]
    await given(world, experiment(variants=variants(ranker=False), stop=START + 1))
    after = await world.get(42)
    assert after["cached"]
    assert after["items"] == before["items"]


async def test_what_was_kept_for_another_list_is_not_taken(world: World) -> None:
    """Should experiments change while the state is read."""
    serving = world.watcher.current
    [plain, again, other] = [
        trial_of(serving, 42, wanted, START, first=True)
        for wanted in (Wanted(10), Wanted(10), Wanted(10, novelty=0.5))
    ]
    assert plain.makes_the_same(again)
    assert not plain.makes_the_same(other)
    assert not plain.makes_the_same(replace(plain, rival=Wanted(10)))
    assert not plain.makes_the_same(replace(plain, serving=Serving()))


class TestModels:
    async def test_a_version_is_served_beside(self, world: World) -> None:
        await world.rate(42, 200)
        await given(world, experiment(variants=variants(model=model("v2")), overrides=TREATED))
        treated = await world.get(42)
        assert treated["model_version"] == "v2"
        assert treated["index"] == "movies-v2"
        assert world.log.exposures[-1].model_version == "v2"
        await world.rate(7, 200)
        others = [it for it in range(1, 30) if it != 42]
        found = {
            (answer["experiments"]["trial"], answer["model_version"])
            for answer in [await world.get(user) for user in others]
        }
        assert found == {("control", "v1"), ("treatment", "v2")}

    async def test_one_that_cannot_be_had_leaves_the_experiment_out_for_all(
        self, world: World
    ) -> None:
        await given(world, experiment(variants=variants(model=model("bad"))))
        for user in range(1, 9):
            answer = await world.get(user)
            assert answer["model_version"] == "v1"
            assert answer["experiments"] == {}
            assert answer["experiments_left_out"] == {"trial": "model_unavailable"}

    async def test_there_are_two_at_most(self, world: World) -> None:
        await given(
            world,
            experiment("one", group="g", end=0.5, variants=variants(model=model("v2"))),
            experiment("two", group="g", begin=0.5, variants=variants(model=model("v3"))),
        )
        serving = world.watcher.current
        assert serving.by("v2") is not None
        assert serving.by("v3") is None
        answers = [await world.get(user) for user in range(1, 30)]
        assert {str(it["experiments_left_out"]) for it in answers} == {
            "{}",
            "{'two': 'model_unavailable'}",
        }

    async def test_it_is_loaded_once(self, world: World) -> None:
        await given(world, experiment(variants=variants(model=model("v2"))))
        beside = world.watcher.current.by("v2")
        assert beside is not None
        for _ in range(3):
            await world.watcher.refresh()
            now = world.watcher.current.by("v2")
            assert now is not None
            assert now.model is beside.model

    async def test_it_is_let_go_of_when_the_experiment_ends(self, world: World) -> None:
        named = experiment(variants=variants(model=model("v2")))
        await given(world, named)
        beside = world.watcher.current.by("v2")
        assert beside is not None
        assert beside.model is not None
        await given(world, experiment(variants=variants(model=model("v2")), stop=START + 1))
        assert world.watcher.current.beside is None
        await world.watcher.refresh()
        await world.watcher._models.close()
        assert beside.model.index.closed  # type: ignore[attr-defined]

    async def test_a_promotion_of_it_ends_with_one_model_for_all(self, world: World) -> None:
        await given(world, experiment(variants=variants(model=model("v2"))))
        await world.promote("v2")
        assert {(await world.get(user))["model_version"] for user in range(1, 9)} == {"v2"}

    async def test_another_promotion_keeps_it(self, world: World) -> None:
        await given(world, experiment(variants=variants(model=model("v2")), overrides=TREATED))
        await world.promote("v3")
        await world.watcher.refresh()
        assert (await world.get(42))["model_version"] == "v2"
        assert world.watcher.current.by("v3") is world.watcher.current


class TestInterleaving:
    async def test_a_list_of_both_says_whose_each_movie_is(self, world: World) -> None:
        await world.rate(42, 200)
        both = experiment(kind="interleaving", variants=variants(strategy="popular"))
        await given(world, both)
        answer = await world.get(42, limit=6)
        assert answer["experiments"] == {"trial": "interleaved"}
        event = world.log.exposures[-1]
        popular = [movie for movie, team in zip(event.movies, event.teams, strict=True) if team]
        assert popular == [1, 2, 3]
        assert all(180 < movie < 220 for movie in set(event.movies) - set(popular))
        assert not answer["cached"]

    async def test_further_pages_are_not_interleaved(self, world: World) -> None:
        await world.rate(42, 200)
        await given(world, experiment(kind="interleaving", variants=variants(strategy="popular")))
        first = await world.get(42, limit=6)
        second = await world.get(42, limit=6, cursor=first["next_cursor"])
        assert second["experiments_left_out"] == {"trial": "not_this_list"}
        movies = [item["movie_id"] for page in (first, second) for item in page["items"]]
        assert len(set(movies)) == 12
