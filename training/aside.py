"""Work on files that gives way to requests.

To check and copy the files of a model keeps a core busy for a while. On a machine that has none to
spare, requests would wait for it: p99 of lists was 5 times as long (`benchmarks.promotion`).
"""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Added to the thread's nice value: a tenth of the weight of the others. At 19 it would now and then
# be interrupted for long while it has the GIL.
_NICE: Final = 10


def _give_way() -> None:
    """Elsewhere than on Linux a thread has no priority of its own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICE)


def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns or raises, done in a thread that gives way.

    A new one: who gives way may not take it back, and one that stays would be missing after a fork.

    Args:
        work: leaves the GIL alone but for moments: where it is interrupted with it, all wait.
    """
    with ThreadPoolExecutor(1, "aside", _give_way) as thread:
        return thread.submit(work, *args, **kwargs).result()
