"""Fitting a model in a process of its own, and choosing its hyperparameters on a validation split.

In its own process a fit's memory is its own, and one that is killed for lack of it takes nothing
else along. What is learnt does not depend on it.
"""

import os
import pickle
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from threadpoolctl import threadpool_limits

from stream.contracts.errors import FreshetError
from training.baselines import catalogue
from training.baselines.catalogue import create, entry
from training.dataset import Ratings
from training.flat import Value
from training.recommender import OnProgress, Recommender, asked_with, when_asked

Hyperparameters: TypeAlias = Mapping[str, Value]

# What models may use; torch's threads are of this kind. They wait for each other by spinning, which
# makes a fit several times slower wherever something else runs too.
OPENMP_THREADS: Final = 1


@dataclass(frozen=True)
class Fitted:
    """A fitted model and what that took.

    Attributes:
        model: fitted.
        seconds: of the fit alone.
        peak_bytes: the most memory that the process had in use by the end of the fit, interpreter,
            libraries and ratings included.
        model_bytes: of the model, serialised.
    """

    model: Recommender
    seconds: float
    peak_bytes: int
    model_bytes: int


class Trial(NamedTuple):
    """One combination of hyperparameters, and what the judge thought of it.

    Attributes:
        hyperparameters: with what was given.
        value: higher is better.
        seconds: of its fit, which may have served other combinations too.
    """

    hyperparameters: Hyperparameters
    value: float
    seconds: float


class Choice(NamedTuple):
    """The best combination with what was given, and all tried, in order; none if none are tuned."""

    hyperparameters: Hyperparameters
    trials: tuple[Trial, ...]


def fit(name: str, hyperparameters: Hyperparameters, train: Ratings) -> Fitted:
    """Fit a model of the catalogue, in a process of its own.

    Args:
        name: of `baselines.catalogue`.
        hyperparameters: over those of its entry.
        train: all that it may know.

    Raises:
        ConfigurationError: there is no such model.
        FreshetError: the fit raised it, or its process was killed.
    """
    with _fitting(name, train) as fitted:
        return fitted(hyperparameters)


def tune(
    name: str,
    train: Ratings,
    judge: Callable[[Recommender], float],
    on_progress: OnProgress = lambda *_: None,
    given: Hyperparameters = MappingProxyType({}),
) -> Choice:
    """Try all combinations of the model's `space`; of equals, the first one is chosen.

    One fit serves all combinations that differ only in what a fit does not look at.

    Args:
        name: of `baselines.catalogue`.
        train: what to fit on, without anything that the judge asks for.
        judge: says how good a fitted model is, higher is better.
        on_progress: told how many combinations are done.
        given: hyperparameters over those of its entry, less those that this model does not have
            and those that are in its space.

    Raises:
        ConfigurationError: there is no such model.
        FreshetError: a fit raised it, or its process was killed.
    """
    space = entry(name).space
    model = create(name)
    has, late = catalogue.hyperparameters(model), when_asked(model)
    base = {key: value for key, value in given.items() if key in has}
    if not space:
        return Choice(base, ())
    combinations = [
        {**base, **dict(zip(space, values, strict=True))} for values in product(*space.values())
    ]
    served = defaultdict(list)  # by one fit: places of combinations
    for place, combination in enumerate(combinations):
        served[tuple(value for key, value in combination.items() if key not in late)].append(place)
    trials: dict[int, Trial] = {}
    on_progress(0, len(combinations))
    with _fitting(name, train) as fitted:
        for places in served.values():
            found = fitted(combinations[places[0]])
            for place in places:
                tried = combinations[place]
                asked = asked_with(found.model, **{key: tried[key] for key in late & tried.keys()})
                trials[place] = Trial(tried, judge(asked), found.seconds)
                on_progress(len(trials), len(combinations))
    in_order = tuple(trials[place] for place in range(len(combinations)))
    best = max(in_order, key=lambda trial: trial.value)
    return Choice(best.hyperparameters, in_order)


@contextmanager
def _fitting(name: str, train: Ratings) -> Iterator[Callable[[Hyperparameters], Fitted]]:
    """Fits of one model on the same ratings, one after another in the same process."""
    spawn = get_context("spawn")  # a fork would begin with this process's memory and threads
    with ProcessPoolExecutor(1, spawn, initializer=_start, initargs=(train,)) as pool:

        def fitted(hyperparameters: Hyperparameters) -> Fitted:
            model = create(name, **hyperparameters)
            try:
                content, seconds, peak = pool.submit(_fit, model).result()
            except BrokenProcessPool as error:
                raise FreshetError(
                    f"the process that fitted {name} with {dict(hyperparameters)} on {len(train)} "
                    "ratings was killed: most likely it needs more memory than there is"
                ) from error
            return Fitted(pickle.loads(content), seconds, peak, len(content))

        yield fitted


_train: Ratings  # in the process that fits


def _start(train: Ratings) -> None:
    global _train
    _train = train
    Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Else this process would go on, or wait for ever, when its parent is killed. In a thread."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _fit(model: Recommender) -> tuple[bytes, float, int]:
    """The model fitted and pickled, the seconds that the fit took, and the peak memory."""
    with threadpool_limits(OPENMP_THREADS, "openmp"):
        began = time.perf_counter()
        model.fit(_train)
        seconds = time.perf_counter() - began
    peak = _peak_bytes()
    return pickle.dumps(model, pickle.HIGHEST_PROTOCOL), seconds, peak


def _peak_bytes() -> int:
    """The most memory that this process has had resident.

    Where the kernel counts it for the program that runs, it is asked: `getrusage` also remembers
    the process that this one was forked from.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
