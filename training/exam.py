"""Asking a fitted model for what a task holds, and judging what it says."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from stream.contracts.errors import ConfigurationError, DatasetError
from training import diversity
from training.baselines.popularity import Popularity
from training.diversity import Background
from training.metrics import Judged, Values, judge, metric, parse, ranking, rmse
from training.recommender import (
    OnProgress,
    PredictsOfUsers,
    PredictsRatings,
    Recommender,
    batches,
    score_users,
    top,
    without_rated,
)
from training.task import Task
from training.tower_inputs import Floats, Ints
from training.tuning import OPENMP_THREADS

RMSE: Final = "rmse"  # what `Exam.value` knows beside the metrics of lists

_PREDICTED: Final = 4_096  # ratings at once, each with a history


@dataclass(frozen=True)
class Exam:
    """A task and how its answers are judged.

    Attributes:
        task: the task.
        ks: where lists are cut.
        relevant_from: half stars from which a held-out rating is to be found, 1..10.

    Raises:
        DatasetError: no held-out rating has so many.
    """

    task: Task
    ks: tuple[int, ...]
    relevant_from: int

    def __post_init__(self) -> None:
        best = self.task.held.half_stars.max() / 2
        if best < self.relevant_from / 2:
            raise DatasetError(
                f"nothing to find: none of the {len(self.task.held.rows)} held-out ratings has "
                f"{self.relevant_from / 2:g} stars, the best {best:g}: set a lower limit"
            )

    def value(self, model: Recommender, name: str) -> float:
        """How well it did, higher is better: the mean of a metric of lists, or -RMSE in stars.

        Raises:
            ConfigurationError: there is no such metric, or the model predicts no ratings.
        """
        if name == RMSE:
            return -rmse(self._predicted(model), self.task.held.half_stars / 2)
        lists = self.lists(model, parse(name)[1])
        return float(np.nanmean(metric(self._judge(lists), name)))

    def lists(
        self, model: Recommender, places: int, on_progress: OnProgress = lambda *_: None
    ) -> Ints:
        """i64[B, places]: what it recommends for each history, NOTHING where no more is left.

        A model that knows users is asked by user where the fit saw the histories as they are.
        """
        asked = self.task.asked
        lists = np.empty((len(asked), places), np.int64)
        done = 0
        with threadpool_limits(OPENMP_THREADS, "openmp"):
            for some in batches(asked):
                if self.task.fitted_users:
                    scores = score_users(model, self.task.train, some.users)
                else:
                    scores = model.score(some)
                lists[done : done + len(some)] = top(without_rated(scores, some), places)
                done += len(some)
                on_progress(done, len(asked))
        return lists

    def values(self, model: Recommender, lists: Ints) -> dict[str, Values]:
        """f64[B] by metric, at every k, of its lists of max(ks) places; NaN for one that has none.

        Beside them ``held_out``, the number of ratings held out for each list, and their mean
        ``squared_error`` and ``absolute_error`` in stars where the model predicts ratings.
        """
        held, judged = self.task.held, self._judge(lists)
        values = ranking(judged, self.ks)
        values |= diversity.of_lists(lists, judged, self._expected, self._background, self.ks)
        count = np.bincount(held.lists, minlength=len(lists))
        values["held_out"] = count.astype(np.float64)
        if isinstance(model, PredictsRatings):
            errors = self._predicted(model) - held.half_stars / 2
            values["squared_error"] = np.bincount(held.lists, errors**2) / count
            values["absolute_error"] = np.bincount(held.lists, np.abs(errors)) / count
        return values

    def _judge(self, lists: Ints) -> Judged:
        held = self.task.held
        gains = np.where(held.half_stars >= self.relevant_from, held.half_stars, 0)
        return judge(lists, held.lists, held.rows, gains)

    def _predicted(self, model: Recommender) -> Floats:
        """f32[e]: how many stars it expects of each held-out rating; asked as for `lists`."""
        knows = model if isinstance(model, PredictsOfUsers) else None
        if not isinstance(model, PredictsRatings):
            raise ConfigurationError(
                f"{type(model).__name__} predicts no ratings: it cannot be tuned for {RMSE}"
            )
        held, predicted = self.task.held, []
        with threadpool_limits(OPENMP_THREADS, "openmp"):
            for start in range(0, len(held.rows), _PREDICTED):
                some = slice(start, start + _PREDICTED)
                asked, rows = self.task.asked[held.lists[some]], held.rows[some]
                if self.task.fitted_users and knows is not None:
                    predicted.append(knows.predict_users(asked.users, rows))
                else:
                    predicted.append(model.predict(asked, rows, held.times[some]))
        return np.concatenate(predicted)

    @cached_property
    def _expected(self) -> Ints:
        """What everybody would have guessed: serendipity counts what is not among it."""
        popularity = Popularity()
        popularity.fit(self.task.train)
        return self.lists(popularity, max(self.ks))

    @cached_property
    def _background(self) -> Background:
        return Background.of(self.task.train)
