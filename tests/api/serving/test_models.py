"""Which models are at hand: the one that serves and the one before it, and never a third."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.serving import models
from api.serving.models import Models, ServedModel
from stream.contracts.events import ModelEvent
from tests.api.conftest import load, model_event
from tests.api.doubles import MemoryIndex

KEEP = 600.0

_numbers = count()


def promotion(version: str) -> ModelEvent:
    """Of a version, unlike every other promotion of it."""
    return msgspec.structs.replace(model_event(version), event_id=f"promotion-{next(_numbers)}")


class Loading:
    """Counts what is loaded, and what of it is open.

    Attributes:
        loaded: versions, one after the other.
        most: how many were open at once.
    """

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.most = 0
        self._all: list[ServedModel] = []

    def __call__(self, event: ModelEvent) -> ServedModel:
        model = load(event)
        self._all.append(model)
        self.loaded.append(event.version)
        self.most = max(self.most, len(self.open()))
        return model

    def open(self) -> set[str]:
        return {model.event.version for model in self._all if not closed(model)}


def closed(model: ServedModel) -> bool:
    assert isinstance(model.index, MemoryIndex)
    return model.index.closed


async def serve(at_hand: Models, version: str) -> ServedModel | None:
    event = promotion(version)
    assert at_hand.is_new(event)
    model = await at_hand.find(event)
    if model is not None:
        at_hand.put_first(model, event)
        assert not at_hand.is_new(event)
    return model


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What time it is: one number, to be changed."""
    now = [1_000.0]
    with monkeypatch.context() as patched:
        patched.setattr(models.time, "monotonic", lambda: now[0])
        yield now


async def test_a_rollback_loads_nothing() -> None:
    loading = Loading()
    at_hand = Models(loading, KEEP)
    first = await serve(at_hand, "v1")
    second = await serve(at_hand, "v2")
    assert await serve(at_hand, "v1") is first
    assert await serve(at_hand, "v2") is second
    assert await serve(at_hand, "v2") is second  # announced again
    assert await serve(at_hand, "v1") is first
    assert loading.loaded == ["v1", "v2"]
    await at_hand.close()
    assert loading.open() == set()


async def test_the_same_version_from_another_place_is_loaded() -> None:
    at_hand = Models(Loading(), KEEP)
    first = await serve(at_hand, "v1")
    moved = msgspec.structs.replace(promotion("v1"), artifact="elsewhere")
    assert await at_hand.find(moved) is not first


async def test_the_model_before_is_let_go_of_in_time(clock: list[float]) -> None:
    loading = Loading()
    at_hand = Models(loading, KEEP)
    for version in ("v1", "v2"):
        await serve(at_hand, version)
    clock[0] += KEEP - 1
    at_hand.let_go_if_due()
    assert loading.open() == {"v1", "v2"}
    clock[0] += 1
    at_hand.let_go_if_due()
    await at_hand.close()
    assert await serve(at_hand, "v1") is not None
    assert loading.loaded == ["v1", "v2", "v1"]


async def test_what_cannot_be_loaded_is_told_and_tried_again(clock: list[float]) -> None:
    at_hand = Models(Loading(), KEEP)
    assert at_hand.refused == ""
    first, bad = await serve(at_hand, "v1"), promotion("bad")
    assert await at_hand.find(bad) is None
    assert at_hand.refused == "bad cannot be served: artifacts/bad is told to be damaged"
    assert not at_hand.is_new(bad)
    clock[0] += models.RETRY
    assert at_hand.is_new(bad)
    assert await serve(at_hand, "v1") is first
    assert at_hand.refused == ""


async def test_a_third_waits_for_the_last_request_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def at_once(call: Callable[..., Any], *arguments: object) -> Any:
        return call(*arguments)

    monkeypatch.setattr(models.asyncio, "to_thread", at_once)
    loading = Loading()
    at_hand = Models(loading, KEEP)
    first = await serve(at_hand, "v1")
    await serve(at_hand, "v2")
    assert first is not None
    with first.use():
        third = asyncio.create_task(serve(at_hand, "v3"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert loading.loaded == ["v1", "v2"]
        assert not closed(first)
    await third
    assert loading.open() == {"v2", "v3"}


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "bad"]), max_size=30), st.booleans())
def test_whatever_is_promoted_there_are_at_most_two(promoted: list[str], keep: bool) -> None:
    loading = Loading()

    async def all_of_them() -> None:
        at_hand, expected = Models(loading, KEEP if keep else 0.0), None
        serving: ServedModel | None = None
        for version in promoted:
            serving = await serve(at_hand, version) or serving
            expected = version if version != "bad" else expected
            assert (serving.event.version if serving else None) == expected
            assert serving is None or not closed(serving)
        await at_hand.close()

    asyncio.run(all_of_them())
    assert loading.most <= 2
    assert loading.open() == set()
