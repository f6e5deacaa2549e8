"""Every recommender of the lab by name, and the few hyperparameters that are tuned.

A model is imported when it is made: some need libraries that the others do not.
"""

from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from typing import Any, Final, Literal, NamedTuple, cast

from stream.contracts.errors import ConfigurationError
from training.dataset import LIKED
from training.flat import Value, flat, parse
from training.recommender import Recommender


class Entry(NamedTuple):
    """A recommender of the lab.

    Attributes:
        path: ``module:class``.
        settings: hyperparameters that make it this model; the rest are the class's defaults.
        space: values of the hyperparameters that are tuned on a validation split, all combinations.
        tuned_for: ``rmse`` for a model that is there to predict ratings; else whatever metric of
            lists the protocol tunes for.
    """

    path: str
    settings: Mapping[str, Value] = {}
    space: Mapping[str, Sequence[Value]] = {}
    tuned_for: Literal["rmse", "lists"] = "lists"


MODELS: Final[Mapping[str, Entry]] = {
    "popularity": Entry("training.baselines.popularity:Popularity"),
    "popularity-recent": Entry(
        "training.baselines.popularity:RecentPopularity",
        space={"days": (7.0, 30.0, 60.0, 120.0, 365.0, 1000.0)},
    ),
    "popularity-decayed": Entry(
        "training.baselines.popularity:DecayedPopularity",
        space={"half_life": (7.0, 15.0, 30.0, 90.0, 365.0, 1000.0)},
    ),
    "random": Entry("training.baselines.chance:Random"),
    "user-knn": Entry(
        "training.baselines.neighbours:UserKnn",
        space={"neighbours": (25, 100), "recency": (0.8, 0.9, 1.0)},
    ),
    "item-knn": Entry(
        "training.baselines.neighbours:ItemKnn",
        space={"shrinkage": (10.0, 50.0), "recency": (0.65, 0.85, 1.0)},
    ),
    "content": Entry(
        "training.baselines.content:Content",
        space={"similarity": ("cosine", "euclidean"), "recency": (0.7, 0.9, 1.0)},
    ),
    "ease": Entry(
        "training.baselines.ease:Ease",
        space={"l2": (100.0, 300.0, 1000.0), "recency": (0.85, 1.0), "liked_from": (1, LIKED)},
    ),
    "linear": Entry(
        "training.baselines.linear:Linear",
        space={"shrinkage": (2.0, 5.0, 10.0)},
        tuned_for="rmse",
    ),
    "biased-mf": Entry(
        "training.baselines.biased_mf:BiasedMf",
        space={"factors": (8, 16), "regularization": (1.0, 1.5, 2.0)},
        tuned_for="rmse",
    ),
    "rating": Entry(
        "training.rating_prediction:RatingPrediction",
        space={"factors": (8, 16)},
        tuned_for="rmse",
    ),
    "ials": Entry(
        "training.baselines.factors:Ials",
        space={"regularization": (10.0, 30.0, 90.0), "recency": (1.0, 0.85)},
    ),
    "bpr": Entry(
        "training.baselines.factors:Bpr",
        space={"regularization": (0.02, 0.03, 0.04), "recency": (1.0, 0.8)},
    ),
    "sasrec": Entry("training.baselines.sasrec:SasRec", space={"dropout": (0.2, 0.4)}),
    "hybrid": Entry(
        "training.baselines.hybrid:Hybrid",
        space={"collaborative": (0.6, 0.8, 0.95), "recency": (0.9, 1.0)},
    ),
    "towers": Entry("training.baselines.towers:Towers"),
    "towers-rest": Entry("training.baselines.towers:RestTowers"),
    "two-stage": Entry(
        "training.two_stage:TwoStage", space={"objective": ("next", "rest"), "rich": (False, True)}
    ),
    "towers-classic": Entry(
        "training.baselines.classic:ClassicTowers", space={"loss": ("mse", "bpr", "combined")}
    ),
}

# What this project serves, in part or whole, or would for another question. All others are there to
# be beaten.
OURS: Final = ("towers", "towers-rest", "two-stage")


def entry(name: str) -> Entry:
    """Raises ConfigurationError that lists the models there are."""
    if name not in MODELS:
        raise ConfigurationError(f"no model {name!r}: there are {', '.join(MODELS)}")
    return MODELS[name]


def rankers() -> list[str]:
    """The models that are there to give lists, not to say how many stars somebody would give."""
    return [name for name, found in MODELS.items() if found.tuned_for == "lists"]


def create(name: str, **hyperparameters: Value) -> Recommender:
    """A recommender that is not fitted yet.

    Raises:
        ConfigurationError: there is no such model, it has no such hyperparameter, or the value of
            one is of the wrong type or out of range.
    """
    found = entry(name)
    values = {**found.settings, **hyperparameters}
    return cast(Recommender, parse(resolve_name(found.path), values, name))


def hyperparameters(model: Recommender) -> dict[str, Value]:
    """All of a model, by name."""
    return flat(model)


def described(name: str) -> dict[str, Any]:
    """What makes a model of the catalogue the one it is, as JSON values.

    Raises:
        ConfigurationError: there is no such model.
    """
    space = {key: list(values) for key, values in entry(name).space.items()}
    return {"hyperparameters": hyperparameters(create(name)), "space": space}


def name_of(model: Recommender) -> str:
    """The name under which `create` makes a model of this class."""
    path = f"{type(model).__module__}:{type(model).__qualname__}"
    return next(name for name, found in MODELS.items() if found.path == path)
