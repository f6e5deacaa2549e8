"""The offline protocol: fitted on one part of the ratings, asked for what is in another.

Every model gets the same chance: its hyperparameters are those that do best on the validation part
when fitted on the training part (`training.tuning`), and with them it is fitted anew on both and
asked for the test part. A model that has `liked_from` is told that what is relevant here is liked:
on MovieLens 100K, with all ratings relevant, EASE has an NDCG@10 of 0.44 when it learns from all,
and of 0.40 when it learns from those of 4 stars and up.

Lists are of movies that the user's history does not have. A k larger than the catalogue, or than
what a user has left, is no error: the places that stay empty are misses.

What a `training.runs.Result` of it says, the metrics being those of `metrics.RANKING` and of
`training.diversity`:

- figures: ``<metric>@<k>``, means over lists, or of all lists together; ``rmse`` and ``mae``, in
  stars over held-out ratings, of models that predict them; how many ``lists``, ``users`` and
  ``held_out`` ratings there were; ``fit_seconds`` of the last fit, ``ask_seconds`` for all lists,
  ``peak_bytes`` and ``model_bytes`` as in `tuning.Fitted`. Of several folds: means of seconds, the
  most of bytes, sums of counts.
- details: ``intervals``, [low, high] of each figure that has them (`compare.CONFIDENCE`);
  ``tuned_for``, the metric by which hyperparameters were chosen; ``choices``, one a fold:
  ``hyperparameters`` that were chosen, and ``trials``, each with ``hyperparameters``, ``value``
  (of rmse: -rmse) and ``seconds``.
- users, lists: a value a list under the metrics' names, and three more: ``held_out``, how many
  ratings were, and their mean ``squared_error`` and ``absolute_error`` in stars, if predicted.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from stream.contracts.errors import ConfigurationError
from training import compare, diversity
from training.baselines.catalogue import described, entry
from training.dataset import Ratings
from training.exam import RMSE, Exam
from training.metrics import RANKING, Values, parse
from training.runs import Question, Result, Runs
from training.split import SPLITS, TEST, VALIDATION, Random, Split
from training.task import task
from training.tower_inputs import Ints
from training.tuning import Choice, Fitted, fit, tune

RETRIEVED: Final = 300  # candidates that a second stage orders
KS: Final = (5, 10, 20, 50, RETRIEVED)
ERRORS: Final = ("squared_error", "absolute_error")  # of a list, where less is better
MAE: Final = "mae"
BESIDE: Final = ("intra_list_diversity", "novelty", "serendipity", "coverage", "gini")
Stage: TypeAlias = Literal["tuning", "fitting", "asking", "finished"]

# Told the model, the stage, and how many of how many steps of it are done.
OnProgress: TypeAlias = Callable[[str, Stage, int, int], None]


@dataclass(frozen=True)
class Protocol:
    """What is measured, and how.

    Attributes:
        split: what is held out.
        ks: where lists are cut.
        relevant_from: half stars from which a held-out rating is to be found: 1 is all of them,
            `dataset.LIKED` those that were liked.
        tuned_for: the metric by which hyperparameters are chosen, except those of a model whose
            entry says ``rmse``.
    """

    split: Split = field(default_factory=Random)
    ks: tuple[int, ...] = KS
    relevant_from: int = 1
    tuned_for: str = "ndcg@10"

    def __post_init__(self) -> None:
        parse(self.tuned_for)
        if not self.ks or min(self.ks) < 1:
            raise ConfigurationError(f"lists cannot be cut at {list(self.ks)}: give 1 and up")
        if not 1 <= self.relevant_from <= 10:
            raise ConfigurationError(f"relevant from {self.relevant_from} half stars: give 1 to 10")

    @property
    def figures(self) -> tuple[str, ...]:
        """All that say how good a model is, by name; errors only of models that predict ratings."""
        at_k = (f"{name}@{k}" for name in (*RANKING, *BESIDE) for k in self.ks)
        return (*at_k, RMSE, MAE)

    def known(self, figures: Sequence[str]) -> Sequence[str]:
        """Those figures. Raises ConfigurationError that lists the ones there are."""
        for name in figures:
            if name not in self.figures:
                raise ConfigurationError(f"no figure {name!r}: there are {', '.join(self.figures)}")
        return figures

    def question(self, dataset: str, ratings: Ratings, model: str) -> Question:
        """Of that model on those ratings; it also has what the model's tuning depends on."""
        kind = next(name for name, split in SPLITS.items() if split is type(self.split))
        settings = {
            "split": {"kind": kind, **asdict(self.split)},  # type: ignore[call-overload]
            "ks": list(self.ks),
            "relevant_from": self.relevant_from,
            "tuned_for": RMSE if entry(model).tuned_for == RMSE else self.tuned_for,
            **described(model),
        }
        return Question("offline", dataset, ratings.digest, model, settings)


def evaluate(
    ratings: Ratings,
    dataset: str,
    models: Sequence[str],
    protocol: Protocol,
    runs: Runs,
    on_progress: OnProgress = lambda *_: None,
) -> list[Result]:
    """Measure models, except those that were measured before.

    Each is on disk when it is finished, so an interrupted run goes on after the last of them.

    Args:
        ratings: of the data set.
        dataset: its name.
        models: names of `baselines.catalogue`.
        protocol: how.
        runs: where results are kept.
        on_progress: told how far each model has got.

    Raises:
        ConfigurationError: there is no such model.
        DatasetError: the split leaves nothing to train on, or nobody to ask.
        FreshetError: a fit failed; the models before it are finished.
    """
    questions = [protocol.question(dataset, ratings, model) for model in models]
    exams: list[_Exams] = []
    results = []

    def measure(question: Question) -> Result:
        if not exams:  # splitting is for nothing where all was measured before
            exams.extend(_exams(ratings, protocol))
        told = partial(on_progress, question.model)
        return _result(question, exams, len(ratings.movies), told)

    for result in runs.answers(questions, measure):
        on_progress(result.question.model, "finished", 1, 1)
        results.append(result)
    return results


def compared(
    results: Sequence[Result], reference: str, metrics: Sequence[str]
) -> dict[str, dict[str, compare.Difference]]:
    """By model and metric: how much better than the reference, on the same lists.

    Args:
        results: of one protocol on one data set.
        reference: a model among them; it is not compared with itself.
        metrics: names of `Result.lists`; what either model does not have is left out, as are
            figures of all lists together. Of `ERRORS` less is better, and every rating counts.

    Raises:
        ConfigurationError: the reference is not among the results.
    """
    by_model = {result.question.model: result for result in results}
    if reference not in by_model:
        raise ConfigurationError(
            f"nothing to compare with: {reference!r} is not among {', '.join(by_model)}"
        )
    base = by_model.pop(reference)
    return {
        model: {
            name: _difference(result, base, name)
            for name in metrics
            if name in result.lists and name in base.lists
        }
        for model, result in by_model.items()
    }


class _Exams(NamedTuple):
    """One fold's: for the choice of hyperparameters, and for the figures."""

    validation: Exam
    test: Exam


@dataclass(frozen=True)
class _Answers:
    """What came of one fold.

    Attributes:
        choice: of hyperparameters.
        fitted: the model's cost.
        seconds: that its lists took.
        users: i64[B].
        lists: i64[B, places].
        values: f64[B] by metric.
    """

    choice: Choice
    fitted: Fitted
    seconds: float
    users: Ints
    lists: Ints
    values: Mapping[str, Values]


def _exams(ratings: Ratings, protocol: Protocol) -> list[_Exams]:
    exams = []
    for parts in protocol.split.parts(ratings):
        tasks = (task(ratings, parts, held) for held in (VALIDATION, TEST))
        exams.append(_Exams(*(Exam(some, protocol.ks, protocol.relevant_from) for some in tasks)))
    return exams


def _result(
    question: Question,
    exams: Sequence[_Exams],
    movies: int,
    told: Callable[[Stage, int, int], None],
) -> Result:
    ks, tuned_for = question.settings["ks"], question.settings["tuned_for"]
    folds = [_answers(question.model, tuned_for, exam, told) for exam in exams]
    users = np.concatenate([fold.users for fold in folds])
    values = {
        name: np.concatenate([fold.values[name] for fold in folds]) for name in folds[0].values
    }
    figures, intervals = _figures(values, users)
    figures |= diversity.of_all(np.concatenate([fold.lists for fold in folds]), movies, ks)
    figures |= {
        "lists": len(users),
        "users": len(np.unique(users)),
        "held_out": float(values["held_out"].sum()),
        "fit_seconds": float(np.mean([fold.fitted.seconds for fold in folds])),
        "ask_seconds": float(np.mean([fold.seconds for fold in folds])),
        "peak_bytes": max(fold.fitted.peak_bytes for fold in folds),
        "model_bytes": max(fold.fitted.model_bytes for fold in folds),
    }
    choices = [
        {
            "hyperparameters": dict(fold.choice.hyperparameters),
            "trials": [trial._asdict() for trial in fold.choice.trials],
        }
        for fold in folds
    ]
    details = {"intervals": intervals, "tuned_for": tuned_for, "choices": choices}
    return Result(question, figures, details, users, values)


def _answers(
    model: str, tuned_for: str, exams: _Exams, told: Callable[[Stage, int, int], None]
) -> _Answers:
    validation, test = exams
    choice = tune(
        model,
        validation.task.train,
        lambda candidate: validation.value(candidate, tuned_for),
        partial(told, "tuning"),
        {"liked_from": test.relevant_from},
    )
    told("fitting", 0, 1)
    fitted = fit(model, choice.hyperparameters, test.task.train)
    began = time.perf_counter()
    lists = test.lists(fitted.model, max(test.ks), partial(told, "asking"))
    seconds = time.perf_counter() - began
    values = test.values(fitted.model, lists)
    return _Answers(choice, fitted, seconds, test.task.asked.users, lists, values)


def _figures(
    values: Mapping[str, Values], users: Ints
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Means over lists, errors over ratings; and the ends of their intervals."""
    found = {name: _mean(values, users, name) for name in values if name != "held_out"}
    for error, figure, back in (("squared_error", RMSE, np.sqrt), ("absolute_error", MAE, abs)):
        if error in found:
            found[figure] = compare.Interval(*(float(back(end)) for end in found.pop(error)))
    figures = {name: interval.value for name, interval in found.items()}
    return figures, {name: (interval.low, interval.high) for name, interval in found.items()}


def _mean(values: Mapping[str, Values], users: Ints, name: str) -> compare.Interval:
    counts = _counts(values, name)
    return compare.mean(np.repeat(values[name], counts), np.repeat(users, counts)).interval


def _difference(result: Result, base: Result, name: str) -> compare.Difference:
    counts = _counts(base.lists, name)
    model, baseline = (np.repeat(some.lists[name], counts) for some in (result, base))
    return compare.difference(model, baseline, np.repeat(base.users, counts))


def _counts(values: Mapping[str, Values], name: str) -> Ints:
    """i64[B]: how often each list counts: errors count by rating."""
    counts = values["held_out"].astype(np.int64)
    return counts if name in ERRORS else np.ones_like(counts)
