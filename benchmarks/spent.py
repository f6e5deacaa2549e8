"""What processes have spent, as the system counts it, and an API as it measures itself."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT: Final = 60  # s for the metrics


class Spent(NamedTuple):
    """What the processes had spent by some moment, and the API measured.

    Attributes:
        seconds: of a clock.
        cpu: processor seconds by name of the process.
        stages: of the API's answers, seconds in all, and how often.
    """

    seconds: float
    cpu: Mapping[str, float]
    stages: Mapping[str, tuple[float, float]]


def spent(url: str, pids: Mapping[str, int]) -> Spent:
    """What these processes have spent by now, and the API of this URL measured."""
    stages: dict[str, tuple[float, float]] = {}
    exposition = httpx.get(f"{url}/metrics", timeout=_TIMEOUT).text
    for family in text_string_to_metric_families(exposition):
        if family.name != "freshet_api_stage_seconds":
            continue
        values = {
            (sample.labels["stage"], sample.name.rpartition("_")[2]): sample.value
            for sample in family.samples
        }
        stages = {
            name: (total, values[name, "count"])
            for (name, part), total in values.items()
            if part == "sum"
        }
    cpu = {name: _cpu_seconds(pid) for name, pid in pids.items()}
    return Spent(time.monotonic(), cpu, stages)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])  # user and system
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> dict[str, float]:
    """MB that are resident, and those of them that no file backs."""
    lines = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {name: int(lines[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "RssAnon")}
