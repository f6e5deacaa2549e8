"""Children are restarted when they die, stopped in time, and never outlive their parent."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from infra.supervisor import Service, Supervisor
from stream.contracts.errors import Unavailable

DEADLINE = 30.0  # seconds; what is waited for takes a fraction of one

SLEEPER = "import time; time.sleep(600)"


def eventually(holds: Callable[[], bool]) -> None:
    Retrying(
        retry=retry_if_result(lambda held: not held),
        wait=wait_fixed(0.02),
        stop=stop_after_delay(DEADLINE),
    )(holds)


def service(name: str, code: str = SLEEPER, **options: object) -> Service:
    return Service(
        name=name,
        command=[sys.executable, "-c", textwrap.dedent(code)],
        address="nowhere",
        **{"ready": lambda: None, **options},  # type: ignore[arg-type]
    )


class Sayings(list[str]):
    def has(self, *parts: str) -> bool:
        return any(all(part in said for part in parts) for said in self)


@pytest.fixture
def sayings() -> Sayings:
    return Sayings()


@pytest.fixture
def supervisor(tmp_path: Path, sayings: Sayings) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "logs", sayings.append) as running:
        yield running


def test_a_killed_child_is_restarted(supervisor: Supervisor, sayings: Sayings) -> None:
    supervisor.start(service("one"), timeout=DEADLINE)
    child = supervisor.child("one")
    first = child.pid
    child.kill()
    assert not psutil.pid_exists(first)
    assert not child.ready
    supervisor.wait_ready("one", timeout=DEADLINE)
    assert child.pid != first
    assert psutil.pid_exists(child.pid)
    assert child.restarts == 1
    assert sayings.has("one died (SIGKILL)", "one.log")
    eventually(lambda: sayings.has(f"one is back, process {child.pid}"))


def test_a_child_that_keeps_dying_is_restarted_more_and_more_slowly(
    supervisor: Supervisor, sayings: Sayings, tmp_path: Path
) -> None:
    up, seen = tmp_path / "up", tmp_path / "seen"

    def ready() -> None:
        if not up.exists():
            raise Unavailable("not up")

    code = f"""
        import pathlib, sys, time
        pathlib.Path({str(up)!r}).touch()
        while not pathlib.Path({str(seen)!r}).exists():
            time.sleep(0.01)
        sys.exit(3)
    """
    supervisor.start(service("weak", code, ready=ready), timeout=DEADLINE)
    seen.touch()
    for delay in ("0.2 s", "0.4 s", "0.8 s"):
        eventually(lambda delay=delay: sayings.has("weak died (exit status 3)", delay))  # type: ignore[misc]


def test_a_child_that_died_for_days_is_restarted_all_the_same(
    supervisor: Supervisor, sayings: Sayings
) -> None:
    supervisor.start(service("one"), timeout=DEADLINE)
    child = supervisor.child("one")
    child.deaths = 5_000
    child.kill()
    eventually(lambda: sayings.has("one died (SIGKILL)", "restarting it in 30 s"))


def test_a_child_that_ends_before_it_is_ready_stays_down(supervisor: Supervisor) -> None:
    def never() -> None:
        raise Unavailable("not yet")

    code = "import sys; sys.exit('no such file: catalogue')"
    with pytest.raises(Unavailable, match=r"(?s)broken ended before.*no such file: catalogue"):
        supervisor.start(service("broken", code, ready=never), timeout=DEADLINE)
    assert supervisor.child("broken").restarts == 0


def test_a_child_that_is_never_ready_is_reported_with_its_reason(supervisor: Supervisor) -> None:
    def never() -> None:
        raise Unavailable("no partitions are assigned")

    with pytest.raises(Unavailable, match=r"slow was not ready.*no partitions are assigned"):
        supervisor.start(service("slow", ready=never), timeout=1.0)


def test_who_ends_is_named_although_another_waits_for_it(supervisor: Supervisor) -> None:
    """As an API waits for the worker to give it state, which is started after it."""

    def never() -> None:
        raise Unavailable("no state yet")

    code = "import sys; sys.exit('no broker')"
    with pytest.raises(Unavailable, match=r"(?s)^worker ended before it was ready.*no broker$"):
        supervisor.start(
            service("api", ready=never), service("worker", code, ready=never), timeout=DEADLINE
        )


def test_all_that_are_not_ready_in_time_are_named(supervisor: Supervisor) -> None:
    def never() -> None:
        raise Unavailable("no state yet")

    with pytest.raises(Unavailable, match=r"(?s)^api was not.*no state yet.*\nworker was not"):
        supervisor.start(service("api", ready=never), service("worker", ready=never), timeout=1.0)


def test_dependents_start_again_after_what_they_need(supervisor: Supervisor) -> None:
    order: list[str] = []
    supervisor.start(service("server", ready=lambda: order.append("server")), timeout=DEADLINE)
    supervisor.start(
        service("client", ready=lambda: order.append("client"), needs=("server",)),
        timeout=DEADLINE,
    )
    supervisor.child("server").kill()
    eventually(lambda: supervisor.child("client").restarts == 1)
    supervisor.wait_ready("server", "client", timeout=DEADLINE)
    assert order == ["server", "client", "server", "client"]


def test_stop_asks_first_and_kills_whoever_does_not_listen(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    polite = f"""
        import pathlib, signal, sys
        def end(*_):
            pathlib.Path({str(tmp_path / "asked")!r}).touch()
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        pathlib.Path({str(tmp_path / "polite")!r}).touch()
        signal.pause()
    """
    deaf = f"""
        import pathlib, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pathlib.Path({str(tmp_path / "deaf")!r}).touch()
        while True:
            signal.pause()
    """
    supervisor.start(service("polite", polite), service("deaf", deaf), timeout=DEADLINE)
    eventually(lambda: (tmp_path / "polite").exists() and (tmp_path / "deaf").exists())
    pids = [child.pid for child in supervisor.children()]
    supervisor.stop(["polite", "deaf"], timeout=1.0)
    assert (tmp_path / "asked").exists()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert supervisor.children() == []


def test_no_child_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = f"""
        import signal, sys
        from pathlib import Path
        from infra.supervisor import Service, Supervisor

        sleeper = [sys.executable, "-c", {SLEEPER!r}]
        services = [Service(str(i), sleeper, "nowhere", lambda: None) for i in range(3)]
        supervisor = Supervisor(Path({str(tmp_path)!r}), print)
        supervisor.start(*services, timeout=30)
        print(*(child.pid for child in supervisor.children()), flush=True)
        signal.pause()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 3
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))
