from dataclasses import replace

import pytest

from training.config import Config
from training.schedule import LOWEST, schedule

CONFIG = Config(warm_up=4)


def test_it_warms_up_and_stays() -> None:
    share = schedule(CONFIG, steps=10)
    assert [share(step) for step in (0, 1, 2, 3, 4, 10_000)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_it_falls_along_half_a_cosine() -> None:
    share = schedule(replace(CONFIG, decay_epochs=3), steps=10)
    assert share(0) == 0.25
    assert share(10) == pytest.approx(LOWEST + (1 - LOWEST) * 0.75)  # cos 60 degrees is a half
    assert share(15) == pytest.approx((1 + LOWEST) / 2)
    assert share(30) == pytest.approx(LOWEST)
    assert share(31) == pytest.approx(LOWEST)
