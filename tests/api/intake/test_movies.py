"""POST /movies, and what a movie that came after the model is in answers."""

import logging
from typing import Any

import httpx
import numpy as np
import pytest
from msgspec import structs

from api import metrics
from stream.contracts.errors import ArtifactError
from tests.api.conftest import MOVIES, World, catalogue_movie
from training.artifact import Artifact

USER = 42
NEW = MOVIES + 1  # beside movie 61, by its year

MOVIE = {
    "movie_id": NEW,
    "title": "A First Night",
    "genres": ["Drama"],
    "year": 1960,
    "tags": ["slow", "Wry"],
}
KEY = {"Idempotency-Key": "the-first"}


async def post(world: World, movie: dict[str, Any], **headers: str) -> httpx.Response:
    return await world.client.post("/api/v1/movies", json=movie, headers=headers)


async def add(world: World, **changes: object) -> dict[str, Any]:
    answer = await post(world, MOVIE | changes)
    assert answer.status_code == 202, answer.text
    await world.watcher.refresh()
    body: dict[str, Any] = answer.json()
    return body


def ids(answer: dict[str, Any]) -> list[int]:
    return [item["movie_id"] for item in answer["items"]]


class TestRoute:
    async def test_the_event_is_answered_and_in_the_topic(self, world: World) -> None:
        before = metrics.MOVIES._value.get()
        body = await add(world)
        [event] = world.log.movies
        assert body == MOVIE | {"event_id": event.event_id, "event_time": event.event_time}
        assert (event.movie_id, event.title, event.genres, event.year, event.source) == (
            *(NEW, "A First Night", ("Drama",), 1960),
            "api",
        )
        assert event.tags == ("slow", "Wry")
        assert metrics.MOVIES._value.get() == before + 1
        assert world.watcher.current.catalogue[NEW] == event

    async def test_a_repeated_request_is_done_once(self, world: World) -> None:
        first = await post(world, MOVIE, **KEY)
        again = await post(world, MOVIE, **KEY)
        assert (again.status_code, again.content) == (202, first.content)
        assert len(world.log.movies) == 1
        other = await post(world, MOVIE | {"year": 1961}, **KEY)
        assert (other.status_code, other.json()["type"]) == (
            *(422, "urn:freshet:idempotency-key-reused"),
        )

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"movie_id": 0}, "body.movie_id"),
            ({"movie_id": 2**32}, "body.movie_id"),
            ({"movie_id": "7"}, "body.movie_id"),
            ({"title": ""}, "body.title"),
            ({"title": "  "}, "body.title"),
            ({"title": "\u0000\u0085\u200b\ufeff"}, "body.title"),
            ({"title": "x" * 501}, "body.title"),
            ({"genres": "Drama"}, "body.genres"),
            ({"genres": ["Drama", "Drama"]}, "body.genres"),
            ({"genres": [" "]}, "body.genres[0]"),
            ({"genres": [str(number) for number in range(21)]}, "body.genres"),
            ({"tags": ["slow", "slow"]}, "body.tags"),
            ({"tags": ["\u200b"]}, "body.tags[0]"),
            ({"tags": ["x" * 101]}, "body.tags[0]"),
            ({"tags": [str(number) for number in range(11)]}, "body.tags"),
            ({"year": 1869}, "body.year"),
            ({"year": 2101}, "body.year"),
            ({"year": 1994.5}, "body.year"),
            ({"popularity": 5}, "body.popularity"),
        ],
    )
    async def test_what_is_wrong_is_named(
        self, world: World, changes: dict[str, object], field: str
    ) -> None:
        answer = await post(world, MOVIE | changes)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        assert not world.log.movies

    async def test_the_longest_movie_is_an_event_that_everybody_takes(self, world: World) -> None:
        """Control characters take six bytes each."""
        genres, tags = (
            [f"{number:02}".ljust(length, "\1") for number in range(most)]
            for most, length in ((20, 50), (10, 100))
        )
        await add(world, title="!".ljust(500, "\1"), genres=genres, tags=tags)
        assert world.watcher.current.catalogue[NEW].tags == tuple(tags)

    async def test_a_broker_that_does_not_acknowledge(self, world: World) -> None:
        world.log.failing = True
        answer = await post(world, MOVIE, **KEY)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        world.log.failing = False
        assert (await post(world, MOVIE, **KEY)).status_code == 202


class TestRecommended:
    async def test_it_is_recommended_and_rated_at_once(self, world: World) -> None:
        await world.rate(USER, 61)
        assert NEW not in ids(await world.get(USER))
        await add(world)
        answer = await world.get(USER)
        assert answer["items"][0]["movie_id"] == NEW
        assert answer["items"][0]["title"] == "A First Night"
        assert answer["degraded"] == []
        assert world.index.count() == MOVIES + 1
        await world.rate(USER, NEW)
        assert NEW not in ids(await world.get(USER))

    async def test_every_later_model_has_it_and_so_has_the_one_before(self, world: World) -> None:
        await world.rate(USER, 61)
        await add(world)
        for version in ("v2", "v3", "v2"):
            await world.promote(version)
            answer = await world.get(USER)
            assert (answer["model_version"], ids(answer)[0]) == (version, NEW)
            assert world.index.count() == MOVIES + 1

    async def test_a_movie_that_is_changed_is_embedded_again(self, world: World) -> None:
        await world.rate(USER, 61)
        await world.rate(43, 301)
        await add(world)
        await add(world, year=2100, title="Another Night")
        model = world.watcher.current.model
        assert model is not None
        assert world.index.movies([NEW])[NEW].title == "Another Night"
        assert world.index.count() == MOVIES + 1
        np.testing.assert_array_equal(
            model.repertoire.items.vectors[-1], model.artifact.items.vectors[200]
        )
        assert NEW not in ids(await world.get(USER, limit=9))

    async def test_what_was_learnt_keeps_its_vector_and_has_its_new_title(
        self, world: World
    ) -> None:
        await world.rate(USER, 61)
        await add(world, movie_id=62, title="Renamed", year=2000)
        answer = await world.get(USER)
        assert "Renamed" in [item["title"] for item in answer["items"][:3]]
        assert world.index.count() == MOVIES

    async def test_who_rated_only_what_no_model_learnt_gets_trends(self, world: World) -> None:
        await add(world)
        await world.rate(USER, NEW)
        await world.watcher.refresh()
        assert (await world.get(USER))["strategy"] == "trending"

    async def test_what_is_far_is_tried_at_one_place_in_ten_and_counted(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("training.explore.BONUS", 10_000.0)  # of utilities up to 1,000
        await world.rate(USER, 301)
        for number in range(15):
            await add(world, movie_id=NEW + number, year=1920 + 5 * number)
        before = metrics.EXPLORED._value.get()
        answer = await world.get(USER, limit=100)
        new = {
            place: item["movie_id"]
            for place, item in enumerate(answer["items"], 1)
            if item["source"] == "new"
        }
        # The nearest first: they lie from row 20 to row 90.
        assert new == {10 * number: NEW + 15 - number for number in range(1, 11)}
        assert metrics.EXPLORED._value.get() == before + 10
        assert ids(await world.get(USER, limit=25)) == ids(answer)[:25]


class TestFailures:
    async def test_an_index_that_fails_is_tried_again(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.ERROR)
        await world.rate(USER, 61)
        world.index.failing = True
        await add(world)
        await world.watcher.refresh()
        assert caplog.text.count("later movies of model v1") == 1
        world.index.failing = False
        assert NEW not in ids(await world.get(USER))
        await world.watcher.refresh()
        assert ids(await world.get(USER))[0] == NEW

    async def test_an_item_tower_that_fails_keeps_nothing_else_back(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = world.watcher.current.model
        assert model is not None
        artifact: Artifact = model.artifact

        def broken(_: object) -> None:
            raise ArtifactError("the item tower is told to fail")

        monkeypatch.setattr(artifact, "item_vectors_for", broken)
        await world.rate(USER, 61)
        await add(world)
        answer = await world.get(USER)
        assert (answer["degraded"], len(answer["items"])) == ([], 10)
        await world.promote("v2")
        assert ids(await world.get(USER))[0] == NEW

    async def test_a_movie_that_another_process_put_into_the_index_waits_for_a_look(
        self, world: World
    ) -> None:
        await world.rate(USER, 61)
        there = structs.replace(world.index.movies([61])[61], movie_id=NEW)
        world.index.upsert([there], world.index._vectors[60:61])
        answer = await world.get(USER)
        assert answer["degraded"] == []
        assert NEW not in ids(answer)
        await world.store.put_movies([catalogue_movie(NEW)])
        await world.watcher.refresh()
        assert world.index.count() == MOVIES + 1
