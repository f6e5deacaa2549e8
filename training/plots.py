"""The pictures of the evaluation report, as SVG that is the same for the same results.

They stand on a light card of their own: text and lines read well on a white page and a dark one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from training.compare import Interval
from training.prequential_runs import Group
from training.runs import Result
from training.tables import bounds_of, called, interval
from training.trade_off import FIGURES, change

CARD: Final = "#fbfbf9"
INK: Final = "#24292f"
GREY: Final = "#8a9099"
# Okabe and Ito: Color universal design, 2008. Told apart by people who are colour-blind.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
OF_STATES: Final[Mapping[str, str]] = {
    "frozen": "#8a9099",
    "daily": "#56b4e9",
    "fresh": "#0072b2",
}
_LABELLED: Final = len(COLOURS)  # models drawn in colour; the others are grey
_WIDE: Final = 8  # groups from which on their names need smaller letters not to touch
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: small files that can be searched
    "svg.hashsalt": "freshet",  # else ids in the file are random
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.facecolor": CARD,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#d8dce1",
    "legend.fontsize": 8,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def draw_intervals(results: Sequence[Result], names: Mapping[str, str], path: Path) -> None:
    """Figures of each model side by side, with their intervals, best on top.

    Args:
        results: of one evaluation.
        names: of the figures, by how they are called; the last one decides the order.
        path: to write to.
    """
    *_, last = names.values()
    order = sorted(results, key=lambda result: result.figures[last])
    with drawn(path, (7.2, 0.9 + 0.3 * len(order))) as figure:
        axes = figure.subplots()
        colours = (OF_STATES.get(title, COLOURS[0]) for title in names)
        shift = 0.18 * (np.arange(len(names)) - (len(names) - 1) / 2)
        for (title, name), colour, above in zip(names.items(), colours, shift, strict=True):
            intervals = [interval(result, name) for result in order]
            axes.errorbar(
                [found.value for found in intervals],
                np.arange(len(order)) + above,
                xerr=_bars(intervals),
                fmt="o",
                markersize=4,
                linewidth=1.2,
                color=colour,
                label=title,
            )
        axes.set_yticks(range(len(order)), [result.question.model for result in order])
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{called(last)}, 95% confidence interval")
        axes.grid(axis="y", visible=False)
        if len(names) > 1:
            axes.legend(loc="lower right")
        else:
            axes.set_title(next(iter(names)))


def draw_curves(results: Sequence[Result], metrics: Sequence[str], path: Path) -> None:
    """A panel for each metric: what it is at each k at which lists were cut.

    Args:
        results: of one offline evaluation, best first: a model is drawn alike in every panel.
        metrics: their names without k.
        path: to write to.
    """
    ks, styled = sorted(results[0].question.settings["ks"]), list(_styled(results))
    with drawn(path, (7.2, 3.4)) as figure:
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            for result, style in styled:
                axes.plot(ks, [result.figures[f"{metric}@{k}"] for k in ks], **style)
            axes.set_xscale("log")
            axes.set_xticks(ks, [str(k) for k in ks])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_ylim(bottom=0)
            axes.set_title(called(metric))
            axes.set_xlabel("k, movies in the list")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")


def draw_groups(groups: Mapping[str, Sequence[Group]], metric: str, what: str, path: Path) -> None:
    """A line of means by group, and below it how many lists each group has.

    Args:
        groups: by what the line is called, all with the same bounds.
        metric: that the means are of.
        what: the groups are by.
        path: to write to.
    """
    bounds = [bounds_of(group) for group in next(iter(groups.values()))]
    counts = [group.mean.lists for group in next(iter(groups.values()))]
    places = np.arange(len(bounds))
    with drawn(path, (7.2, 4.2)) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for (name, line), colour in zip(groups.items(), cycle(COLOURS), strict=False):
            intervals = [group.mean.interval for group in line]
            upper.errorbar(
                places,
                [found.value for found in intervals],
                yerr=_bars(intervals),
                marker="o",
                markersize=4,
                linewidth=1.4,
                elinewidth=0.8,
                color=OF_STATES.get(name, colour),
                label=name,
            )
        upper.set_ylabel(called(metric))
        upper.set_ylim(bottom=0)
        figure.legend(*upper.get_legend_handles_labels(), loc="outside right upper")
        lower.bar(places, counts, color=GREY)
        lower.set_ylabel("lists")
        lower.set_xticks(places, bounds, fontsize=8 if len(bounds) > _WIDE else None)
        lower.set_xlabel(what)


def draw_trade_offs(results: Mapping[str, Result], chosen: float, path: Path) -> None:
    """A panel for each way of asking: how figures change with the trade-off of diversification.

    Args:
        results: of `trade_off.evaluate`, by how the way of asking is called.
        chosen: the trade-off that is the default.
        path: to write to.
    """
    with drawn(path, (7.2, 3.6)) as figure:
        panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
        for axes, (title, result) in zip(panels, results.items(), strict=True):
            steps = result.question.settings["trade_offs"]
            for name, colour in zip(FIGURES, COLOURS, strict=True):
                gains = [change(result, name, step) for step in steps]
                axes.errorbar(
                    steps,
                    [100 * gain.value for gain in gains],
                    yerr=100 * _bars(gains),
                    marker="o",
                    markersize=3.5,
                    linewidth=1.4,
                    elinewidth=0.8,
                    color=colour,
                    label=called(name),
                )
            axes.axvline(chosen, color=GREY, linestyle=":")
            axes.set_title(title)
            axes.set_xlabel("trade-off")
        panels[0].set_ylabel("% more than without")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _styled(results: Sequence[Result]) -> Iterator[tuple[Result, dict[str, Any]]]:
    """Each result and how its line is drawn: the first ones in colour and in the legend."""
    for place, result in enumerate(results):
        if place < _LABELLED:
            style = {"color": COLOURS[place], "marker": "o", "markersize": 3.5, "zorder": 3}
            yield result, {**style, "label": result.question.model}
        else:
            label = "others" if place == _LABELLED else None
            yield result, {"color": GREY, "linewidth": 0.8, "label": label}


def _bars(intervals: Sequence[Interval]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """f64[2, n]: from each value down and up to its interval's ends."""
    ends = [(value - low, high - value) for value, low, high in intervals]
    return np.maximum(np.nan_to_num(np.array(ends, np.float64).T), 0)


@contextmanager
def drawn(path: Path, inches: tuple[float, float]) -> Iterator[Figure]:
    """A figure, written when it is done."""
    with rc_context(_STYLE):
        figure = Figure(figsize=inches, facecolor=CARD, layout="constrained")
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
