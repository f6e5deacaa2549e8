"""What a benchmark reports, and how the reports become docs/benchmarks.md."""

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `bar` says what the project wants of it, '' where it is context."""

    what: str
    value: float
    unit: str
    bar: str = ""
    met: bool | None = None


@dataclass(slots=True)
class Report:
    """The figures of one benchmark, all measured in one run."""

    title: str
    command: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def at_most(self, what: str, value: float, unit: str, bar: float) -> None:
        self.figures.append(
            Figure(what, float(value), unit, f"at most {bar:g}", bool(value <= bar))
        )

    def at_least(self, what: str, value: float, unit: str, bar: float) -> None:
        self.figures.append(
            Figure(what, float(value), unit, f"at least {bar:g}", bool(value >= bar))
        )

    def context(self, what: str, value: float, unit: str) -> None:
        self.figures.append(Figure(what, float(value), unit))


def machine() -> str:
    """The machine in words: processor count, memory, system, Python."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {gib:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


def main(run: Callable[[], Report]) -> None:
    """Run one benchmark as a program: a table for people, and JSON to the file argument if any."""
    report = run()
    table = Table(title=f"{report.title} ({machine()})")
    for column in ("figure", "value", "unit", "bar", "met"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for figure in report.figures:
        table.add_row(figure.what, _number(figure.value), figure.unit, figure.bar, _met(figure))
    console = Console()
    console.print(table, *report.notes, sep="\n")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps({**asdict(report), "machine": machine()}))


def write_document(reports: list[dict[str, Any]]) -> None:
    lines = [
        "# Benchmarks",
        "",
        "Everything runs on one machine, clients and servers together; a section is one run of the",
        "command above it. `make bench` runs them all and writes this page. Timings move with the",
        "machine; ratios measured side by side in one run are what carries over.",
    ]
    for report in reports:
        lines += [
            "",
            f"## {report['title']}",
            "",
            f"`{report['command']}` on {report['machine']}",
            "",
        ]
        lines += ["| figure | value | bar | met |", "|---|---:|---|---|"]
        for row in report["figures"]:
            figure = Figure(**row)
            value = f"{_number(figure.value)} {figure.unit}".strip()
            lines.append(f"| {figure.what} | {value} | {figure.bar} | {_met(figure)} |")
        for note in report["notes"]:
            lines += ["", note]
    DOCUMENT.write_text("\n".join(lines) + "\n")


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _met(figure: Figure) -> str:
    return {True: "yes", False: "**no**", None: ""}[figure.met]
