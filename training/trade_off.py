"""What diversification costs and gives: one fitted model, asked with trade-offs side by side.

Asked on validation parts: what a trade-off is chosen by must not be what is reported.

What a `training.runs.Result` of it says:

- figures: ``<trade-off>/<name>`` of each name of `FIGURES`, means over lists, coverage of all.
- users, lists: the same names, a value a list; without coverage.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from training import compare, diversity
from training.baselines.catalogue import described
from training.compare import Interval
from training.dataset import Ratings
from training.diversity import Background
from training.judges import Offline, Prequential
from training.metrics import Judged, Values, judge, metric
from training.offline import OnProgress
from training.prequential import Questions, at_their_time
from training.recommender import Recommender, asked_with, recommend
from training.runs import Question, Result, Runs
from training.tables import Cell, called
from training.tower_inputs import Ints
from training.tuning import OPENMP_THREADS, Hyperparameters, fit

MODEL: Final = "two-stage"
SERVED: Final = "diversity"  # its hyperparameter that is the trade-off
TRADE_OFFS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
K: Final = 10  # where lists are cut
ACCURACY: Final = (f"ndcg@{K}", f"hit_rate@{K}")
BESIDE: Final = (
    f"intra_list_diversity@{K}",
    f"genre_entropy@{K}",
    f"coverage@{K}",
    f"novelty@{K}",
)
OBJECTIVES: Final[Mapping[str, Hyperparameters]] = {
    "random": {"objective": "rest"},
    "next": {"objective": "next"},
}
FIGURES: Final = (*ACCURACY, *BESIDE)
COLUMNS: Final = ("trade-off", *map(called, FIGURES))
MAX_LISTS: Final = 2_500  # of next movies; where there are more, evenly spaced ones stand for all


# What the ways of asking are called.
TITLES: Final = {
    "random": "a random part, all ratings relevant",
    "next": "the next liked movie, fresh state",
}


def question(dataset: str, ratings: Ratings, asked: str) -> Question:
    """Of a data set.

    Args:
        dataset: its name.
        ratings: of it.
        asked: a name of `ASKED`.
    """
    settings = {
        "asked": asked,
        "trade_offs": list(TRADE_OFFS),
        "k": K,
        "max_lists": MAX_LISTS,
        **described(MODEL),
    }
    return Question("diversity", dataset, ratings.digest, MODEL, settings)


def evaluate(
    ratings: Ratings,
    dataset: str,
    runs: Runs,
    on_progress: OnProgress = lambda *_: None,
) -> list[Result]:
    """Measure what was not measured before, in each way of asking.

    Args:
        ratings: of the data set.
        dataset: its name.
        runs: where results are kept.
        on_progress: told the way of asking, the stage, and how much of it is done.

    Raises:
        DatasetError: a split leaves nothing to train on, or nobody to ask.
        FreshetError: the fit failed.
    """

    def measure(one: Question) -> Result:
        return ASKED[one.settings["asked"]](ratings, one, on_progress)

    return list(runs.answers((question(dataset, ratings, asked) for asked in ASKED), measure))


def change(result: Result, name: str, trade_off: float) -> Interval:
    """How much more of a figure there is than without diversification, relative.

    Args:
        result: of `evaluate`.
        name: one of `FIGURES`; coverage, which is of all lists together, has no interval.
        trade_off: one of `TRADE_OFFS`.
    """
    more, without = f"{trade_off}/{name}", f"{TRADE_OFFS[0]}/{name}"
    if more in result.lists:
        values, base = result.lists[more], result.lists[without]
        return compare.difference(values, base, result.users).relative
    return Interval(result.figures[more] / result.figures[without] - 1, np.nan, np.nan)


def rows(result: Result) -> list[list[Cell]]:
    """Of `COLUMNS`, one for each trade-off; the default in bold."""
    default = result.question.settings["hyperparameters"][SERVED]
    found = []
    for step in result.question.settings["trade_offs"]:
        cells = [Cell(f"**{step}**" if step == default else str(step))]
        for name in FIGURES:
            value = f"{result.figures[f'{step}/{name}']:.4f}"
            more = Cell.of(change(result, name, step), "+.1%")
            cells.append(Cell(f"{value} ({more.value})", more.interval) if step else Cell(value))
        found.append(cells)
    return found


def _random(ratings: Ratings, question: Question, on_progress: OnProgress) -> Result:
    """A random part of everybody's ratings, all of them relevant."""
    validation = Offline.of(ratings)
    task, exam = validation.exam.task, validation.exam

    def judged(lists: Ints) -> Judged:
        return judge(lists, task.held.lists, task.held.rows)

    lists = _asked(question, task.train, lambda model: exam.lists(model, K), on_progress)
    return _result(question, task.train, task.asked.users, lists, judged)


def _next(ratings: Ratings, question: Question, on_progress: OnProgress) -> Result:
    """Each liked movie of the validation part, from the state right before it."""
    validation = Prequential.of(ratings)
    every = validation.replay.asked
    asked = replace(every, events=every.events[:: -(-len(every) // MAX_LISTS)])

    def judged(lists: Ints) -> Judged:
        return judge(lists, np.arange(len(asked)), asked.rows)

    lists = _asked(question, validation.train, lambda model: _fresh(model, asked), on_progress)
    return _result(question, validation.train, asked.users, lists, judged)


ASKED: Final = {"random": _random, "next": _next}


def _asked(
    question: Question,
    train: Ratings,
    ask: Callable[[Recommender], Ints],
    on_progress: OnProgress,
) -> dict[float, Ints]:
    """By trade-off: the lists of one fit."""
    asked = question.settings["asked"]
    on_progress(asked, "fitting", 0, 1)
    model = fit(MODEL, OBJECTIVES[asked], train).model
    lists = {}
    for done, trade_off in enumerate(TRADE_OFFS):
        on_progress(asked, "asking", done, len(TRADE_OFFS))
        lists[trade_off] = ask(asked_with(model, **{SERVED: trade_off}))
    on_progress(asked, "finished", 1, 1)
    return lists


def _fresh(model: Recommender, asked: Questions) -> Ints:
    """i64[n, K]"""
    histories = asked.histories("fresh")
    with threadpool_limits(OPENMP_THREADS, "openmp"):
        lists = [
            recommend(known, histories[some], K)
            for known, some in at_their_time(model, asked, "fresh")
        ]
    return np.concatenate(lists)


def _result(
    question: Question,
    train: Ratings,
    users: Ints,
    lists: Mapping[float, Ints],
    judged: Callable[[Ints], Judged],
) -> Result:
    background, movies = Background.of(train), len(train.movies)
    values: dict[str, Values] = {}
    figures = {"lists": float(len(users)), "users": float(len(np.unique(users)))}
    for trade_off, shown in lists.items():
        found = judged(shown)
        of_lists = {name: metric(found, name) for name in ACCURACY}
        vectors = background.vectors
        of_lists |= {
            f"intra_list_diversity@{K}": diversity.intra_list_diversity(shown, vectors, K),
            f"genre_entropy@{K}": diversity.genre_entropy(shown, vectors, K),
            f"novelty@{K}": diversity.novelty(shown, background.information, K),
        }
        means = {name: float(np.nanmean(of_list)) for name, of_list in of_lists.items()}
        means[f"coverage@{K}"] = diversity.coverage(shown, movies, K)
        values |= {f"{trade_off}/{name}": of_list for name, of_list in of_lists.items()}
        figures |= {f"{trade_off}/{name}": mean for name, mean in means.items()}
    return Result(question, figures, {}, users, values)
