"""From a CSV as large as MovieLens 25M to everything that the lab needs: seconds and memory."""

import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.report import Report, main
from producers.planted import Parameters
from producers.synthetic import MOVIES_FILE, RATINGS_FILE, write

SECONDS: Final = 120
MEMORY: Final = 6  # GiB
KIB_A_GIB: Final = 2**20
BYTES_A_MB: Final = 1e6


def run() -> Report:
    parameters = Parameters()
    with tempfile.TemporaryDirectory() as scratch:
        release, home = Path(scratch) / "csv", Path(scratch) / "home"
        # In a process of its own: a child's peak begins with what its parent holds.
        maker = multiprocessing.get_context("spawn").Process(
            target=as_csv, args=(parameters, release)
        )
        maker.start()
        maker.join()
        seconds, used = prepare(release, home)
        again, _ = prepare(release, home)
        read = (release / "ratings.csv").stat().st_size
        written = sum(file.stat().st_size for file in (home / "prepared").rglob("*.parquet"))
    report = Report("Data preparation", "python -m benchmarks.prepare")
    report.at_most(f"{parameters.ratings:,} ratings from CSV", seconds, "s", SECONDS)
    report.at_most("peak memory of the process", used.ru_maxrss / KIB_A_GIB, "GiB", MEMORY)
    report.context("processor time of all its threads", used.ru_utime + used.ru_stime, "s")
    report.context("a second run, which finds it done", again, "s")
    report.context("size of the CSV", read / BYTES_A_MB, "MB")
    report.context("size of what is written", written / BYTES_A_MB, "MB")
    return report


def as_csv(parameters: Parameters, directory: Path) -> None:
    """A synthetic data set in the files of a MovieLens release, whose ratings are by user."""
    write(parameters, directory)
    columns = {"userId": "user_id", "movieId": "movie_id", "rating": "rating"}
    ratings = pl.read_parquet(directory / RATINGS_FILE).sort("user_id", "movie_id")
    ratings.select(
        *(pl.col(column).alias(name) for name, column in columns.items()),
        timestamp=pl.col("timestamp") // 1000,
    ).write_csv(directory / "ratings.csv", float_precision=1)
    pl.read_parquet(directory / MOVIES_FILE).select(
        movieId="movie_id",
        title=pl.format("{} ({})", "title", "year"),
        genres=pl.col("genres").list.join("|"),
    ).write_csv(directory / "movies.csv")
    for file in (RATINGS_FILE, MOVIES_FILE):
        (directory / file).unlink()


def prepare(release: Path, home: Path) -> tuple[float, resource.struct_rusage]:
    """Seconds that the command takes, its start included, and what its process used."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "infra", "data", "prepare", "--dataset", str(release)]
    process = subprocess.Popen(command, env={**os.environ, "FRESHET_HOME": str(home)})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - started, used


if __name__ == "__main__":
    main(run)
