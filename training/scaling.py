"""Features as models like them: nothing missing, about -3 to 3.

What is missing is imputed with the median of the training data (0 where that knows none), then
heavy tails are drawn in by log(1 + x), then the training data's mean is subtracted and the result
divided by its standard deviation (by 1 where that is 0). Nothing but the training data decides the
numbers, so nothing of what is tested on leaks into them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

# Counts and durations, whose largest values are hundreds of times their median.
HEAVY: Final = frozenset({"rating_count", "ratings_per_month", "days_since_last"})

USER_COLUMNS: Final = (
    *("rating_mean", "rating_std", "rating_count", "rating_low", "rating_high"),
    *("ratings_per_month", "days_since_last"),
)
MOVIE_COLUMNS: Final = (
    *("log_popularity", "rating_mean", "rating_std", "release_year", "rating_trend"),
)


@dataclass(frozen=True)
class Scale:
    """How one feature is scaled.

    Attributes:
        median: takes the place of what is missing.
        logarithm: whether log(1 + x) is taken.
        mean: of the training data after that.
        deviation: likewise; 1 where there is none.
    """

    median: float
    logarithm: bool
    mean: float
    deviation: float

    @classmethod
    def of(cls, train: pl.Series) -> "Scale":
        """From a column of the training data; its nulls do not count."""
        known = train.drop_nulls().cast(pl.Float64).to_numpy()
        logarithm = train.name in HEAVY
        values = np.log1p(known) if logarithm else known
        if not len(known):
            return cls(0.0, logarithm, 0.0, 1.0)
        deviation = float(values.std())
        return cls(float(np.median(known)), logarithm, float(values.mean()), deviation or 1.0)

    def apply(self, name: str) -> pl.Expr:
        """f32, without nulls."""
        filled = pl.col(name).cast(pl.Float64).fill_null(self.median)
        values = filled.log1p() if self.logarithm else filled
        return ((values - self.mean) / self.deviation).cast(pl.Float32)


def scales(train: pl.DataFrame, columns: Iterable[str]) -> dict[str, Scale]:
    """The scale of each of these columns.

    Args:
        train: features as they were at the end of the training data, of the users or the movies
            that it has ratings of.
        columns: their names.
    """
    return {name: Scale.of(train[name]) for name in columns}


def scaled(features: pl.DataFrame, by: Mapping[str, Scale]) -> pl.DataFrame:
    """With a column ``<feature>_scaled`` for each scale, and ``imputed``: the names of the features
    that were missing in each row."""
    missing = [pl.when(pl.col(name).is_null()).then(pl.lit(name)) for name in by]
    return features.with_columns(
        *(scale.apply(name).alias(f"{name}_scaled") for name, scale in by.items()),
        imputed=pl.concat_list(missing).list.drop_nulls(),
    )
