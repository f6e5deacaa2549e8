"""What two models showed that were asked the same questions: what `training.gate` decides by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from training.metrics import Values
from training.tower_inputs import Ints

POPULARITY: Final = "popularity"  # what stands in where there is no champion


@dataclass(frozen=True)
class Marks:
    """What one model showed, asked n questions.

    Attributes:
        version: of the model; None for popularity, which is shown where there is none.
        ranks: f64[n] of the movie that came, from 1; NaN where the model's scores had NaN.
        coverage: share of the catalogue in any of its lists.
        gini: of how its lists fall on the catalogue.
        seconds: f64[n] that each list took.
        predictor: what its predictor of ratings showed once it was fitted, see
            `training.rating_served.measured`; empty where there is none.
    """

    version: str | None
    ranks: Values
    coverage: float
    gini: float
    seconds: Values
    predictor: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The version, or what stands in for a model."""
        return POPULARITY if self.version is None else self.version

    @property
    def figures(self) -> dict[str, Values]:
        """By what people call it, f64[] each."""
        return {
            "its scores": self.ranks,
            "coverage": np.array([self.coverage]),
            "Gini coefficient": np.array([self.gini]),
            "latency": self.seconds,
        } | {name: np.array([value]) for name, value in self.predictor.items()}


@dataclass(frozen=True)
class Challenge:
    """Two models asked the same n questions.

    Attributes:
        users: i64[n] who is asked about.
        ages: i64[n] how many ratings they had given.
        rival: marks of the champion, or of popularity where there is none.
        challenger: marks of the model that would take its place.
    """

    users: Ints
    ages: Ints
    rival: Marks
    challenger: Marks

    @property
    def role(self) -> str:
        """The rival's, in names of figures."""
        return POPULARITY if self.rival.version is None else "champion"
