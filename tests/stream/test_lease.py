"""A lease in a real Redis: one holder at a time, and none for longer than it renews it."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis
from tenacity import Retrying, retry_if_not_result, stop_after_delay, wait_fixed

from infra import services
from infra.supervisor import Supervisor
from stream.contracts import keys
from stream.contracts.errors import Busy, StoreUnavailable
from stream.lease import Lease

# Seconds. A renewal is asked for in a third of it, and answered in a sixth, on a busy machine too.
BRIEF = 1.5
DEADLINE = 60.0  # seconds

KEY = keys.lease("work")


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis[bytes]"]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def eventually(ask: Callable[[], object]) -> None:
    waiting = Retrying(
        retry=retry_if_not_result(bool), wait=wait_fixed(0.01), stop=stop_after_delay(DEADLINE)
    )
    waiting(ask)


def test_one_holds_it_until_it_is_released(redis_url: str) -> None:
    with Lease(redis_url, "work") as first:
        assert first.held
        first.check()
        with (
            pytest.raises(Busy, match="another process holds the lease `work`"),
            Lease(redis_url, "work"),
        ):
            pass
        with Lease(redis_url, "other work") as other:
            assert other.held
    assert not first.held
    with pytest.raises(Busy, match="was lost"):
        first.check()
    with Lease(redis_url, "work") as second:
        assert second.held


def test_it_is_released_where_the_work_fails(redis_url: str) -> None:
    with pytest.raises(ZeroDivisionError), Lease(redis_url, "work"):
        raise ZeroDivisionError
    with Lease(redis_url, "work") as second:
        assert second.held


def test_it_is_renewed_for_as_long_as_it_is_held(
    redis_url: str, client: "redis.Redis[bytes]"
) -> None:
    def left() -> int:
        return int(client.pttl(KEY))

    with Lease(redis_url, "work", BRIEF) as lease:
        client.pexpire(KEY, 60_000)  # a renewal makes it shorter, and so shows
        eventually(lambda: 0 < left() <= BRIEF * 1000)
        assert lease.held


def test_a_holder_that_is_gone_lets_others_in(redis_url: str, client: "redis.Redis[bytes]") -> None:
    client.set(KEY, b"of a process that was killed", px=int(BRIEF * 1000))

    def taken() -> bool:
        try:
            with Lease(redis_url, "work") as lease:
                return lease.held
        except Busy:
            return False

    eventually(taken)


def test_once_lost_it_stays_lost(redis_url: str, client: "redis.Redis[bytes]") -> None:
    with Lease(redis_url, "work", BRIEF) as lease:
        client.set(KEY, b"another")
        eventually(lambda: not lease.held)
        client.delete(KEY)
        with Lease(redis_url, "work"):
            assert not lease.held
    assert client.get(KEY) is None


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="Linux's clocks")
def test_a_machine_that_was_suspended_has_lost_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of sleep is in one clock alone."""
    asleep = {time.CLOCK_BOOTTIME: 0.0}
    clock = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda it: clock(it) + asleep.get(it, 0.0))
    with Lease(redis_url, "work", 60.0) as lease:
        assert lease.held
        asleep[time.CLOCK_BOOTTIME] = 3_600.0
        with pytest.raises(Busy, match="was lost"):
            lease.check()


def test_what_another_holds_is_not_released(redis_url: str, client: "redis.Redis[bytes]") -> None:
    with Lease(redis_url, "work"):
        client.set(KEY, b"another")
    assert client.get(KEY) == b"another"


def test_asking_twice_is_the_same_as_once(redis_url: str, client: "redis.Redis[bytes]") -> None:
    """redis-py sends a command again where the answer was lost."""
    lease = Lease(redis_url, "work")
    assert lease._ask(lease._take)
    assert lease._ask(lease._take)
    assert lease.held


@pytest.fixture
def own_redis(servers: Supervisor) -> Iterator[tuple[str, int]]:
    """URL and process id of a Redis that nobody else uses."""
    service = services.valkey(services.free_port(), data=None)
    servers.start(replace(service, name="lease-redis"), timeout=DEADLINE)
    pid = servers.child("lease-redis").pid
    yield service.address, pid
    os.kill(pid, signal.SIGCONT)


def test_a_redis_that_hangs_ends_it_in_time(own_redis: tuple[str, int]) -> None:
    url, pid = own_redis
    with Lease(url, "work", BRIEF) as lease:
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: not lease.held)


def test_a_redis_that_is_not_there() -> None:
    with (
        pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1.*FRESHET_REDIS_URL"),
        Lease("redis://127.0.0.1:1", "work"),
    ):
        pass
    assert not [it for it in threading.enumerate() if it.name == "lease work"]
