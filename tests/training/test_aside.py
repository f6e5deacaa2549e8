"""Work that gives way: in a thread of lower priority, and nothing else is lowered."""

import os
import sys
import threading

import pytest

from training.aside import aside

NICEST = 19  # of Linux


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_it_gives_way_to_who_asked() -> None:
    before = priority()
    assert aside(priority) == min(before + 10, NICEST)
    assert priority() == before


def test_what_it_returns_and_raises_is_the_callers() -> None:
    assert aside(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        aside(divmod, 7, 0)
