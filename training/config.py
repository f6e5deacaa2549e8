"""Hyperparameters of the towers and their training, as opposed to how a run is carried out.

The types say which values `training.experiment` accepts from a file.
"""

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from training.user_towers import TowerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Hyperparameters, chosen on the validation parts of MovieLens 100K and latest-small.

    Attributes:
        towers: their shape.
        objective: the question they learn to answer, a name in `objectives.OBJECTIVES`.
        liked_from: half stars from which a rating is something to predict. Those that are not
            stay in the history, where they tell what somebody does not like.
        batch_size: examples a step.
        negatives: random movies a step, beside the targets.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        content_only: share of the movies that a step embeds by their content alone, so that content
            makes a vector of use where there is nothing else.
        max_gradient: L2 norm that the gradient of a step is cut to.
        averaging: how much of the average of the weights a step keeps. The average is the model.
    """

    towers: TowerConfig = field(default_factory=TowerConfig)
    objective: str = "next"
    liked_from: Annotated[int, Meta(ge=1, le=10)] = 7
    batch_size: Annotated[int, Meta(ge=1)] = 1024
    negatives: Annotated[int, Meta(ge=1)] = 512
    learning_rate: Annotated[float, Meta(gt=0)] = 4e-3
    weight_decay: Annotated[float, Meta(ge=0)] = 1e-4
    content_only: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    max_gradient: Annotated[float, Meta(gt=0)] = 5.0
    averaging: Annotated[float, Meta(ge=0, lt=1)] = 0.98
