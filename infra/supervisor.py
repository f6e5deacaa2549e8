"""Child processes that are started, watched, restarted when they die, and stopped in time."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from infra import tether
from stream.contracts.errors import FreshetError, Unavailable

# Seconds between a child's death and its restart: almost at once after a stray kill, slower and
# slower for one that cannot run, which would otherwise fill its log and a core.
FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 30.0
_DOUBLINGS: Final = 10  # until the longest delay, and more: thousands are no number of seconds
STABLE_AFTER: Final = 20.0  # seconds of life after which a death counts as the first one again

WATCH_INTERVAL: Final = 0.05  # seconds between looks at the children, each of which is one waitpid
PROBE_INTERVAL: Final = 0.1  # seconds between questions to a child that is not ready yet
LOG_TAIL: Final = 15  # lines of a failed child's log that go into the error


@dataclass(frozen=True, slots=True)
class Service:
    """What to run.

    Attributes:
        name: unique; the log file is `<name>.log`.
        command: program and arguments.
        address: where it answers, for people.
        ready: returns once it serves, raises FreshetError while it does not; runs on a thread.
        env: environment variables on top of this process's.
        stop_signal: what makes it end soonest without losing anything.
        needs: services without whose memory this one's is worthless: when one of them dies, this
            one is ended too and starts again once that is ready.
    """

    name: str
    command: Sequence[str]
    address: str
    ready: Callable[[], None]
    env: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    needs: tuple[str, ...] = ()


class Child:
    """A service's process, the current one of a series."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self.log = log
        self.restarts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_process: subprocess.Popen[bytes] | None = None  # the last that became ready
        self.unready = "it has not started yet"  # what the last probe said
        self.deaths = 0  # in a row, without a stable time between
        self.started_at = 0.0  # monotonic
        self.due: float | None = 0.0  # when to start it, monotonic; None: it runs, or stays down

    @property
    def pid(self) -> int:
        """Of the running or the last process; 0 before the first."""
        return self.process.pid if self.process else 0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether the process that runs now has become ready."""
        return self.alive and self.ready_process is self.process

    @property
    def failed(self) -> bool:
        """Whether it ended before it was ever ready, and stays down."""
        return self.process is not None and not self.alive and self.ready_process is None

    def kill(self) -> None:
        """Kill -9, as a fault would; the supervisor restarts it. Returns when it is dead."""
        if self.process:
            self.process.kill()
            self.process.wait()


class Supervisor:
    """Runs services until it is closed, at the latest until this process dies.

    One thread does every fork, because a tethered child dies with the thread that forked it.

    Args:
        logs: directory of a log file for each service, emptied at its first start.
        say: gets a line for people when a child dies or is back.
    """

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self._children: dict[str, Child] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        logs.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, *services: Service, timeout: float) -> None:
        """Start services side by side and wait until all are ready.

        Raises Unavailable, with the end of the log, where one ends before it was ready or is not
        ready within `timeout` seconds. A service that was ready once is restarted when it dies.
        """
        with self._changed:
            for service in services:
                log = self._logs / f"{service.name}.log"
                log.write_bytes(b"")
                self._children[service.name] = Child(service, log)
            self._changed.notify_all()
        self.wait_ready(*(service.name for service in services), timeout=timeout)

    def wait_ready(self, *names: str, timeout: float) -> None:
        """Return once all these are ready; raises Unavailable as `start` does."""
        deadline = time.monotonic() + timeout
        with self._changed:
            children = [self._children[name] for name in names]
            while waiting := [child for child in children if not child.ready]:
                # Who ended may be what another one waits for.
                if ended := [child for child in waiting if child.failed]:
                    raise _failure(dict.fromkeys(ended, "ended before it was ready"))
                if not self._changed.wait(deadline - time.monotonic()):
                    late = f"was not ready within {timeout:g} s"
                    raise _failure({child: f"{late}: {child.unready}" for child in waiting})

    def child(self, name: str) -> Child:
        return self._children[name]

    def children(self) -> list[Child]:
        return list(self._children.values())

    def stop(self, names: Iterable[str], timeout: float) -> None:
        """End these services for good: ask, and after `timeout` seconds in all kill."""
        deadline = time.monotonic() + timeout
        with self._changed:
            children = [self._children.pop(name) for name in names]
        running = [child.process for child in children if child.process]
        for child in children:
            if child.process:
                child.process.send_signal(child.service.stop_signal)
        for process in running:
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def close(self) -> None:
        """Kill whatever still runs and end."""
        self.stop(list(self._children), timeout=0)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                for child in self._children.values():
                    self._tend(child)
                self._changed.wait(WATCH_INTERVAL)

    def _tend(self, child: Child) -> None:
        now = time.monotonic()
        if child.due is not None:
            if now >= child.due and all(self._children[n].ready for n in child.service.needs):
                try:
                    self._spawn(child)
                except OSError as error:  # no process or no file left: perhaps later
                    self._restart_later(child, f"could not be started ({error})")
        elif child.failed:
            self._changed.notify_all()  # for `wait_ready` to say so
        elif child.process and (status := child.process.poll()) is not None:
            if now - child.started_at > STABLE_AFTER:
                child.deaths = 0
            self._restart_later(child, f"died ({_status(status)})")
            for dependent in self._children.values():
                if child.service.name in dependent.service.needs and dependent.alive:
                    dependent.kill()

    def _restart_later(self, child: Child, what: str) -> None:
        delay = min(FIRST_DELAY * 2.0 ** min(child.deaths, _DOUBLINGS), LONGEST_DELAY)
        child.deaths += 1
        child.due = time.monotonic() + delay
        self._say(f"{child.service.name} {what}; restarting it in {delay:g} s, log: {child.log}")

    def _spawn(self, child: Child) -> None:
        with child.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-IS", tether.__file__, str(os.getpid()), *child.service.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **child.service.env},
                start_new_session=True,  # a Ctrl-C at the terminal is for us to pass on, in order
            )
        child.restarts += child.process is not None
        child.process = process
        child.started_at = time.monotonic()
        child.due = None
        threading.Thread(target=self._probe, args=(child, process), daemon=True).start()

    def _probe(self, child: Child, process: "subprocess.Popen[bytes]") -> None:
        while process.poll() is None:
            try:
                child.service.ready()
            except FreshetError as error:
                child.unready = str(error)
                time.sleep(PROBE_INTERVAL)
            else:
                with self._changed:
                    child.ready_process = process
                    self._changed.notify_all()
                if child.restarts:
                    self._say(f"{child.service.name} is back, process {process.pid}")
                return


def _failure(failed: Mapping[Child, str]) -> Unavailable:
    """What is wrong with each, with the end of its log."""
    lines = []
    for child, what in failed.items():
        lines.append(f"{child.service.name} {what}; the end of its log, {child.log}:")
        tail = child.log.read_text(errors="replace").splitlines()[-LOG_TAIL:]
        lines += [f"  {line}" for line in tail]
    return Unavailable("\n".join(lines))


def _status(code: int) -> str:
    return f"exit status {code}" if code >= 0 else signal.Signals(-code).name
