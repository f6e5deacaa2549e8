"""What a search may try: a distribution of each hyperparameter that is searched, by model.

A name means the same in every model that has it, unless a model needs another scale of it. What is
not here is not searched, and `--set` of `freshet tune` says what it is instead.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.distributions import CategoricalDistribution as Choice

from stream.contracts.errors import ConfigurationError
from training.baselines.catalogue import create, hyperparameters
from training.dataset import LIKED
from training.flat import Value

Space: TypeAlias = Mapping[str, BaseDistribution]

_LIKED: Final = Choice((1, LIKED))  # half stars: all ratings, or those that were liked
_RECENCY: Final = FloatDistribution(0.5, 1.0, step=0.05)  # what a step of age leaves; 1 is all
_SHRINKAGE: Final = FloatDistribution(1.0, 100.0, log=True)
_NEIGHBOURS: Final = IntDistribution(10, 500, log=True)
_FACTORS: Final = Choice((16, 32, 64, 128))
_LEARNING_RATE: Final = FloatDistribution(1e-4, 1e-2, log=True)
_WEIGHT_DECAY: Final = FloatDistribution(1e-6, 1.0, log=True)
_BATCH_SIZE: Final = Choice((256, 512, 1024, 2048))
_DROPOUT: Final = FloatDistribution(0.1, 0.5)

SPACES: Final[Mapping[str, Space]] = {
    "popularity-recent": {"days": FloatDistribution(1.0, 1000.0, log=True), "liked_from": _LIKED},
    "popularity-decayed": {
        "half_life": FloatDistribution(1.0, 1000.0, log=True),
        "liked_from": _LIKED,
    },
    "user-knn": {
        "neighbours": _NEIGHBOURS,
        "shrinkage": _SHRINKAGE,
        "liked_from": _LIKED,
        "recency": _RECENCY,
    },
    "item-knn": {
        "neighbours": _NEIGHBOURS,
        "shrinkage": _SHRINKAGE,
        "liked_from": _LIKED,
        "recency": _RECENCY,
    },
    "content": {
        "similarity": Choice(("cosine", "euclidean")),
        "year": FloatDistribution(0.0, 2.0),
        "tags": FloatDistribution(0.0, 2.0),
        "liked_from": _LIKED,
        "recency": _RECENCY,
    },
    "ease": {
        "l2": FloatDistribution(10.0, 3000.0, log=True),
        "liked_from": _LIKED,
        "recency": _RECENCY,
    },
    "ials": {
        "factors": _FACTORS,
        "regularization": FloatDistribution(1.0, 300.0, log=True),
        "confidence": FloatDistribution(0.5, 50.0, log=True),
        "liked_from": _LIKED,
        "recency": _RECENCY,
    },
    "bpr": {
        "factors": _FACTORS,
        "learning_rate": FloatDistribution(0.005, 0.1, log=True),
        "regularization": FloatDistribution(0.003, 0.3, log=True),
        "liked_from": _LIKED,
        "recency": _RECENCY,
    },
    "hybrid": {
        "collaborative": FloatDistribution(0.0, 1.0),
        "few": IntDistribution(1, 10),
        "halfway": FloatDistribution(0.5, 10.0, log=True),
        "liked_from": _LIKED,
        "recency": _RECENCY,
    },
    # What the towers learn themselves is not among it: temperature, how histories fade.
    "towers": {
        "user": Choice(("pooled", "sequential", "combined")),
        "objective": Choice(("next", "rest")),
        "dimensions": IntDistribution(32, 256, step=32),
        "history": Choice((20, 50, 100, 200)),
        "summaries": IntDistribution(1, 5),
        "hidden": Choice((64, 128, 256, 512)),
        "width": Choice((32, 64, 128)),
        "heads": Choice((1, 2, 4)),
        "dropout": _DROPOUT,
        "content_hidden": Choice((32, 64, 128)),
        "content_only": FloatDistribution(0.0, 0.5),
        "initial": Choice(("random", "company")),
        "liked_from": Choice((1, 7, LIKED)),
        "batch_size": _BATCH_SIZE,
        "negatives": Choice((128, 256, 512, 1024, 2048)),
        "learning_rate": _LEARNING_RATE,
        "decay_epochs": Choice((0, 5, 10)),
        "weight_decay": _WEIGHT_DECAY,
        "averaging": FloatDistribution(0.9, 0.999),
    },
    "towers-classic": {
        "loss": Choice(("mse", "bpr", "combined")),
        "dimensions": IntDistribution(32, 256, step=32),
        "negatives": IntDistribution(1, 16, log=True),
        "liked_from": Choice((7, LIKED)),
        "learning_rate": _LEARNING_RATE,
        "weight_decay": _WEIGHT_DECAY,
    },
    "two-stage": {
        "objective": Choice(("next", "rest")),
        "rich": Choice((False, True)),
        "recency": _RECENCY,
        "impressions": IntDistribution(1000, 10_000, log=True),
        "candidates": IntDistribution(100, 1000, log=True),
    },
    "sasrec": {
        "length": Choice((20, 50, 100, 200)),
        "dimensions": Choice((32, 64, 128, 256)),
        "layers": IntDistribution(1, 3),
        "heads": Choice((1, 2, 4)),
        "dropout": _DROPOUT,
        "learning_rate": _LEARNING_RATE,
        "negatives": Choice((64, 256, 1024)),
        "liked_from": _LIKED,
    },
}


def space(
    model: str, settled: Mapping[str, Value] = MappingProxyType({})
) -> dict[str, BaseDistribution]:
    """What is searched of a model, less what is settled.

    Raises:
        ConfigurationError: the model has no space, or nothing of it is left.
    """
    if model not in SPACES:
        raise ConfigurationError(
            f"nothing of {model!r} is searched: of these models something is: {', '.join(SPACES)}"
        )
    left = {name: some for name, some in SPACES[model].items() if name not in settled}
    if not left:
        raise ConfigurationError(
            f"all that is searched of {model} is settled already: leave one of "
            f"{', '.join(SPACES[model])} open"
        )
    return left


def settled(model: str, assignments: Sequence[str]) -> dict[str, Value]:
    """Hyperparameters from texts such as ``recency=0.9``, each of the type that its default has.

    Raises:
        ConfigurationError: there is no such model, the model has no such hyperparameter, or the
            value is not of its type or out of range.
    """
    defaults = hyperparameters(create(model))
    values: dict[str, Value] = {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in defaults:
            raise ConfigurationError(
                f"{model} has no hyperparameter {name!r}: there are {', '.join(defaults)}"
            )
        values[name] = _value(assignment, text, type(defaults[name]))
    create(model, **values)  # refuses what is out of range, before there is any work
    return values


def _value(assignment: str, text: str, kind: type) -> Value:
    if kind is bool:
        if text in ("true", "false"):
            return text == "true"
        raise ConfigurationError(f"{assignment}: give true or false")
    try:
        value: Value = kind(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{assignment}: {text!r} is not of type {kind.__name__}"
        ) from error
    return value
