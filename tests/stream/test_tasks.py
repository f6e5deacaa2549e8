"""Tasks that are told to end: they do, whatever keeps a cancellation to itself."""

import asyncio

import pytest

from stream.tasks import end


async def test_one_that_never_ends_by_itself() -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    await end(task)
    assert task.cancelled()


async def test_one_that_has_not_begun() -> None:
    async def never() -> None:
        pytest.fail("it began")

    task = asyncio.create_task(never())
    await end(task)
    assert task.cancelled()


async def test_one_that_lost_the_first_cancellations() -> None:
    lost = 0

    async def work() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
    assert lost == 3


async def test_what_one_ended_with_stays_in_it() -> None:
    async def fails() -> None:
        raise ValueError("told to fail")

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    await end(task)
    with pytest.raises(ValueError, match="told to fail"):
        task.result()
