"""A few heavy requests at once; the others wait for a place, and are told when none gets free."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest

from api.heavy import Heavy
from api.lists.deadline import Deadline, DeadlinePassed
from api.main import create_app
from tests.api.conftest import World

PAIR = {"user_id": 42, "movie_id": 3}
HEAVY = {
    "predict/batch": {"pairs": [PAIR]},
    "predict/sensitivity": PAIR,
    "recommendations/group": {"user_ids": [42, 43]},
    "recommendations/taste-profile": {"liked": [3]},
}
GIFT = "/api/v1/recommendations/gift/42?for=43"
SOON = 0.02  # s: what does not come is given up then
ENOUGH = 0.3  # s in which even a busy machine begins
LONG = 10.0  # s: longer than anything takes here


@pytest.fixture
def late() -> Iterator[threading.Event]:
    """What a thread waits for that is to be late; it ends with the test."""
    over = threading.Event()
    yield over
    over.set()


async def held(heavy: Heavy, until: asyncio.Event) -> None:
    async with heavy.request():
        await until.wait()


async def begun(*works: Any) -> list["asyncio.Task[None]"]:
    tasks = [asyncio.create_task(work) for work in works]
    await asyncio.sleep(0)
    return tasks


class TestPlaces:
    async def test_whoever_comes_first_is_first(self) -> None:
        heavy, over, order = Heavy(patience=LONG, places=1), asyncio.Event(), []

        async def ask(name: int) -> None:
            async with heavy.request():
                order.append(name)
                await asyncio.sleep(0)

        tasks = await begun(held(heavy, over), ask(1), ask(2), ask(3))
        assert order == []
        over.set()
        await asyncio.gather(*tasks)
        assert order == [1, 2, 3]

    async def test_one_that_fails_leaves_its_place(self) -> None:
        heavy = Heavy(patience=LONG, places=1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with heavy.request():
                    raise ZeroDivisionError
            with pytest.raises(ZeroDivisionError):
                await heavy.run(lambda: 1 / 0, Deadline.after(LONG))
        assert await heavy.run(lambda: 5, Deadline.after(LONG)) == 5

    async def test_who_gives_up_waiting_takes_no_place(self) -> None:
        heavy, over = Heavy(patience=LONG, places=1), asyncio.Event()
        tasks = await begun(held(heavy, over))
        for _ in range(3):
            with pytest.raises(DeadlinePassed):
                await heavy.run(lambda: 5, Deadline.after(SOON))
        [waiting] = await begun(heavy.request().__aenter__())
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        over.set()
        await asyncio.gather(*tasks)
        assert await heavy.run(lambda: 5, Deadline.after(LONG)) == 5

    async def test_what_is_late_keeps_its_place_to_its_end(self, late: threading.Event) -> None:
        heavy = Heavy(patience=LONG, places=1)
        with pytest.raises(DeadlinePassed):
            await heavy.run(partial(late.wait, LONG), Deadline.after(ENOUGH))
        with pytest.raises(DeadlinePassed):
            await heavy.run(lambda: 5, Deadline.after(SOON))
        late.set()
        assert await heavy.run(lambda: 5, Deadline.after(LONG)) == 5


class TestOverHttp:
    async def test_without_a_place_they_are_told_to_come_again(self, world: World) -> None:
        heavy, over = Heavy(patience=SOON, places=1), asyncio.Event()
        holder = await begun(held(heavy, over))
        app = create_app(replace(world.services, heavy=heavy))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:

            async def ask() -> list[httpx.Response]:
                asked = [client.post(f"/api/v1/{path}", json=body) for path, body in HEAVY.items()]
                return [*await asyncio.gather(*asked), await client.get(GIFT)]

            for answer in await ask():
                assert answer.status_code == 503
                assert answer.json()["type"] == "urn:freshet:busy"
                assert answer.headers["Retry-After"] == "1"
            for path in ("recommendations/42", "movies/3", "trending"):
                assert (await client.get(f"/api/v1/{path}")).status_code == 200
            assert (await client.post("/api/v1/predict/rating", json=PAIR)).status_code == 200
            over.set()
            await asyncio.gather(*holder)
            heavy._patience = LONG
            for path, body in HEAVY.items():
                assert (await client.post(f"/api/v1/{path}", json=body)).status_code == 200
            assert (await client.get(GIFT)).status_code == 200
