"""A predictor of ratings as arrays by name, which is how the lab keeps it and artifacts have it."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from training.rating_features import FEATURES, Known
from training.rating_model import GROUPS, QUANTILES, RatingModel

_LEARNT: Final = ("weights", "doubts", "least", "bounds", "population")
_SIZES: Final = "sizes"


def to_arrays(model: RatingModel) -> dict[str, Any]:
    """Arrays by name; those of ``sizes`` as ``sizes/<way>/<group>``."""
    arrays: dict[str, Any] = model.known._asdict()
    arrays |= {name: getattr(model, name) for name in _LEARNT}
    return arrays | {f"{_SIZES}/{name}": sizes for name, sizes in model.sizes.items()}


def from_arrays(arrays: Mapping[str, Any]) -> RatingModel:
    """The model whose arrays these are.

    Raises:
        KeyError: one is missing.
        ValueError: they do not fit together.
    """
    known = Known(**{name: arrays[name] for name in Known._fields})
    sizes = {
        name.removeprefix(f"{_SIZES}/"): array
        for name, array in arrays.items()
        if name.startswith(f"{_SIZES}/")
    }
    model = RatingModel(known, **{name: arrays[name] for name in _LEARNT}, sizes=sizes)
    _check(model)
    return model


def _check(model: RatingModel) -> None:
    known = model.known
    movies, columns = known.content.shape
    genres, eras = len(known.genres), len(known.decades)
    features = model.population.shape[1]
    terms = known.expand(np.zeros((1, features), np.float32)).shape[1]
    linked = len(known.spreads) - 1
    ways = {name.rpartition("/")[0] for name in model.sizes}
    groups = {f"{way}/{group}" for way in ways for group in range(len(GROUPS))}
    for what, fits in (
        ("content", columns == 1 + 2 * genres + eras),
        ("groups", known.groups.shape == (movies, genres + eras)),
        ("places", known.places.shape == (movies,) and known.places.max(initial=-1) < linked),
        ("alike and lifts", known.alike.shape == known.lifts.shape == (linked, linked)),
        ("biases and factors", len(known.biases) == len(known.factors) == movies),
        ("bounds", model.bounds.shape == (2, features)),
        ("population", model.population.shape == (len(QUANTILES), len(FEATURES) + genres)),
        ("weights", model.weights.shape == (1 + terms,)),
        ("sizes", bool(ways) and model.sizes.keys() == groups),
    ):
        if not fits:
            raise ValueError(f"the {what} of the predictor of ratings do not fit the rest of it")
