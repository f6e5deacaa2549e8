import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.contracts.errors import ConfigurationError, DatasetError, FreshetError
from tests.training.build import clubs, ratings
from training.baselines import catalogue
from training.baselines.catalogue import Entry, create
from training.histories import Histories
from training.recommender import Recommender
from training.tuning import fit, tune

PATH = "tests.training.tunable:Tunable"
SPACE = {"level": (3, 1, 4), "megabytes": (1, 0)}


@pytest.fixture(autouse=True)
def _tunable(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {**catalogue.MODELS, "tunable": Entry(PATH, {"level": 7}, SPACE)}
    models["settled"] = Entry(PATH, {"level": 7})
    monkeypatch.setattr(catalogue, "MODELS", models)


TRAIN = ratings(clubs(users=20))


def level(model: Recommender) -> float:
    return float(model.level)  # type: ignore[attr-defined]


def test_a_fit_elsewhere_learns_what_a_fit_here_does() -> None:
    here = create("ease", l2=30.0)
    here.fit(TRAIN)
    fitted = fit("ease", {"l2": 30.0}, TRAIN)
    asked = Histories.of_users(TRAIN, np.unique(TRAIN.users))
    np.testing.assert_array_equal(fitted.model.score(asked), here.score(asked))


def test_a_fit_has_a_process_of_its_own_and_its_memory_is_told() -> None:
    small, large = fit("tunable", {}, TRAIN), fit("tunable", {"megabytes": 300}, TRAIN)
    processes = {int(fitted.model.process[0]) for fitted in (small, large)}  # type: ignore[attr-defined]
    assert len(processes | {os.getpid()}) == 3
    assert 280 < (large.peak_bytes - small.peak_bytes) / 2**20 < 320
    assert 8000 < small.model_bytes < 9000
    assert small.seconds > 0


def test_all_combinations_are_tried_in_order_and_the_best_is_chosen() -> None:
    seen = []
    choice = tune("tunable", TRAIN, level, lambda *done: seen.append(done))
    tried = [
        (trial.hyperparameters["level"], trial.hyperparameters["megabytes"], trial.value)
        for trial in choice.trials
    ]
    assert tried == [(3, 1, 3), (3, 0, 3), (1, 1, 1), (1, 0, 1), (4, 1, 4), (4, 0, 4)]
    assert choice.hyperparameters == {"level": 4, "megabytes": 1}  # the first of two as good
    assert seen == [(done, 6) for done in range(7)]


def test_one_fit_serves_all_that_it_does_not_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"bias": (0, 2, 1), "level": (5, 6)}
    monkeypatch.setitem(catalogue.MODELS, "tunable", Entry(PATH, space=space))
    fits: dict[int, list[tuple[int, int]]] = {}

    def judge(model: Any) -> float:
        fits.setdefault(model.fitted, []).append((model.level, model.bias))
        return float(model.level + model.bias)

    choice = tune("tunable", TRAIN, judge)
    assert list(fits.values()) == [[(5, 0), (5, 2), (5, 1)], [(6, 0), (6, 2), (6, 1)]]
    assert [trial.value for trial in choice.trials] == [5, 6, 7, 8, 6, 7]  # in the space's order
    assert choice.hyperparameters == {"bias": 2, "level": 6}


def test_a_model_without_anything_to_tune_is_not_fitted_for_it() -> None:
    def never(model: Recommender) -> float:
        raise AssertionError

    assert tune("settled", TRAIN, never) == ({}, ())


def test_an_entry_settings_hold_where_nothing_else_is_chosen() -> None:
    assert level(fit("settled", {}, TRAIN).model) == 7


@pytest.mark.parametrize(
    ("trouble", "kind", "message"),
    [
        ("empty", DatasetError, "nothing to learn from"),
        ("bug", ZeroDivisionError, "a bug"),
        ("killed", FreshetError, "fitted tunable with .*killed.* on 160 ratings was killed"),
    ],
)
def test_what_goes_wrong_in_a_fit_reaches_the_caller(
    trouble: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        fit("tunable", {"trouble": trouble}, TRAIN)


ABANDONED = """
if __name__ == "__main__":  # the process that fits imports this too
    import os
    import signal
    from tests.training.build import clubs, ratings
    from tests.training.tunable import MODELS
    from training.baselines import catalogue
    from training.tuning import tune

    catalogue.MODELS = MODELS
    tune("by-row", ratings(clubs(users=20)), lambda model: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_the_process_that_fits_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(ABANDONED)
    command = [sys.executable, tmp_path / "run.py"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    # It has the same output, which is read until nobody has it any more.
    killed = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, timeout=30, check=False
    )
    assert killed.returncode == -signal.SIGKILL


def test_an_unknown_model_lists_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="no model 'eas': there are popularity, "):
        fit("eas", {}, TRAIN)
    with pytest.raises(ConfigurationError, match="no model 'eas': there are popularity, "):
        tune("eas", TRAIN, level)
