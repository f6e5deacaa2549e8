import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from itertools import product
from math import prod
from pkgutil import resolve_name

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from stream.contracts.errors import ConfigurationError
from training.baselines.catalogue import (
    MODELS,
    Value,
    create,
    entry,
    hyperparameters,
    name_of,
)
from training.baselines.ease import Ease
from training.search_space import SPACES, space

MAX_COMBINATIONS = 12  # each is a fit a split


@pytest.mark.parametrize("name", MODELS)
def test_an_entry_makes_what_it_says(name: str) -> None:
    """With each combination of its tuned hyperparameters, under names that the class has."""
    path, settings, space, _ = entry(name)
    known = {field.name for field in fields(resolve_name(path))}
    assert settings.keys() <= known
    assert space.keys() <= known - settings.keys()
    assert prod(len(values) for values in space.values()) <= MAX_COMBINATIONS
    assert all(len(set(values)) == len(values) > 1 for values in space.values())
    for values in product(*space.values()):
        chosen = dict(zip(space, values, strict=True))
        model = create(name, **chosen)
        assert {key: getattr(model, key) for key in chosen} == chosen
        assert {key: getattr(model, key) for key in settings} == settings


@pytest.mark.parametrize("name", MODELS)
def test_what_is_tuned_has_the_type_of_the_default(name: str) -> None:
    model = create(name)
    for key, values in entry(name).space.items():
        assert {type(value) for value in values} == {type(getattr(model, key))}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_its_name(name: str) -> None:
    assert name_of(create(name)) == name


def test_hyperparameters_given_go_before_those_of_the_entry() -> None:
    given: dict[str, Value] = {"l2": 7.0}
    assert create("ease", **given) == Ease(l2=7.0)


@pytest.mark.parametrize("ask", [entry, create])
def test_an_unknown_name_lists_those_that_exist(ask: Callable[[str], object]) -> None:
    with pytest.raises(ConfigurationError, match=r"no model 'slim': there are popularity, .*ease"):
        ask("slim")


def test_a_model_is_imported_when_it_is_made() -> None:
    code = (
        "import sys; from training.baselines import catalogue; "
        "catalogue.create('ease'); print([m for m in ('implicit', 'torch') if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_defaults_of_its_class(name: str) -> None:
    found = MODELS[name]
    made = hyperparameters(create(name))
    assert made == hyperparameters(resolve_name(found.path)()) | dict(found.settings)


@pytest.mark.parametrize("name", MODELS)
def test_every_number_has_bounds(name: str) -> None:
    """-1 is beyond all of them, and what is wrong is said."""
    for key, value in hyperparameters(create(name)).items():
        if type(value) in (int, float):
            with pytest.raises(ConfigurationError, match=rf"{name} {key} = -1.* is wrong: Exp"):
                create(name, **{key: type(value)(-1)})


@pytest.mark.parametrize("name", ["towers", "towers-rest", "two-stage", "towers-classic", "sasrec"])
def test_no_training_has_no_epochs(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"max_epochs = 0 is wrong: Expected `int` >= 1"):
        create(name, max_epochs=0)


@pytest.mark.parametrize("name", SPACES)
def test_what_is_searched_is_allowed(name: str) -> None:
    for key, values in space(name).items():
        ends = values.choices if isinstance(values, CategoricalDistribution) else ()
        if isinstance(values, FloatDistribution | IntDistribution):
            ends = (values.low, values.high)
        assert ends
        for value in ends:
            create(name, **{key: value})
