"""Giving memory back."""

import gc
import platform
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
