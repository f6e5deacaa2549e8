"""Being killed at any line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, FunctionType, ModuleType
from typing import Any


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Kill:
    """Whether it came to that."""

    happened: bool = False


@contextmanager
def killed_at(line: int, *places: FunctionType | ModuleType) -> Iterator[Kill]:
    """What runs within ends before the `line`-th line of these functions, and of all in these
    modules, that it comes to."""
    codes = {place.__code__ for place in places if isinstance(place, FunctionType)}
    files = {place.__file__ for place in places if isinstance(place, ModuleType)}
    kill, left = Kill(), line

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code not in codes and frame.f_code.co_filename not in files:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield kill
    except Killed:
        kill.happened = True
    finally:
        sys.settrace(before)
