"""A study of hyperparameters on disk, which processes on several machines may work on at once.

Three kinds of files in its directory:

    <name>.journal            Optuna's record of what was tried
    <name>.lock               held while a trial is begun or given up
    <name>.<worker>.working   held by a worker as long as it lives

The operating system lets go of a dead process's files. So whoever begins a trial can tell which of
those that still seem to run were abandoned, and marks them as failed: they keep their number and
what was tried, and another trial takes their place.
"""

import fcntl
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args
from uuid import uuid4

import numpy as np
import optuna
from optuna.distributions import distribution_to_json
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from stream.contracts.errors import ConfigurationError, FreshetError
from training.baselines.catalogue import create, hyperparameters
from training.flat import Value
from training.search_space import space

Objective: TypeAlias = Literal["offline", "prequential", "both"]
Pruning: TypeAlias = Literal["median", "hyperband", "none"]

# What a study maximises.
METRICS: Final[Mapping[str, str]] = {
    "offline": "offline NDCG@10",
    "prequential": "prequential hit@10",
}
OBJECTIVES: Final[Mapping[Objective, tuple[str, ...]]] = {
    "offline": ("offline",),
    "prequential": ("prequential",),
    "both": ("offline", "prequential"),
}

# Trials that say what is usual at an epoch, before any is given up.
STARTUP_TRIALS: Final = 5

WORKER: Final = "worker"  # attribute of a trial: who works on it
SECONDS: Final = "seconds"  # attribute of a trial: how long it took
_PLAN: Final = "plan"  # attribute of a study
_ID: Final = "id"  # attribute of a study: the same name may be given again


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a study is of: it goes on only with the same.

    Attributes:
        model: a name of `baselines.catalogue` that has a space.
        dataset: its name, such as ``ml-100k``.
        digest: `Ratings.digest` of it.
        objective: what is maximised; ``both`` asks for a Pareto front.
        settled: hyperparameters that are not searched, over those of the catalogue's entry.
        pruning: how a trial is given up that is worse after an epoch than others were. There is no
            such thing for two objectives: Optuna has no order of trials then.
        seed: of what is tried.

    Raises:
        ConfigurationError: there is no such objective or pruning, or nothing of the model is left
            to search.
    """

    model: str
    dataset: str
    digest: str = ""
    objective: Objective = "both"
    settled: Mapping[str, Value] = field(default_factory=dict)
    pruning: Pruning = "median"
    seed: int = 0

    def __post_init__(self) -> None:
        for what, given, there in (
            ("objective", self.objective, OBJECTIVES),
            ("pruning", self.pruning, get_args(Pruning)),
        ):
            if given not in there:
                raise ConfigurationError(f"no {what} {given!r}: there are {', '.join(there)}")
        space(self.model, self.settled)

    @property
    def defaults(self) -> dict[str, Value]:
        """All hyperparameters of the model where nothing is searched."""
        return hyperparameters(create(self.model, **self.settled))


class Study:
    """A study that is there, or is begun.

    The first trial is of the model's defaults: what is found is no worse than what there was.

    Args:
        directory: of its files; a directory that several machines share will do.
        name: of the study.
        plan: what it is of.

    Raises:
        ConfigurationError: the study there is of something else.
    """

    def __init__(self, directory: Path, name: str, plan: Plan) -> None:
        logging.getLogger("optuna").setLevel(logging.WARNING)  # it tells of each study it opens
        self.name = name
        self.plan = plan
        self.path = directory / f"{name}.journal"
        self._space = space(plan.model, plan.settled)
        directory.mkdir(parents=True, exist_ok=True)
        described = asdict(plan) | {
            "space": {name: distribution_to_json(some) for name, some in self._space.items()}
        }
        with self._locked():
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(self.path))),
                study_name=name,
                directions=["maximize"] * len(self.objectives),
                load_if_exists=True,
                pruner=_pruner(plan),
            )
            known = self._study.user_attrs.get(_PLAN)
            if known is None:
                self._study.set_user_attr(_ID, uuid4().hex)
                self._study.set_user_attr(_PLAN, described)
                self._study.enqueue_trial({name: plan.defaults[name] for name in self._space})
            elif known != described:
                raise ConfigurationError(_another(self.path, known, described))

    @property
    def id(self) -> str:
        """That no other study has."""
        return str(self._study.user_attrs[_ID])

    @property
    def objectives(self) -> tuple[str, ...]:
        """What each of a trial's values is of, a key of `METRICS`."""
        return OBJECTIVES[self.plan.objective]

    @property
    def trials(self) -> list[FrozenTrial]:
        """All that were begun, by number."""
        return [trial for trial in self._trials() if trial.state != TrialState.WAITING]

    @property
    def front(self) -> list[FrozenTrial]:
        """The best trial, or those of which none other is better in one and as good in the other.

        Raises:
            FreshetError: no trial was finished.
        """
        if not any(trial.state == TrialState.COMPLETE for trial in self._trials()):
            raise FreshetError(f"no trial of the study {self.path} was finished: let it go on")
        found = self._study.best_trials if len(self.objectives) > 1 else [self._study.best_trial]
        return sorted(found, key=lambda trial: (-trial.values[0], trial.number))

    def values(self, trial: FrozenTrial) -> dict[str, float]:
        """What a trial came to by objective; nothing of one that is not COMPLETE."""
        there = trial.state == TrialState.COMPLETE
        return dict(zip(self.objectives, trial.values, strict=True)) if there else {}

    def hyperparameters(self, trial: FrozenTrial) -> dict[str, Value]:
        """All of the model that was tried."""
        return {**self.plan.defaults, **trial.params}

    @contextmanager
    def worker(self) -> Iterator[str]:
        """Be one, under a name of one's own, until the end of the block or of the process."""
        name = uuid4().hex
        path = self._working(name)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield name
            finally:
                path.unlink()

    def begin(self, worker: str, trials: int) -> Trial | None:
        """The next trial, or None where so many run or are finished; failed ones do not count.

        What is tried depends on the seed, the trial's number and the trials before it alone: a
        study that was interrupted goes on as if it had not been.

        Args:
            worker: who will work on it.
            trials: of the study, in all.
        """
        with self._locked():
            self._fail_abandoned()
            if len([some for some in self.trials if some.state != TrialState.FAIL]) >= trials:
                return None
            seeds = np.random.SeedSequence([self.plan.seed, len(self.trials)])
            self._study.sampler = TPESampler(seed=int(seeds.generate_state(1)[0]))
            trial = self._study.ask(dict(self._space))
            trial.set_user_attr(WORKER, worker)
            return trial

    def finish(self, trial: Trial, values: list[float] | None, state: TrialState) -> None:
        """Tell how a trial went.

        Args:
            trial: as begun.
            values: by objective, of a trial that is COMPLETE; others have none.
            state: COMPLETE, PRUNED or FAIL.
        """
        began = trial.datetime_start
        assert began is not None  # Optuna sets it when a trial is begun
        trial.set_user_attr(SECONDS, round(time.time() - began.timestamp(), 1))
        self._study.tell(trial, values, state)

    def fail_abandoned(self) -> None:
        """Mark the trials of workers that are no more as failed."""
        with self._locked():
            self._fail_abandoned()

    def _fail_abandoned(self) -> None:
        for trial in self._trials():
            if trial.state == TrialState.RUNNING:
                worker = trial.user_attrs.get(WORKER)  # none: it died before it let go of the lock
                if worker is None or not _held(self._working(worker)):
                    self._study.tell(trial.number, state=TrialState.FAIL)
                    if worker is not None:
                        self._working(worker).unlink(missing_ok=True)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _working(self, worker: str) -> Path:
        return self.path.with_name(f"{self.name}.{worker}.working")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _held(path: Path) -> bool:
    """Whether a process that lives has locked the file."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _pruner(plan: Plan) -> BasePruner:
    if plan.pruning == "median":
        return MedianPruner(n_startup_trials=STARTUP_TRIALS)
    if plan.pruning == "hyperband":
        epochs = plan.defaults.get("max_epochs", "auto")
        return HyperbandPruner(max_resource=epochs)  # type: ignore[arg-type]
    return NopPruner()


def _another(path: Path, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    which = ", ".join(name for name in wanted if known.get(name) != wanted[name])
    return (
        f"the study {path} is of another {which}: give this one another name, or ask for the same"
    )
