"""What it is worth to renew the models: a log replayed in event time, and refreshes.

Three ways to serve are asked the same questions, those of `training.prequential` from a moment on:

- ``refreshed``: fresh states, and the model of the last refresh, which knows what was before it;
- ``first``: fresh states, and the model of the first moment, which observes what happens;
- ``frozen``: states and model of the first moment.

Each refresh begins from the weights of the one before it, as the real one does, and is taken as it
comes: no gate keeps it from serving.

What a `training.runs.Result` of it says:

- figures: ``<way>/<name>`` of FIGURES, means over lists; ``lists``, ``users``, ``refreshes``: how
  many there were; ``first_seconds`` that the first model took, ``refresh_seconds`` that a refresh
  took on average, ``seconds`` that all of it took.
- details: ``intervals`` of the means; ``since`` and ``until``, ms since the epoch.
- users, lists: one element a question: ``<way>/rank``, and ``period``, how many times a refresh was
  due since the first moment.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from threadpoolctl import threadpool_limits

from stream.features import DAY
from training import compare
from training.baselines.catalogue import described
from training.config import Config
from training.dataset import NO_TAGS, Ratings
from training.epochs import train_until_best
from training.metrics import Values, parse, ranking_of_one
from training.options import RunOptions
from training.prequential import Questions, State, ask
from training.prequential_runs import Group
from training.runs import Question, Result, Runs
from training.scorer import TowerScorer
from training.split import TEST_SHARE, split_by_time
from training.tower_inputs import Ints
from training.tuning import OPENMP_THREADS
from training.two_stage import TwoStage
from training.warm_start import Start, TowerWeights

Way: TypeAlias = Literal["refreshed", "first", "frozen"]
WAYS: Final[tuple[Way, ...]] = get_args(Way)

K: Final = 10  # where lists are cut
FIGURES: Final = (f"hit_rate@{K}", f"ndcg@{K}")
MAX_EPOCHS: Final = 12  # of the first model, trained until it is best
MODEL: Final = "two-stage"

# Told how many of how many periods are done.
OnProgress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """What is replayed, and how models are renewed.

    Attributes:
        share: of the ratings, the latest ones, that are replayed: unless told those that
            `prequential_runs` asks for, so its figures of the model stand beside these.
        days: between two refreshes.
        epochs: of a refresh; the first model is trained until it is best.
        seed: of everything random.
    """

    share: float = TEST_SHARE
    days: int = 7
    epochs: int = 1
    seed: int = 0

    def options(self, epochs: int = MAX_EPOCHS) -> RunOptions:
        """How to train, on one core."""
        return RunOptions(max_epochs=epochs, seed=self.seed, side_by_side=False)


def question(dataset: str, ratings: Ratings, plan: Plan) -> Question:
    """Of a data set."""
    settings = {**asdict(plan), **described(MODEL)}
    return Question("renewal", dataset, ratings.digest, MODEL, settings)


def evaluate(
    ratings: Ratings,
    dataset: str,
    plan: Plan,
    runs: Runs,
    on_progress: OnProgress = lambda *_: None,
) -> Result:
    """Replay what was not replayed before.

    Raises:
        DatasetError: there is nothing to train on, or nothing to ask for.
    """
    asked = question(dataset, ratings, plan)
    [result] = runs.answers([asked], lambda one: _replayed(one, ratings, plan, on_progress))
    return result


def train(known: Ratings, options: RunOptions, start: Start | None) -> tuple[TwoStage, Start]:
    """A model as `pipeline.train` makes it, without its files, and what the next begins from.

    Args:
        known: all that it may know.
        options: how to run.
        start: what it begins from; None: from nothing.

    Raises:
        DatasetError: there is too little to learn from.
    """
    split = split_by_time(known)
    trained = train_until_best(known, split, Config(), options, start=start)
    model = TwoStage(seed=options.seed)
    model.learn(known.take(split.train), TowerScorer(trained.measured))
    until_test = np.flatnonzero(known.times < split.test_from)
    model.weigh(known.take(until_test), split.validation_from)
    model.learn(known, TowerScorer(trained.final))
    measured, final = (
        TowerWeights.of(towers, known) for towers in (trained.measured, trained.final)
    )
    return model, Start(measured, final, split.validation_from)


def values(result: Result, way: Way, metric: str) -> Values:
    """f64[n]: what each list is worth, in the order of the questions."""
    places = result.lists[f"{way}/rank"].astype(np.int64)
    return ranking_of_one(places, [parse(metric)[1]])[metric]


def difference(result: Result, way: Way, base: Way, metric: str) -> compare.Difference:
    """How much better one way is than another."""
    better, worse = (values(result, one, metric) for one in (way, base))
    return compare.difference(better, worse, result.users)


def by_period(result: Result, way: Way, metric: str, together: int) -> list[Group]:
    """By periods between two refreshes, so many together."""
    of_lists, numbers = values(result, way, metric), result.lists["period"] // together
    groups = []
    for number in range(int(numbers.max()) + 1):
        some = numbers == number
        mean = compare.mean(of_lists[some], result.users[some])
        groups.append(Group(number * together, (number + 1) * together, mean))
    return groups


def _replayed(asked: Question, ratings: Ratings, plan: Plan, on_progress: OnProgress) -> Result:
    log = replace(ratings, tags=NO_TAGS)  # looking them through at each refresh would take longer
    since = split_by_time(log, test=plan.share).test_from
    questions = Questions.of(log, since)
    started = time.monotonic()
    periods = questions.days // plan.days
    first, start = train(questions.known, plan.options(), None)
    first_seconds = time.monotonic() - started

    model, refreshes, refreshed = first, [], np.empty(len(questions), np.int64)
    last = int(periods.max())
    for number in range(last + 1):
        moment = since + number * plan.days * DAY
        known = log.take(np.flatnonzero(log.times < moment))
        if known.times.max() >= max(since, moment - plan.days * DAY):  # there is something new
            began = time.monotonic()
            model, start = train(known, plan.options(plan.epochs), start)
            refreshes.append(time.monotonic() - began)
        some = periods == number
        if some.any():
            refreshed[some] = _ask(model, Questions(log, moment, questions.events[some]), "fresh")
        on_progress(number + 1, last + 1)

    ranks: dict[Way, Ints] = {
        "refreshed": refreshed,
        "first": _ask(first, questions, "fresh"),
        "frozen": _ask(first, questions, "frozen"),
    }
    figures = {
        "lists": float(len(questions)),
        "users": float(len(np.unique(questions.users))),
        "first_seconds": first_seconds,
        "refreshes": float(len(refreshes)),
        "refresh_seconds": float(np.mean(refreshes)) if refreshes else np.nan,
        "seconds": time.monotonic() - started,
    }
    intervals = {}
    for way, places in ranks.items():
        of_lists = ranking_of_one(places, [K])
        for name in FIGURES:
            found = compare.mean(of_lists[name], questions.users).interval
            figures[f"{way}/{name}"] = found.value
            intervals[f"{way}/{name}"] = [found.low, found.high]
    details = {"intervals": intervals, "since": since, "until": int(log.times.max())}
    lists = {f"{way}/rank": places.astype(np.float64) for way, places in ranks.items()}
    lists["period"] = periods.astype(np.float64)
    return Result(asked, figures, details, questions.users, lists)


def _ask(model: TwoStage, questions: Questions, state: State) -> Ints:
    with threadpool_limits(OPENMP_THREADS, "openmp"):
        return ask(model, questions, state)
