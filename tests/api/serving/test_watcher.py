"""Switching models: no answer mixes two, none fails, and what cannot be loaded is not served."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import pytest

from api import metrics
from api.lists.ranking import trends
from api.serving import models
from api.serving.models import ServedModel
from api.serving.watcher import ServingWatcher
from stream.contracts.errors import IndexUnavailable, StoreUnavailable
from stream.contracts.events import ModelEvent, MovieEvent
from tests.api.conftest import MOVIES, World, catalogue_movie, load, model_event
from tests.api.doubles import PARTITIONS, MemoryIndex, Store
from training.artifact import Artifact
from training.repertoire import Later, Repertoire

USER = 42


def index_of(model: ServedModel) -> MemoryIndex:
    assert isinstance(model.index, MemoryIndex)
    return model.index


def served(world: World) -> ServedModel:
    assert world.watcher.current.model is not None
    return world.watcher.current.model


async def unreachable(*_: object) -> None:
    raise StoreUnavailable("it is told to fail")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - many conditions, none of them an event
            await asyncio.sleep(0.001)


async def test_no_answer_mixes_two_versions_and_none_fails(empty_world: World) -> None:
    """Titles come from the index here, and name its version."""
    world = empty_world
    await world.promote("v0")
    await world.store.put_movies([catalogue_movie(id_) for id_ in range(100, 105)])
    await world.watcher.refresh()
    await world.rate(USER, *range(100, 105))
    seen: set[str] = set()
    promoting = True

    async def ask() -> None:
        while promoting:
            answer = await world.get(USER, limit=5)
            version = answer["model_version"]
            assert answer["index"] == f"movies-{version}"
            assert {item["title"].rpartition(" of ")[2] for item in answer["items"]} == {version}
            seen.add(version)
            await asyncio.sleep(0)  # nothing else here waits for anything

    world.watcher.start()
    askers = [asyncio.create_task(ask()) for _ in range(8)]
    for number in range(1, 6):
        version = f"v{number}"
        await world.store.put_model(model_event(version))
        await until(lambda version=version: version in seen)
    promoting = False
    await asyncio.gather(*askers)
    assert seen >= {f"v{number}" for number in range(1, 6)}


async def test_an_old_model_is_closed_once_its_last_request_is_done(world: World) -> None:
    old = served(world)
    with old.use():
        with old.use():
            await world.promote("v2")
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not index_of(old).closed
    await until(lambda: index_of(old).closed)
    assert not index_of(served(world)).closed


async def test_a_damaged_model_leaves_the_old_one_and_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[str] = []

    def counting(event: ModelEvent) -> ServedModel:
        attempts.append(event.version)
        return load(event)

    monkeypatch.setattr(world.watcher._models, "_load", counting)
    failures = metrics.MODEL_FAILURES._value.get()
    await world.promote("bad1")
    assert served(world).event.version == "v1"
    assert metrics.MODEL_FAILURES._value.get() == failures + 1
    assert "bad1 cannot be served, v1 stays" in caplog.text

    await world.watcher.refresh()
    assert attempts == ["bad1"]  # not with every look
    monkeypatch.setattr(models.time, "monotonic", lambda: float("inf"))
    await world.watcher.refresh()
    assert attempts == ["bad1", "bad1"]
    await world.promote("v2")
    assert served(world).event.version == "v2"


async def test_an_unexpected_failure_to_load_is_survived_too(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: ModelEvent) -> ServedModel:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(world.watcher._models, "_load", broken)
    await world.promote("v2")
    assert served(world).event.version == "v1"
    assert "Traceback" in caplog.text


async def test_the_same_model_is_not_loaded_twice(world: World) -> None:
    model = served(world)
    await world.promote("v1")
    assert served(world) is model


async def test_the_watch_outlives_an_unreachable_store(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "api.serving.watcher")
    world.store.failing = True
    world.watcher.start()
    await until(lambda: "does not answer" in caplog.text)
    assert served(world).event.version == "v1"
    await world.store.put_model(model_event("v2"))
    world.store.failing = False
    await until(lambda: served(world).event.version == "v2")
    assert caplog.text.count("does not answer") == 1
    assert caplog.text.count("answers again") == 1


async def test_the_watch_outlives_a_bug(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = Store.model

    async def broken(self: Store) -> ModelEvent | None:
        monkeypatch.setattr(Store, "model", model)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Store, "model", broken)
    await world.store.put_model(model_event("v2"))
    world.watcher.start()
    await until(lambda: served(world).event.version == "v2")
    assert "a bug" in caplog.text


async def test_an_emptied_store_does_not_take_the_model_away(world: World) -> None:
    world.store.flush()
    await world.watcher.refresh()
    assert served(world).event.version == "v1"


async def test_stopping_closes_the_model(world: World) -> None:
    index = world.index
    await world.watcher.stop()
    assert index.closed
    assert world.watcher.current.model is None


async def test_new_movies_are_noticed(world: World) -> None:
    assert len(world.watcher.current.catalogue) == MOVIES
    await world.store.put_movies([catalogue_movie(MOVIES + 1)])
    await world.watcher.refresh()
    assert world.watcher.current.catalogue[MOVIES + 1].title == f"Movie {MOVIES + 1}"


async def test_a_look_takes_in_only_what_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But a model that is new looks at all of the catalogue."""
    looked: list[list[int]] = []
    lacking = Repertoire.lacking

    def noted(self: Repertoire, artifact: Artifact, movies: list[MovieEvent]) -> Later:
        looked.append([movie.movie_id for movie in movies])
        return lacking(self, artifact, movies)

    monkeypatch.setattr(Repertoire, "lacking", noted)
    before = world.watcher.current.catalogue
    await world.store.put_movies([catalogue_movie(MOVIES + 1), catalogue_movie(3, "Retitled")])
    await world.watcher.refresh()
    await world.watcher.refresh()
    now = world.watcher.current.catalogue
    assert looked == [[3, MOVIES + 1]]
    assert (now[3].title, now[4], len(now)) == ("Retitled", before[4], MOVIES + 1)
    assert (before[3].title, len(before)) == ("Movie 3", MOVIES)  # a request may still use it
    await world.promote("v2")
    assert looked[1:] == [[*range(1, MOVIES + 2)]]
    assert [movie.movie_id for movie in served(world).repertoire.later] == [MOVIES + 1]


async def test_the_catalogue_of_an_emptied_store_takes_the_place_of_the_one_before(
    world: World,
) -> None:
    world.store.flush()
    await world.store.put_movies([catalogue_movie(3, "Retitled"), catalogue_movie(9_000)])
    await world.watcher.refresh()
    assert {id_: it.title for id_, it in world.watcher.current.catalogue.items()} == {
        3: "Retitled",
        9_000: "Movie 9000",
    }


async def test_trending_leaves_out_movies_without_a_title(world: World) -> None:
    await world.store.put_movies([catalogue_movie(9_000)])
    await world.watcher.refresh()
    await world.rate(1, 9_000, 7)
    del world.store.movie_events[9_000]
    world.store.version += 1
    await world.watcher.refresh()
    assert [movie_id for movie_id, _ in world.watcher.current.trending] == [7]


async def test_what_a_failed_look_brought_is_in_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalogue, which is read before the heats."""
    await world.store.put_movies([catalogue_movie(9_000)])
    await world.watcher.refresh()
    await world.rate(1, 9_000)
    await world.watcher.refresh()
    assert [movie_id for movie_id, _ in world.watcher.current.trending] == [9_000]
    del world.store.movie_events[9_000]
    world.store.version += 1
    with monkeypatch.context() as patched:
        patched.setattr(Store, "position", unreachable)
        with pytest.raises(StoreUnavailable):
            await world.watcher.refresh()
    await world.watcher.refresh()
    assert world.watcher.current.trending == ()


async def test_a_watcher_that_never_started_stops(empty_world: World) -> None:
    with contextlib.closing(empty_world.log):
        await ServingWatcher(empty_world.store, load, 1).stop()


async def test_people_may_be_asked_about_once_it_is_known_what_is_trending(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the moment in between, when somebody new would get nothing."""
    await world.rate(1, 7)
    watcher = ServingWatcher(world.store, load, 1)
    before: list[int | None] = []

    def look(*given: Any) -> list[tuple[int, float]]:
        before.append(watcher.current.partitions)
        return trends(*given)

    monkeypatch.setattr("api.serving.watcher.trends", look)
    await watcher.refresh()
    assert before[0] is None
    assert watcher.current.partitions == PARTITIONS
    assert watcher.current.trending
    await watcher.stop()


@pytest.mark.parametrize("error", [IndexUnavailable("it is away"), RuntimeError("nobody knows")])
async def test_what_fails_for_later_movies_stops_no_promotion(
    empty_world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    world, loaded = empty_world, []

    def noted(event: ModelEvent) -> ServedModel:
        loaded.append(event.version)
        return load(event)

    world.watcher = ServingWatcher(world.store, noted, pause=0.001)
    await world.store.put_movies([catalogue_movie(MOVIES + 1)])
    with monkeypatch.context() as patched:
        patched.setattr(MemoryIndex, "upsert", fail)
        for version in ("v1", "v2"):
            await world.promote(version)
            await world.watcher.refresh()
            assert served(world).event.version == version
            assert served(world).behind
    assert loaded == ["v1", "v2"]
    await world.watcher.refresh()
    assert not served(world).behind
    assert [movie.movie_id for movie in served(world).repertoire.later] == [MOVIES + 1]
    await world.watcher.stop()


async def test_a_model_that_cannot_be_looked_through_is_closed_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[ServedModel] = []

    def noted(event: ModelEvent) -> ServedModel:
        loaded.append(load(event))
        return loaded[-1]

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(models, "RETRY", 0.0)
    monkeypatch.setattr(world.watcher._models, "_load", noted)
    with monkeypatch.context() as patched:
        patched.setattr("api.serving.watcher.trends", fail)
        with pytest.raises(ZeroDivisionError):
            await world.promote("v2")
    assert served(world).event.version == "v1"
    await until(lambda: index_of(loaded[0]).closed)
    assert not index_of(served(world)).closed
    await world.watcher.refresh()
    assert served(world) is loaded[1]
    assert served(world).event.version == "v2"
