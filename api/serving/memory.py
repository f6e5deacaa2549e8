"""Memory of the C library: one heap, and what is free given back to the system."""

import ctypes
from typing import Final

# Of glibc. It keeps what was freed between things that are still in use: after a catalogue of
# 62,000 movies was read and indexed anew 90 to 110 MB, a third of what a process has.
_TRIM: Final = getattr(ctypes.CDLL(None), "malloc_trim", None)

_MALLOPT: Final = getattr(ctypes.CDLL(None), "mallopt", None)
_ARENA_MAX: Final = -8  # M_ARENA_MAX of glibc's malloc.h


def one_heap() -> None:
    """Have all threads allocate from one heap, where the C library can; before they begin.

    Otherwise each of them has its own, with holes: at 62,000 movies 7 to 30 MB. Threads that
    hold the GIL one after the other do not wait for each other here.
    """
    if _MALLOPT is not None:
        _MALLOPT(_ARENA_MAX, 1)


def give_back() -> None:
    """Give what the heap has free to the system, where the C library can; takes some ms.

    It runs without the GIL, so that in a thread nothing waits for it but who allocates.
    """
    if _TRIM is not None:
        _TRIM(0)
