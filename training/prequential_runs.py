"""The prequential protocol: models tuned, fitted, asked for every event to come, in each state.

Cut at two moments by time (`split.split_by_time`). A model's hyperparameters are those that do best
when it is fitted on what came before the first and asked, with fresh states, for what came up to
the second. With them it is fitted on all that came before the second, and asked for the rest.

What a `training.runs.Result` of it says, the metrics being ``hit_rate``, ``ndcg`` and ``mrr``: with
one movie to find, recall is the hit rate, precision that by k, and MAP is MRR.

- figures: ``<state>/<metric>@<k>``, means over lists; ``lists`` and ``users``, how many there were;
  ``fit_seconds``, ``peak_bytes`` and ``model_bytes`` as in `tuning.Fitted`; ``<state>/seconds`` for
  all lists.
- details: ``intervals``, of each mean [low, high] (`compare.CONFIDENCE`); ``since``, the training
  moment, and ``until``, the last event, in ms since the epoch; ``choices``, a list of one:
  ``hyperparameters`` that were chosen, ``trials`` that they were chosen from, each with
  ``hyperparameters``, ``value`` and ``seconds``; ``tuned_for``, what value is.
- users, lists: one element a question, in the order in which they were asked: ``<state>/rank``,
  ``age`` and ``day`` as in `prequential.Questions`. `values` makes metrics of ranks, `by_age` and
  `by_day` group them, `difference` compares states and models.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from stream.contracts.errors import ConfigurationError
from training import compare
from training.baselines.catalogue import described
from training.dataset import LIKED, Ratings
from training.metrics import Values, parse, ranking_of_one
from training.offline import KS, OnProgress, Stage
from training.prequential import STATES, Judge, Questions, State, ask, check_states
from training.runs import Question, Result, Runs
from training.split import TEST_SHARE, VALIDATION_SHARE, TimeSplit, split_by_time
from training.tower_inputs import Ints
from training.tuning import OPENMP_THREADS, fit, tune

METRICS: Final = ("hit_rate", "ndcg", "mrr")

# Lower bounds. Ages are of users in ratings, days are since the training moment.
AGES: Final = (0, 1, 3, 5, 10, 20, 50)
DAYS: Final = (0, 1, 2, 3, 7, 14, 30, 60, 90, 180, 365)


@dataclass(frozen=True)
class Protocol:
    """What is measured, and how.

    Attributes:
        states: side by side.
        ks: where lists are cut.
        relevant_from: half stars from which a rating is asked for.
        validation: the share of all ratings that hyperparameters are chosen by.
        test: the share after it, which is asked for.
        tuned_for: the metric by which they are chosen.
    """

    states: tuple[State, ...] = STATES
    ks: tuple[int, ...] = KS
    relevant_from: int = LIKED
    validation: float = VALIDATION_SHARE
    test: float = TEST_SHARE
    tuned_for: str = "ndcg@10"

    def __post_init__(self) -> None:
        check_states(self.states)
        check_metric(self.tuned_for)
        if not self.states or len(set(self.states)) < len(self.states):
            raise ConfigurationError(f"states {list(self.states)}: give one or more, none twice")
        if not self.ks or min(self.ks) < 1:
            raise ConfigurationError(f"lists cannot be cut at {list(self.ks)}: give 1 and up")
        if not 1 <= self.relevant_from <= 10:
            raise ConfigurationError(f"relevant from {self.relevant_from} half stars: give 1 to 10")
        if not (self.validation > 0 < self.test and self.validation + self.test < 1):
            raise ConfigurationError(
                f"shares of {self.validation} for validation and {self.test} for the test leave "
                "nothing of one part: give 0.1 and 0.1"
            )

    @property
    def figures(self) -> list[str]:
        """Names of the means that a result has in each state."""
        return [f"{metric}@{k}" for metric in METRICS for k in self.ks]

    def known(self, figures: Sequence[str]) -> list[str]:
        """The same names. Raises ConfigurationError that lists those there are."""
        for name in figures:
            if name not in self.figures:
                raise ConfigurationError(f"no figure {name!r}: there are {', '.join(self.figures)}")
        return list(figures)

    def question(self, dataset: str, ratings: Ratings, model: str) -> Question:
        """Of that model on those ratings; it also has what the model's tuning depends on."""
        settings = {
            "states": list(self.states),
            "ks": list(self.ks),
            "relevant_from": self.relevant_from,
            "validation": self.validation,
            "test": self.test,
            "tuned_for": self.tuned_for,
            **described(model),
        }
        return Question("prequential", dataset, ratings.digest, model, settings)


def evaluate(
    ratings: Ratings,
    dataset: str,
    models: Sequence[str],
    protocol: Protocol,
    runs: Runs,
    on_progress: OnProgress = lambda *_: None,
) -> list[Result]:
    """Measure models, except those that were measured before: as `offline.evaluate`.

    Raises:
        ConfigurationError: there is no such model.
        DatasetError: a part has nothing to train on, or nothing to ask for.
        FreshetError: a fit failed; the models before it are finished.
    """
    questions = [protocol.question(dataset, ratings, model) for model in models]
    split = split_by_time(ratings, protocol.validation, protocol.test)

    def measure(question: Question) -> Result:
        return _result(question, ratings, split, protocol, partial(on_progress, question.model))

    results = []
    for result in runs.answers(questions, measure):
        on_progress(result.question.model, "finished", 1, 1)
        results.append(result)
    return results


def check_metric(name: str) -> None:
    """Raises ConfigurationError that lists the metrics there are."""
    if name.partition("@")[0] not in METRICS:  # before those of other protocols are listed
        raise ConfigurationError(
            f"no metric {name!r} where one movie is to be found: give one of {', '.join(METRICS)}, "
            "and where to cut the list, such as ndcg@10"
        )
    parse(name)


def values(result: Result, state: State, metric: str) -> Values:
    """f64[n]: what each list of a result is worth, in the order of its questions.

    Raises:
        ConfigurationError: there is no such metric, or the result has no such state.
    """
    check_metric(metric)
    name = f"{state}/rank"
    if name not in result.lists:
        there = (key.partition("/")[0] for key in result.lists if key.endswith("/rank"))
        raise ConfigurationError(
            f"no state {state!r} in the result of {result.question.model}: there are "
            f"{', '.join(there)}"
        )
    return ranking_of_one(result.lists[name].astype(np.int64), [parse(metric)[1]])[metric]


class Group(NamedTuple):
    """The mean of the lists with first <= age or day < end; None: no end."""

    first: int
    end: int | None
    mean: compare.Mean


def by_age(result: Result, state: State, metric: str) -> list[Group]:
    """By how many ratings the user had given before. Raises as `values` does."""
    return _grouped(values(result, state, metric), result.users, result.lists["age"], AGES)


def by_day(result: Result, state: State, metric: str) -> list[Group]:
    """By whole days since the training moment, up to the last. Raises as `values` does."""
    days = result.lists["day"]
    bounds = [bound for bound in DAYS if bound <= days.max()]
    return _grouped(values(result, state, metric), result.users, days, bounds)


def difference(
    result: Result, state: State, base: Result, base_state: State, metric: str
) -> compare.Difference:
    """How much better one is than another on the same questions.

    Raises:
        ConfigurationError: as `values`, or they were not asked the same.
    """
    if not np.array_equal(result.users, base.users):
        raise ConfigurationError(
            f"{result.question.model} and {base.question.model} were not asked the same questions"
        )
    better, worse = values(result, state, metric), values(base, base_state, metric)
    return compare.difference(better, worse, result.users)


def _result(
    question: Question,
    ratings: Ratings,
    split: TimeSplit,
    protocol: Protocol,
    told: Callable[[Stage, int, int], None],
) -> Result:
    """Tune, fit and ask a model."""
    # Both raise where there is nothing to ask for: before the work, not after it.
    asked = Questions.of(ratings, split.test_from, protocol.relevant_from)
    known = asked.known
    judge = Judge(
        Questions.of(known, split.validation_from, protocol.relevant_from), protocol.tuned_for
    )

    choice = tune(question.model, ratings.take(split.train), judge, partial(told, "tuning"))
    told("fitting", 0, 1)
    fitted = fit(question.model, choice.hyperparameters, known)
    told("fitting", 1, 1)

    figures = {
        "lists": float(len(asked)),
        "users": float(len(np.unique(asked.users))),
        "fit_seconds": fitted.seconds,
        "peak_bytes": float(fitted.peak_bytes),
        "model_bytes": float(fitted.model_bytes),
    }
    intervals = {}
    lists = {"age": asked.ages.astype(np.float64), "day": asked.days.astype(np.float64)}
    for number, state in enumerate(protocol.states):

        def answered(done: int, of: int, before: int = number) -> None:
            told("asking", before * of + done, len(protocol.states) * of)

        began = time.perf_counter()
        with threadpool_limits(OPENMP_THREADS, "openmp"):
            places = ask(fitted.model, asked, state, answered)
        figures[f"{state}/seconds"] = time.perf_counter() - began
        lists[f"{state}/rank"] = places.astype(np.float64)
        of_lists = ranking_of_one(places, protocol.ks)
        for name in protocol.figures:
            mean = compare.mean(of_lists[name], asked.users).interval
            figures[f"{state}/{name}"] = mean.value
            intervals[f"{state}/{name}"] = [mean.low, mean.high]
    details = {
        "intervals": intervals,
        "since": split.test_from,
        "until": int(ratings.times.max()),
        "tuned_for": protocol.tuned_for,
        "choices": [
            {
                "hyperparameters": dict(choice.hyperparameters),
                "trials": [trial._asdict() for trial in choice.trials],
            }
        ],
    }
    return Result(question, figures, details, asked.users, lists)


def _grouped(of_lists: Values, users: Ints, numbers: Values, bounds: Sequence[int]) -> list[Group]:
    """One group from each bound up to the next; without lists its mean is NaN."""
    groups = []
    which = np.searchsorted(bounds, numbers, side="right") - 1
    for index, first in enumerate(bounds):
        some = which == index
        end = bounds[index + 1] if index + 1 < len(bounds) else None
        groups.append(Group(first, end, compare.mean(of_lists[some], users[some])))
    return groups
