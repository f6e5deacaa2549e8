"""Kept answers: of which model, for how long, and of movies that are still known."""

import asyncio
import copy
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from api import metrics
from api.lists import cache
from api.lists.cache import AnswerCache
from api.lists.kept_list import KeptList
from stream.contracts.errors import StoreUnavailable
from tests.api.conftest import World

USER = 42


@pytest.fixture(autouse=True)
def written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "GATHERED", 0)


async def ask(world: World) -> dict[str, Any]:
    """What is worth keeping is kept by the time that this returns."""
    answer = await world.get(USER)
    await world.services.recommender.close()
    return answer


@pytest.mark.parametrize("field", ["version", "artifact", "collection"])
def test_every_part_of_a_promotion_is_in_an_answers_name(world: World, field: str) -> None:
    serving = world.watcher.current
    assert serving.model is not None
    other = copy.copy(serving.model)
    other.event = msgspec.structs.replace(other.event, **{field: "another"})
    answers = AnswerCache(world.store, seconds=60)
    names = {
        answers.name(replace(serving, model=model), b"question", 10)
        for model in (serving.model, other)
    }
    assert len(names) == 2


async def test_where_none_is_to_be_kept_none_is_looked_for(world: World) -> None:
    world.services.recommender._cache = AnswerCache(world.store, seconds=0)
    await world.rate(USER, 200)
    before = metrics.CACHE.labels("bypass")._value.get()
    await ask(world)
    assert metrics.CACHE.labels("bypass")._value.get() == before + 1


async def test_one_of_a_movie_that_nobody_knows_any_more_is_made_anew(world: World) -> None:
    await world.rate(USER, 200)
    listed = (await ask(world))["items"]
    for values in world.store.kept_values.values():
        for name, (expires, value) in values.items():
            kept = KeptList.decode(value)
            assert kept is not None
            movie_ids = np.array([2**32 - 1, *kept.ids()[1:]], "<u4").tobytes()
            values[name] = expires, msgspec.structs.replace(kept, movie_ids=movie_ids).encode()
    answer = await ask(world)
    assert not answer["cached"]
    assert answer["items"] == listed


async def test_every_answer_that_cannot_be_kept_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(things: Any) -> list[bool]:
        raise StoreUnavailable("it is told to be full")

    monkeypatch.setattr(cache, "GATHERED", 0.02)  # s: both are written at once
    monkeypatch.setattr(world.store, "keep", full)
    await world.rate(USER, 200)
    before = metrics.CACHE_FAILURES._value.get()
    await asyncio.gather(world.get(USER), world.get(USER, limit=3))
    await world.services.recommender.close()
    assert metrics.CACHE_FAILURES._value.get() == before + 2
