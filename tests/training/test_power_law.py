import numpy as np
import pytest
from scipy.special import zeta

from stream.contracts.errors import DatasetError
from training.power_law import PowerLaw, against_lognormal, fit_power_law
from training.tower_inputs import Ints


def planted(exponent: float, start: int, n: int, seed: int = 0) -> Ints:
    """n draws from the law itself, cut off at a million."""
    x = np.arange(start, 1_000_000)
    mass = x ** -float(exponent)
    return np.random.default_rng(seed).choice(x, n, p=mass / mass.sum())


@pytest.mark.parametrize(("exponent", "start"), [(1.8, 1), (2.5, 1), (2.5, 8), (3.2, 3)])
def test_a_planted_exponent_is_found(exponent: float, start: int) -> None:
    law = fit_power_law(planted(exponent, start, 5000))
    assert abs(law.exponent - exponent) < 3 * law.error
    assert law.error < 0.1


def test_the_tail_begins_where_the_law_does() -> None:
    body = np.random.default_rng(1).integers(1, 30, 6000)
    law = fit_power_law(np.concatenate([body, planted(2.5, 30, 3000)]))
    assert 25 <= law.start <= 45
    assert abs(law.exponent - 2.5) < 0.15


def test_survival_is_the_share_that_is_so_large() -> None:
    law = PowerLaw(exponent=2.0, error=0, start=1, tail=0, distance=0)
    # 1 + 1/4 + 1/9 .. = pi^2 / 6
    assert law.survival(np.array([1, 2])) == pytest.approx([1, 1 - 6 / np.pi**2])


def test_the_distance_counts_the_gaps_between_values() -> None:
    # All values are 1: the data have nothing from 2 on, where the law has 1 - 1 / zeta.
    law = fit_power_law(np.ones(100, np.int64))
    assert law.distance == pytest.approx(1 - 1 / zeta(law.exponent, 1))


def test_a_lognormal_is_told_from_a_power_law() -> None:
    chance = np.random.default_rng(2)
    lognormal = np.maximum(np.exp(chance.normal(3, 1, 5000)).round().astype(np.int64), 1)
    law = PowerLaw(exponent=1.5, error=0, start=1, tail=5000, distance=0)
    contest = against_lognormal(lognormal, law)
    assert contest.advantage < -0.1
    assert contest.p < 1e-6
    values = planted(2.5, 1, 5000)
    fair = against_lognormal(values, fit_power_law(values))
    assert fair.p > 0.05


def test_a_few_values_have_no_tail() -> None:
    with pytest.raises(DatasetError, match="3 values"):
        fit_power_law(np.array([1, 2, 3]))
