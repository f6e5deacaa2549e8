"""Making a data set as large as MovieLens 25M: how long it takes and how much memory."""

import resource
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.report import Report, main
from producers.planted import Parameters
from producers.synthetic import RATINGS_FILE, write

SECONDS: Final = 120
MEMORY: Final = 6  # GiB
KIB_A_GIB: Final = 2**20
BYTES_A_MB: Final = 1e6


def run() -> Report:
    parameters = Parameters()
    started = time.perf_counter()
    started_cpu = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        write(parameters, Path(scratch))
        seconds = time.perf_counter() - started
        size = (Path(scratch) / RATINGS_FILE).stat().st_size
    used = time.process_time() - started_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_A_GIB  # Linux counts in KiB
    report = Report("Synthetic data", "python -m benchmarks.synthetic")
    report.at_most(f"{parameters.ratings:,} ratings to Parquet", seconds, "s", SECONDS)
    report.at_most("peak memory of the process", peak, "GiB", MEMORY)
    report.context("processor time of all its threads", used, "s")
    report.context("size of the ratings' file", size / BYTES_A_MB, "MB")
    return report


if __name__ == "__main__":
    main(run)
