"""Every model of the catalogue does what a recommender must."""

from collections.abc import Mapping
from functools import partial

import pytest

from tests.suites.recommender import Make, RecommenderSuite
from training.baselines.catalogue import MODELS, Value, create

# Smaller than their defaults, for those that would take long.
SETTINGS: Mapping[str, Mapping[str, Value]] = {
    "sasrec": {"max_epochs": 2, "dimensions": 16},
    "towers": {"max_epochs": 2},
    "towers-classic": {"max_epochs": 3},
}


class TestEveryModel(RecommenderSuite):
    @pytest.fixture(scope="class", params=MODELS)
    @classmethod
    def make(cls, request: pytest.FixtureRequest) -> Make:
        return partial(create, request.param, **SETTINGS.get(request.param, {}))
