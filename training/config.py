"""Hyperparameters of the towers and their training, as opposed to how a run is carried out.

The types say which values `training.experiment` accepts from a file.
"""

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

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
        negatives: random movies a step, beside the targets; the objective `rest` has all movies.
        initial: what the movies' own embeddings are at first: ``random``, or ``company``, the
            strongest directions of `training.company`, in which what is rated together is near
            already.
        learning_rate: of AdamW.
        warm_up: steps over which the learning rate rises.
        decay_epochs: over which it then falls along a cosine; 0: it stays.
        weight_decay: of AdamW.
        content_only: share of the movies that a step embeds by their content alone, so that content
            makes a vector of use where there is nothing else.
        max_gradient: L2 norm that the gradient of a step is cut to.
        averaging: how much of the average of the weights a step keeps. The average is the model.
    """

    towers: TowerConfig = field(default_factory=TowerConfig)
    objective: Literal["next", "rest"] = "next"
    liked_from: Annotated[int, Meta(ge=1, le=10)] = 7
    batch_size: Annotated[int, Meta(ge=1)] = 1024
    negatives: Annotated[int, Meta(ge=1)] = 512
    initial: Literal["random", "company"] = "random"
    learning_rate: Annotated[float, Meta(gt=0)] = 4e-3
    warm_up: Annotated[int, Meta(ge=1)] = 20
    decay_epochs: Annotated[int, Meta(ge=0)] = 0
    weight_decay: Annotated[float, Meta(ge=0)] = 0.3
    content_only: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    max_gradient: Annotated[float, Meta(gt=0)] = 5.0
    averaging: Annotated[float, Meta(ge=0, lt=1)] = 0.98


# To fill in histories of any time: a fifth of 300 ratings is found from the other 240. Batches are
# of people, not of events, and all movies are candidates for each.
REST: Final = Config(
    towers=TowerConfig(history=500),
    objective="rest",
    liked_from=1,
    batch_size=256,
    initial="company",
    content_only=0.3,
)
