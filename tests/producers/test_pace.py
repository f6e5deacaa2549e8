import numpy as np
import pytest

from producers.pace import Pace
from stream.contracts.errors import ConfigurationError

TIMES = np.array([5_000, 5_000, 65_000, 125_000])  # ms


def test_a_minute_in_a_second() -> None:
    assert Pace.parse("60x", None).due(TIMES).tolist() == [0, 0, 1, 2]


def test_so_many_a_second_whatever_their_times() -> None:
    assert Pace.parse(None, "4/s").due(TIMES).tolist() == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("speed", ["max", None])
def test_at_once(speed: str | None) -> None:
    assert Pace.parse(speed, None).due(TIMES).tolist() == [0, 0, 0, 0]


def test_nothing_is_never_due() -> None:
    for pace in (Pace(), Pace(speed=2), Pace(rate=2)):
        assert pace.due(TIMES[:0]).tolist() == []


def test_the_unit_may_be_left_out() -> None:
    assert Pace.parse("1.5", None) == Pace(speed=1.5)
    assert Pace.parse(None, "100") == Pace(rate=100)


@pytest.mark.parametrize("text", ["0x", "-1", "fast", "60y", "1e3", "x"])
def test_what_is_no_pace(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--speed"):
        Pace.parse(text, None)
    with pytest.raises(ConfigurationError, match="--rate"):
        Pace.parse(None, text)


def test_one_pace_at_a_time() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        Pace.parse("2x", "2/s")
