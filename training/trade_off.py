"""What diversification costs and gives: one fitted model, asked with trade-offs side by side.

Asked on validation parts: what a trade-off is chosen by must not be what is reported.

What a `training.runs.Result` of it says:

- figures: ``<trade-off>/<name>`` of each name of `FIGURES`, means over lists, coverage of all.
- users, lists: the same names, a value a list; without coverage.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from training import diversity
from training.baselines.catalogue import described
from training.dataset import Ratings
from training.diversity import Background
from training.judges import Offline, Prequential
from training.metrics import Judged, Values, judge, metric
from training.prequential import Questions, at_their_time
from training.recommender import Recommender, asked_with, recommend
from training.runs import Question, Result, Runs
from training.tower_inputs import Ints
from training.tuning import OPENMP_THREADS, fit

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
FIGURES: Final = (*ACCURACY, *BESIDE)
MAX_LISTS: Final = 2_500  # of next movies; where there are more, evenly spaced ones stand for all


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
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[Result]:
    """Measure what was not measured before, in each way of asking.

    Args:
        ratings: of the data set.
        dataset: its name.
        runs: where results are kept.
        on_progress: told the way of asking, and how many of how many trade-offs are done.

    Raises:
        DatasetError: a split leaves nothing to train on, or nobody to ask.
        FreshetError: the fit failed.
    """

    def measure(one: Question) -> Result:
        asked: str = one.settings["asked"]
        return ASKED[asked](ratings, one, lambda done: on_progress(asked, done, len(TRADE_OFFS)))

    return list(runs.answers((question(dataset, ratings, asked) for asked in ASKED), measure))


def _random(ratings: Ratings, question: Question, told: Callable[[int], None]) -> Result:
    """A random part of everybody's ratings, all of them relevant."""
    judge_of = Offline.of(ratings)
    exam, train = judge_of.exam, judge_of.train
    model = fit(MODEL, {}, train).model
    held = exam.task.held
    lists, judged = {}, {}
    for done, trade_off in enumerate(TRADE_OFFS):
        told(done)
        lists[trade_off] = exam.lists(asked_with(model, **{SERVED: trade_off}), K)
        judged[trade_off] = judge(lists[trade_off], held.lists, held.rows)
    return _result(question, train, exam.task.asked.users, lists, judged)


def _next(ratings: Ratings, question: Question, told: Callable[[int], None]) -> Result:
    """Each liked movie of the validation part, from the state right before it."""
    judge_of = Prequential.of(ratings)
    every = judge_of.replay.asked
    asked = Questions(every.log, every.since, every.events[:: -(-len(every) // MAX_LISTS)])
    model = fit(MODEL, {}, judge_of.train).model
    lists, judged = {}, {}
    for done, trade_off in enumerate(TRADE_OFFS):
        told(done)
        lists[trade_off] = _fresh(asked_with(model, **{SERVED: trade_off}), asked)
        judged[trade_off] = judge(lists[trade_off], np.arange(len(asked)), asked.rows)
    return _result(question, judge_of.train, asked.users, lists, judged)


ASKED: Final = {"random": _random, "next": _next}


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
    judged: Mapping[float, Judged],
) -> Result:
    background, movies = Background.of(train), len(train.movies)
    values: dict[str, Values] = {}
    figures = {"lists": float(len(users)), "users": float(len(np.unique(users)))}
    for trade_off, shown in lists.items():
        of_lists = {name: metric(judged[trade_off], name) for name in ACCURACY}
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
