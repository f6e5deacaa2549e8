"""Run every benchmark, each in a process of its own, and write docs/benchmarks.md."""

import json
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

import benchmarks
from benchmarks.report import write_document

HELPERS = {"__main__", "load", "population", "report", "spent", "traffic"}


def main() -> None:
    names = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__))
    reports = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            if name in HELPERS:
                continue
            output = Path(scratch) / f"{name}.json"
            subprocess.run([sys.executable, "-m", f"benchmarks.{name}", str(output)], check=True)
            reports.append(json.loads(output.read_text()))
    write_document(reports)


if __name__ == "__main__":
    main()
