"""Runs refreshes where they disturb nobody: one at a time, each in a process of its own.

The process has a low priority and one thread, its memory is given back when it ends, and where it
is killed the scheduler goes on.
"""

import logging
import os
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from stream.contracts.errors import ConfigurationError, FreshetError

if TYPE_CHECKING:  # its modules import torch, which only the process that trains needs
    from infra.settings import Settings
    from training.gate_policy import GatePolicy
    from training.refresh import Report

LEASE: Final = "refresh"

# Added to the niceness of a refresh: beside what serves it has a tenth of a core that both want,
# and all of what nobody wants.
NICENESS: Final = 10

# Read by the libraries when they are loaded. A second thread would take a second core from what
# serves, and make these small products of matrices no faster.
ONE_THREAD: Final = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "RAYON")
} | {"POLARS_MAX_THREADS": "1"}


P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants of a refresh.

    Attributes:
        min_events: new events below which there is nothing to do.
        cold: train from nothing.
        config: an experiment; None: the default one.
        gate: a TOML file of `training.gate_policy.GatePolicy`; None: the default one.
        drifted_events: new events that are enough where what is served has drifted; None: drift is
            not looked at, which takes half a minute.
    """

    min_events: int
    cold: bool = False
    config: Path | None = None
    gate: Path | None = None
    drifted_events: int | None = None


def refresh(settings: "Settings", order: Order) -> "Report":
    """Refresh once, in this process.

    Raises:
        Busy: another one is at it.
        FreshetError: as `training.refresh.Refresh.run`.
    """
    from datetime import timedelta

    from api.schemas.common import MAX_LIMIT
    from api.serving.models import POPULAR
    from api.serving.watcher import TRENDING
    from infra.commands.models import promoter
    from stream.archive import Archive
    from stream.lease import Lease
    from training.experiment import Experiment
    from training.live_steps import LiveSteps, Shown
    from training.refresh import Refresh, RefreshPolicy
    from training.refresh_work import Work

    experiment = Experiment.load(order.config) if order.config else Experiment()
    steps = LiveSteps(
        promoter=promoter(settings),
        archive=Archive.open(settings.archive),
        experiment=experiment.running({"threads": 1, "side_by_side": False}),
        shown=Shown(TRENDING, POPULAR, MAX_LIMIT),
        keep=timedelta(days=settings.model_retention_days),
    )
    work = Work(settings.home / "refresh", settings.artifacts)
    gate = gate_policy(order.gate)
    with Lease(settings.redis(), f"{settings.kafka_topic_prefix}{LEASE}") as lease:
        enough, drift = events_needed(settings, order)
        policy = RefreshPolicy(min_events=enough, cold=order.cold, gate=gate)
        report = Refresh(steps, work, policy).run(lease)
    report.remarks[:0] = drift
    return report


def events_needed(settings: "Settings", order: Order) -> tuple[int, tuple[str, ...]]:
    """How many new events a refresh needs now, and in words what has drifted. Raises FreshetError.

    Drift makes it come sooner, never without news: where the gate refuses what was made of these
    events, there is nothing to do until there are as many more.
    """
    if order.drifted_events is None:
        return order.min_events, ()
    from infra.commands.drift import drifted

    drift = drifted(settings)
    return min(order.min_events, order.drifted_events) if drift else order.min_events, drift


def check(settings: "Settings", order: Order) -> None:
    """Raises ConfigurationError where a refresh could not even begin."""
    settings.librdkafka()
    settings.redis()
    gate_policy(order.gate)
    if order.config is not None:
        from training.experiment import Experiment  # it takes seconds to import

        Experiment.load(order.config)


def gate_policy(path: Path | None) -> "GatePolicy":
    """What a challenger must show, from a TOML file of some of its fields.

    Raises:
        ConfigurationError: it cannot be read, or has a key that there is not, or a value that no
            policy can have.
    """
    from training.flat import parse
    from training.gate_policy import GatePolicy

    if path is None:
        return GatePolicy()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # of which those of UTF-8 and of TOML are two
        raise ConfigurationError(f"{path} cannot be read as TOML: {error}") from error
    return parse(GatePolicy, values, f"{path}:")


def apart(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, done in a process of its own that gives way to others.

    Raises:
        FreshetError: the process was killed. Whatever `work` raises, too.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), _give_way) as pool:
        try:
            with _environment(ONE_THREAD):  # the process begins with it, and nobody else has it
                doing = pool.submit(work, *args, **kwargs)
            return doing.result()
        except BrokenProcessPool as error:
            raise FreshetError(
                "the process that refreshed was killed, perhaps for lack of memory: what was "
                "served is served, and the next run cleans up"
            ) from error


def repeat(
    run: Callable[[], None],
    seconds: float,
    wait: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Do it now and every so many seconds, until `run` or `wait` raises.

    What takes longer is done again at once, and what was missed is not made up for. The clock must
    be one that nobody sets: with the time of day, a jump would let refreshes stand still for hours,
    or come one after the other.
    """
    due = clock()
    while True:
        run()
        due = max(due + seconds, clock())
        wait(due - clock())


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These are set within, and as they were afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _give_way() -> None:
    os.nice(NICENESS)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
