"""A search for hyperparameters: workers in processes of their own, on one study."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Final, TypeAlias

from optuna import TrialPruned
from optuna.trial import FrozenTrial, Trial, TrialState
from threadpoolctl import threadpool_limits

from stream.contracts.errors import ConfigurationError, FreshetError
from training.baselines.catalogue import create
from training.dataset import Ratings
from training.judges import JUDGES, Judge
from training.recommender import FitsInEpochs, Recommender
from training.study import Plan, Study
from training.tuning import OPENMP_THREADS, end_with_parent

# Told all trials of the study so far: each second, and at the end.
OnTrials: TypeAlias = Callable[[Sequence[FrozenTrial]], None]

# Workers killed in a row before the search gives up: one may be bad luck, several have a reason.
MOST_KILLED: Final = 3

_WATCH: Final = 1.0  # s between two looks at the study
_TOLD: Final = 3  # status of a worker that ended with an error of ours, and has sent it


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is tried, as opposed to what.

    Attributes:
        trials: of the study in all, those before included; failed ones do not count.
        workers: processes at once on this machine.
        timeout: s after which no trial begins; those that run are finished.
    """

    trials: int = 50
    workers: int = 1
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.trials < 1 or self.workers < 1:
            raise ConfigurationError(
                f"{self.trials} trials by {self.workers} workers: give 1 of each at least"
            )


def search(
    directory: Path,
    name: str,
    plan: Plan,
    ratings: Ratings,
    effort: Effort,
    on_trials: OnTrials = lambda _: None,
) -> Study:
    """Let a study go on until it has so many trials. It is begun where there is none.

    Each worker asks the study for a trial, fits and judges, and tells. One that is killed is
    replaced; its trial is marked as failed. Interrupted in any way, the same call goes on.

    Args:
        directory: of the study.
        name: of the study.
        plan: what it is of.
        ratings: of the data set, the test parts included; no worker gets these.
        effort: how much.
        on_trials: told how far it has got.

    Raises:
        ConfigurationError: the study there is of something else, or the plan is wrong.
        DatasetError: too little data for one of the validation parts.
        FreshetError: a trial raised it, or workers were killed again and again.
    """
    study = Study(directory, name, plan)
    judges = [JUDGES[objective](ratings) for objective in study.objectives]
    end = time.monotonic() + effort.timeout if effort.timeout is not None else None
    arguments = (directory, name, plan, judges, effort.trials, end)
    with _workers(study) as workers:
        for _ in range(effort.workers):
            workers.append(_Worker.start(arguments))
        killed = 0
        while workers:
            wait([worker.process.sentinel for worker in workers], _WATCH)
            for worker in [some for some in workers if not some.process.is_alive()]:
                workers.remove(worker)
                killed = killed + 1 if worker.killed() else 0
                if killed:
                    workers.append(_Worker.start(arguments))
            if killed >= MOST_KILLED:
                raise FreshetError(
                    f"{killed} workers in a row were killed: most likely a trial of {plan.model} "
                    f"on {len(ratings)} ratings needs more memory than there is"
                )
            on_trials(study.trials)
    on_trials(study.trials)
    return study


def attempt(plan: Plan, judges: Sequence[Judge], trial: Trial) -> list[float]:
    """Fit and judge what the trial says, for each judge anew.

    With one judge, models that are fitted in epochs are judged after each.

    Raises:
        TrialPruned: after an epoch it is so much worse than others that it is given up.
        FreshetError: the fit raised it.
    """
    values = []
    for judge in judges:
        model = create(plan.model, **{**plan.settled, **trial.params})
        if isinstance(model, FitsInEpochs) and len(judges) == 1:
            model.fit_epochs(judge.train, partial(_report, trial, judge, model))
        else:
            model.fit(judge.train)
        values.append(judge(model))
    return values


def work(study: Study, judges: Sequence[Judge], trials: int, end: float | None = None) -> None:
    """Try what the study says until it has so many trials, or until a time of the monotonic clock.

    Raises:
        FreshetError: a fit raised it; the trial is marked as failed.
    """
    with study.worker() as worker, threadpool_limits(OPENMP_THREADS, "openmp"):
        while end is None or time.monotonic() < end:
            trial = study.begin(worker, trials)
            if trial is None:
                return
            try:
                study.finish(trial, attempt(study.plan, judges, trial), TrialState.COMPLETE)
            except TrialPruned:
                study.finish(trial, None, TrialState.PRUNED)
            except Exception:
                study.finish(trial, None, TrialState.FAIL)
                raise


def _report(trial: Trial, judge: Judge, model: Recommender, epoch: int) -> None:
    trial.report(judge(model), epoch)
    if trial.should_prune():
        raise TrialPruned


@dataclass(frozen=True)
class _Worker:
    """A process that works, and where it says what went wrong."""

    process: BaseProcess
    errors: Connection

    @classmethod
    def start(cls, arguments: tuple[object, ...]) -> "_Worker":
        spawn = get_context("spawn")  # a fork would begin with this process's memory and threads
        errors, tell = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_work, args=(tell, *arguments), daemon=True)
        process.start()
        tell.close()
        return cls(process, errors)

    def killed(self) -> bool:
        """Whether it was, having ended. Raises what ended it otherwise."""
        status = self.process.exitcode or 0
        if status == _TOLD:
            raise self.errors.recv()
        if status > 0:
            raise FreshetError(f"a worker ended with status {status}, as it says above")
        return status < 0


@contextmanager
def _workers(study: Study) -> Iterator[list[_Worker]]:
    """Those that run. What still runs at the end is stopped, and its trials marked as failed."""
    workers: list[_Worker] = []
    try:
        yield workers
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()
        study.fail_abandoned()


def _work(
    errors: Connection,
    directory: Path,
    name: str,
    plan: Plan,
    judges: Sequence[Judge],
    trials: int,
    end: float | None,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    Thread(target=end_with_parent, daemon=True).start()
    try:
        work(Study(directory, name, plan), judges, trials, end)
    except FreshetError as error:
        errors.send(error)
        sys.exit(_TOLD)
