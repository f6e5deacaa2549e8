"""What is odd about a data set that was read without a fault: missing, extreme, too fast.

A value is an outlier by the modified z-score of Iglewicz and Hoaglin (How to detect and handle
outliers, 1993): 0.6745 (x - median) / MAD, beyond 3.5. Half of the data may be odd without moving
what is called usual. Counts are compared by log(1 + x), since they have heavy tails by nature.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from producers.validation import FileReport
from stream.features import SECOND
from training.dataset import Ratings
from training.tower_inputs import Ints

LIMIT: Final = 3.5
SHOWN: Final = 10  # ids of the most extreme, for each kind of outlier
WINDOW: Final = 3_600  # s: an hour, in which nobody watches more than one movie
FAST: Final = 360  # ratings in an hour: one every 10 s, without a pause
MANY: Final = 20  # ratings, MovieLens' least of a user: a mean of fewer says little

_NORMAL_MAD: Final = 0.6745  # MAD of a standard normal distribution
_NORMAL_MEAN_AD: Final = 0.7979  # its mean absolute deviation


def quality(
    files: Iterable[FileReport],
    users: pl.DataFrame,
    busiest: Ints,
    movies: pl.DataFrame,
) -> dict[str, Any]:
    """The quality report, in JSON values.

    Args:
        files: what reading found in each.
        users: `training.features.of_users`.
        busiest: i64[users] ratings in each one's `busiest_hours`.
        movies: `training.features.of_movies`.
    """
    rated = movies.filter(pl.col("rating_count") > 0)
    known_users, known_movies = (
        frame.filter(pl.col("rating_count") >= MANY) for frame in (users, movies)
    )
    alike = known_users.filter(pl.col("rating_std") == 0)
    return {
        "files": [_file(report) for report in files],
        "missing": {
            "movies_without_year": movies["release_year"].null_count(),
            "movies_without_genres": int((movies["genres"].list.len() == 0).sum()),
            "movies_without_ratings": len(movies) - len(rated),
        },
        "outliers": {
            "rule": f"modified z-score beyond {LIMIT}, of counts by log(1 + count), of means and "
            f"of equal ratings where there are {MANY}",
            "users_by_count": _outliers(users["user_id"], _logarithm(users["rating_count"])),
            "users_by_mean": _outliers(
                known_users["user_id"], known_users["rating_mean"].to_numpy()
            ),
            "movies_by_count": _outliers(rated["movie_id"], _logarithm(rated["rating_count"])),
            "movies_by_mean": _outliers(
                known_movies["movie_id"], known_movies["rating_mean"].to_numpy()
            ),
            "users_of_one_rating": _listed(alike["user_id"], alike["rating_count"].to_numpy()),
        },
        "velocity": {
            "rule": f"more than {FAST} ratings in a user's busiest hour",
            "median": float(np.median(busiest)),
            "most": int(busiest.max()),
            "users": _listed(users["user_id"], np.where(busiest > FAST, busiest, 0)),
        },
    }


def busiest_hours(log: Ratings) -> Ints:
    """i64[users]: the most ratings that each user gave within an hour, by user id."""
    starts = np.flatnonzero(np.diff(log.users, prepend=-1))
    numbers = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(log)))
    seconds = log.times // SECOND
    # Users far apart on one line of time, so that one search finds where each hour ends.
    line = seconds + numbers * (int(np.ptp(seconds)) + WINDOW + 1) if len(log) else seconds
    within = np.searchsorted(line, line + WINDOW) - np.arange(len(log))
    return np.maximum.reduceat(within, starts)


def modified_z(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """f64[n]: how far each value is from the median, in standard deviations of a normal one.

    Where over half of the values are equal, the median distance is 0 and the mean distance takes
    its place; where all are, everything is 0.
    """
    if not len(values):
        return values
    distance: npt.NDArray[np.float64] = values - np.median(values)
    spread = float(np.median(np.abs(distance))) / _NORMAL_MAD
    spread = spread or float(np.abs(distance).mean()) / _NORMAL_MEAN_AD
    return distance / (spread or 1.0)


def _outliers(ids: pl.Series, values: npt.NDArray[np.float64]) -> Mapping[str, Any]:
    scores = np.abs(modified_z(values))
    return _listed(ids, np.where(scores > LIMIT, scores, 0))


def _listed(ids: pl.Series, extremes: npt.NDArray[Any]) -> Mapping[str, Any]:
    """How many have something extreme about them (above 0), and the ids of those who have most."""
    order = np.argsort(-extremes, kind="stable")[: min(SHOWN, np.count_nonzero(extremes))]
    return {"count": int(np.count_nonzero(extremes)), "most_extreme": ids.gather(order).to_list()}


def _logarithm(counts: pl.Series) -> npt.NDArray[np.float64]:
    return counts.log1p().to_numpy()


def _file(report: FileReport) -> dict[str, Any]:
    return {
        "file": report.path.name,
        "lines": report.lines,
        "dropped": dict(report.dropped),
        "superseded": report.superseded,
        "examples": [example._asdict() for example in report.examples],
    }
