"""Giving memory back."""

import gc
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from api.serving.memory import give_back


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps it")
def test_what_is_free_between_what_is_used_goes_back() -> None:
    blocks = [bytes(4_096) for _ in range(20_000)]  # 80 MB, from the C library: over 512 bytes
    used = blocks[::500]
    full = _resident()
    del blocks
    gc.collect()
    give_back()
    assert full - _resident() > 60 * 2**20
    assert len(used) == 40


def _resident() -> int:
    """Bytes of this process's own memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1_024


# Threads that allocate beside each other, and what malloc says of its heaps.
_BESIDE = """
import ctypes, threading
from api.serving.memory import one_heap
{first}
held, together = [], threading.Barrier(2)
def allocate():
    together.wait()
    held.append([bytes(10_000) for _ in range(100)])
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has several")
@pytest.mark.parametrize(("first", "more"), [("one_heap()", False), ("", True)])
def test_threads_allocate_from_one_heap(first: str, more: bool) -> None:
    command = [sys.executable, "-c", _BESIDE.format(first=first)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "Arena 0:" in said
    assert ("Arena 1:" in said) == more
