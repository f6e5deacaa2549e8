"""Simulated experiments: a planted difference is found, and none where there is none."""

from collections.abc import Callable

import numpy as np
import pytest
from typer.testing import CliRunner

from api.experiments.statistics import ALPHA, Ratio, estimate
from infra.cli import app
from infra.simulation import Past, _gains, experiment, repeat
from stream.experiments.assignment import variant_of

RANDOM = np.random.default_rng


def past(people: int, lists: int, *rates: float, seed: int = 0) -> Past:
    """People who each look at about so many lists, and click as they do; some much more often."""
    random = RANDOM(seed)
    users = np.sort(random.integers(0, people, people * lists))
    own = np.clip(random.normal(1, 0.3, people), 0, 2)[users]
    draws = random.random(len(users))
    order = random.permutation(len(users))
    return Past(users[order], np.stack([(draws < rate * own)[order] for rate in rates]))


def test_gains_add_up_to_the_sums_of_people() -> None:
    users = np.array([7, 3, 7, 7, 3])
    clicked = np.array([True, False, False, True, True])
    people, y, x, yy, xy, xx = _gains(np.unique(users, return_inverse=True)[1], clicked).sum(axis=1)
    # Person 3: 1 of 2. Person 7: 2 of 3.
    assert (people, y, x) == (2, 3, 5)
    assert (yy, xy, xx) == (1 + 4, 2 + 6, 4 + 9)
    before = _gains(np.unique(users, return_inverse=True)[1], clicked)[:, :3].sum(axis=1)
    assert before.tolist() == [2, 1, 3, 1, 2, 5]  # person 3: 0 of 1, person 7: 1 of 2
    ratio = Ratio(*map(np.asarray, (people, y, x, yy, xy, xx)))
    assert estimate(ratio).rate == pytest.approx(3 / 5)


def test_the_same_twice_is_seldom_called_different() -> None:
    seen = repeat(past(400, 8, 0.2, 0.2).same(), runs=60, effect=0.1)
    assert seen.always <= ALPHA
    assert seen.peeking > 2 * ALPHA
    assert seen.covered >= 1 - ALPHA
    assert seen.uplift == pytest.approx(0, abs=0.03)


def test_a_planted_difference_is_found() -> None:
    planted = past(600, 8, 0.2, 0.3)
    seen = repeat(planted, runs=60, effect=0.3)
    assert seen.always == 1
    assert seen.impressions < 600 * 8
    assert seen.uplift == pytest.approx(planted.uplift, rel=0.15)
    assert seen.covered >= 0.9


def test_a_planted_degradation_is_found() -> None:
    worse = past(600, 8, 0.3, 0.3).degraded(0.4, seed=1)
    assert worse.uplift == pytest.approx(-0.4, abs=0.05)
    assert repeat(worse, runs=5, effect=0.3).always == 1


def test_each_run_draws_anew() -> None:
    drawn = [[variant_of(experiment(run), user).name for user in range(200)] for run in (0, 1)]
    assert 60 < sum(one != other for one, other in zip(*drawn, strict=True)) < 140


def test_the_command_says_what_came_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    told = CliRunner().invoke(
        app,
        [
            *("experiment", "simulate", "--dataset", "100k", "--share", "0.05"),
            *("--treatment", "popularity-recent", "--runs", "2", "--same-runs", "4"),
        ],
    )
    assert told.exit_code == 0, told.output
    assert "A against A, 4" in told.output
    assert "A against B, 2" in told.output


@pytest.mark.parametrize("same", [Past.same, lambda it: it.degraded(0.0, 0)])
def test_nothing_lost_is_no_difference(same: Callable[[Past], Past]) -> None:
    assert same(past(50, 4, 0.2, 0.4)).uplift == 0
