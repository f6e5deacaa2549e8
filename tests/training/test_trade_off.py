from pathlib import Path

import numpy as np
import pytest

from tests.training.build import clubs, ratings
from tests.training.tunable import ByRow
from training.baselines import catalogue
from training.baselines.catalogue import Entry
from training.judges import Offline, Prequential
from training.prequential_runs import Judge as Replay
from training.runs import Runs
from training.trade_off import ACCURACY, FIGURES, TRADE_OFFS, change, evaluate, rows

LOG = ratings(clubs(users=60))


@pytest.fixture(autouse=True)
def _diverse(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {**catalogue.MODELS, "two-stage": Entry("tests.training.tunable:Diverse")}
    monkeypatch.setattr(catalogue, "MODELS", models)


def test_one_fit_asked_with_every_trade_off(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    at_random, following = evaluate(LOG, "clubs", Runs(tmp_path), lambda *at: told.append(at[:2]))
    assert told.count(("random", "fitting")) == told.count(("next", "fitting")) == 1
    assert set(at_random.figures) == {
        "lists",
        "users",
        *(f"{step}/{name}" for step in TRADE_OFFS for name in FIGURES),
    }
    offline, live = Offline.of(LOG), Prequential.of(LOG)
    for step, descending in ((0.0, False), (0.3, True)):
        model = ByRow(descending)
        model.fit(LOG)
        for name in ACCURACY:
            expected = offline.exam.value(model, name)
            assert at_random.figures[f"{step}/{name}"] == pytest.approx(expected)
            expected = Replay(live.replay.asked, name)(model)
            assert following.figures[f"{step}/{name}"] == pytest.approx(expected)
    # All get the first ten of 72 movies that they have not rated.
    assert 10 / 72 <= at_random.figures["0.0/coverage@10"] <= 18 / 72

    again = evaluate(LOG, "clubs", Runs(tmp_path), lambda *at: told.append(at[:2]))
    assert told.count(("random", "fitting")) == 1
    assert again[0].figures == at_random.figures


def test_changes_are_relative_to_the_order_by_utility_alone(tmp_path: Path) -> None:
    _, found = evaluate(LOG, "clubs", Runs(tmp_path))
    name = "novelty@10"
    before, after = (found.figures[f"{step}/{name}"] for step in (0.0, 0.5))
    assert change(found, name, 0.5).value == pytest.approx(after / before - 1)
    assert change(found, name, 0.0) == (0, 0, 0)
    coverage = change(found, "coverage@10", 0.5)
    assert np.isnan(coverage.low)
    first, *_ = cells = rows(found)
    assert [row[0].value for row in cells[2:5]] == ["0.2", "**0.3**", "0.4"]
    assert all("(" not in cell.value for cell in first)
