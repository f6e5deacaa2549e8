"""What came of the lists that people were really shown: whether what they liked next was in them.

A list is all pages of one impression. A rating belongs to the impression whose page its person was
shown last before it, if that was within the window; so each rating counts once, for what was on the
screen. The first of a list's ratings that likes a movie which its person had never rated is what
the list ought to have had among its first `K`: where it stands there is the list's rank.

That is the same question as the exam asks (`training.prequential`), but of what was shown, with
whatever filters, diversity and experiments there were, and of those who came back to rate.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from stream.contracts.experiments import GIFT, GROUP, ExposureEvent
from training import compare
from training.compare import Interval
from training.dataset import LIKED
from training.drift import LOST_QUALITY, Check, lost_quality
from training.metrics import ranking_of_one

K: Final = 10

METRIC: Final = f"ndcg@{K}"  # as the gate's: it needs fewer lists than a hit rate to show a loss

# Lists with something liked after them, below which nothing is said. A hit rate of 0.1 has a
# standard error of 0.02 then, which just tells a model that has lost half from one that has lost
# the fifth that it may lose: 1.96 times that of 0.05, 0.015, is the 0.03 between 0.05 and 0.08.
MIN_LISTS: Final = 200

# Exposures, the newest, and days: enough to tell a loss, and about the model as it is.
EXPOSURES: Final = 20_000
DAYS: Final = 14

_UNKNOWN: Final = Interval(np.nan, np.nan, np.nan)

# What is said of `shown_quality` where nobody noted what was shown.
UNSEEN: Final = Check(
    "shown_quality",
    np.nan,
    LOST_QUALITY,
    "there is no topic of what people were shown: a worker creates it as it starts",
)

_LIST: Final = ["user_id", "impression_id"]

_PAGES: Final = pl.Schema(
    [
        ("user_id", pl.Int64()),
        ("impression_id", pl.String()),
        ("version", pl.String()),
        ("time", pl.Int64()),
        ("position", pl.Int64()),
        ("movies", pl.List(pl.UInt32)),
    ]
)


class Shown(NamedTuple):
    """What was shown lately.

    Attributes:
        pages: the newest, of people who were not forgotten since.
        window: ms after a page, in which a rating belongs to it.
    """

    pages: Sequence[ExposureEvent]
    window: int


def follow_ups(shown: Shown, ratings: pa.Table) -> pl.DataFrame:
    """What came of each list.

    1. Of those who were shown something, see which ratings are the first of their movie.
    2. Give each rating to the page that its person was shown last before it.
    3. Of each list, take the first liked one, and look where the list had its movie.

    Args:
        shown: the lists, in pages.
        ratings: `training.snapshot.read_logs`, of all partitions; all that is known of a person.

    Returns:
        A row for each list: ``user_id`` i64, ``impression_id``, ``version`` of the model, null
        where none made it, ``followed`` bool whether any rating came, and ``rank`` f64 from 1, inf
        where the movie was not among the first `K`, NaN where nothing was liked.
    """
    pages = _pages(shown.pages)
    # 1.
    theirs = ratings.filter(pc.is_in(ratings["user_id"], pages["user_id"].unique().to_arrow()))
    rated = (
        pl.DataFrame(pl.from_arrow(theirs.select(["user_id", "movie_id", "rating", "event_time"])))
        .with_columns(time=pl.col("event_time").dt.epoch("ms"))
        .sort("time", maintain_order=True)
        .with_columns(first=pl.struct("user_id", "movie_id").is_first_distinct())
    )
    # 2.
    followed = rated.join_asof(
        pages.select(*_LIST, "time"),
        on="time",
        by="user_id",
        tolerance=shown.window,
        allow_exact_matches=False,
        check_sortedness=False,  # both are; with `by` it cannot be checked
    ).drop_nulls("impression_id")
    # 3.
    wanted = followed.filter(pl.col("first") & (pl.col("rating") >= LIKED / 2)).unique(
        _LIST, keep="first", maintain_order=True
    )
    place = pl.col("position") + pl.int_range(pl.len()).over(pl.col("page"))
    places = (
        pages.with_row_index("page")
        .explode("movies", empty_as_null=False)
        .with_columns(rank=(place + 1).cast(pl.Float64), movie_id=pl.col("movies"))
        .filter(pl.col("rank") <= K)
        .group_by(*_LIST, "movie_id")
        .agg(pl.col("rank").min())
    )
    ranked = wanted.join(places, on=[*_LIST, "movie_id"], how="left").select(
        *_LIST, pl.col("rank").fill_null(np.inf)
    )
    return (
        pages.unique(_LIST, keep="first", maintain_order=True)
        .select(*_LIST, "version")
        .join(followed.select(_LIST).unique().with_columns(followed=True), on=_LIST, how="left")
        .join(ranked, on=_LIST, how="left", maintain_order="left")
        .with_columns(pl.col("followed").fill_null(False), pl.col("rank").fill_null(np.nan))
    )


def shown_quality(found: pl.DataFrame, version: str, promoted: float) -> Check:
    """How much of its quality the served model has lost for certain in the lists it was shown in.

    NaN where there are fewer than `MIN_LISTS`, or nothing to compare with.

    Args:
        found: `follow_ups`.
        version: of the model.
        promoted: its `METRIC` at its promotion; NaN: not known.
    """
    of_model = found.filter(pl.col("version") == version)
    ranks, users = of_model["rank"].to_numpy(), of_model["user_id"].to_numpy()
    asked = ~np.isnan(ranks)
    values = ranking_of_one(ranks[asked], [K])
    interval, lists, _ = compare.mean(values[METRIC], users[asked])
    enough = lists >= MIN_LISTS
    check = lost_quality(METRIC, promoted, interval if enough else _UNKNOWN, lists)
    says = (
        f"{len(of_model):,} lists shown, {of_model['followed'].sum():,} followed by a rating, "
        f"{lists:,} by a liked one"
    )
    if lists:
        says += f": hit_rate@{K} {values[f'hit_rate@{K}'].mean():.4f}"
    says += f", {check.says}" if enough else f"; too few of {MIN_LISTS}"
    return check._replace(name="shown_quality", says=says + _others(found, version))


def _others(found: pl.DataFrame, version: str) -> str:
    """What came of the lists of other versions, in words."""
    hits = pl.col("rank") <= K
    others = (
        found.filter(pl.col("version") != version, pl.col("rank").is_not_nan())
        .group_by("version")
        .agg(hits.mean().alias("rate"), pl.len().alias("lists"))
        .sort("version")
    )
    said = [f"{name} {rate:.4f} on {lists:,}" for name, rate, lists in others.iter_rows()]
    return f"; hit_rate@{K} of {', '.join(said)}" if said else ""


def _pages(shown: Sequence[ExposureEvent]) -> pl.DataFrame:
    """In the order of time."""
    rows = [
        (it.user_id, it.impression_id, it.model_version, it.event_time, it.position, it.movies)
        for it in shown
        if it.strategy not in (GROUP, GIFT)  # which are not about what this person likes alone
    ]
    return pl.DataFrame(rows, _PAGES, orient="row").sort("time", maintain_order=True)
