"""The pictures of a training run: how its epochs went, and what came of it beside popularity."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from training.plots import COLOURS, GREY, drawn

if TYPE_CHECKING:  # they import torch, which drawing does not need
    from training.epochs import Epoch
    from training.pipeline import Comparison

_PANELS = {"live": "the next liked movie", "frozen": "all later liked movies"}
_GROUP = 0.8  # width of the bars of a figure, of 1
_FIGURES = {"recall": "recall@10", "ndcg": "NDCG@10", "hit_rate": "hit rate@10"}


def draw_epochs(epochs: "Sequence[Epoch]", best: int, path: Path) -> None:
    """The training loss, and the figures on the validation part, by epoch.

    Args:
        epochs: all of them.
        best: the number of the one that was kept.
        path: to write to.
    """
    numbers = [epoch.number for epoch in epochs]
    with drawn(path, (7.2, 3.2)) as figure:
        losses, figures = figure.subplots(1, 2)
        losses.plot(numbers, [epoch.loss for epoch in epochs], marker="o", color=COLOURS[0])
        losses.set_title("training loss")
        for (name, label), colour in zip(_FIGURES.items(), COLOURS, strict=False):
            values = [getattr(epoch.validation, name) for epoch in epochs]
            figures.plot(numbers, values, marker="o", color=colour, label=label)
        figures.set_title("validation")
        figures.set_ylim(bottom=0)
        figures.legend()
        for axes in (losses, figures):
            axes.axvline(best, color=GREY, linestyle=":")
            axes.set_xlabel("epoch; dotted: kept")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def draw_results(results: "Mapping[str, Comparison]", path: Path) -> None:
    """The models side by side on the test part, a panel for each protocol.

    Args:
        results: as of `pipeline.Outcome`.
        path: to write to.
    """
    places = np.arange(len(_FIGURES))
    with drawn(path, (7.2, 3.2)) as figure:
        panels = figure.subplots(1, len(results), squeeze=False)[0]
        for axes, (protocol, comparison) in zip(panels, results.items(), strict=True):
            models = comparison._asdict()
            width = _GROUP / len(models)
            shifts = width * (np.arange(len(models)) - (len(models) - 1) / 2)
            colours = (GREY, *COLOURS)  # the first one is popularity
            for (model, quality), shift, colour in zip(
                models.items(), shifts, colours, strict=False
            ):
                values = [getattr(quality, name) for name in _FIGURES]
                axes.bar(places + shift, values, width * 0.9, color=colour, label=model)
            lists = comparison.popularity.lists
            axes.set_title(f"{_PANELS[protocol]}, {lists:,} lists")
            axes.set_xticks(places, _FIGURES.values())
            axes.grid(axis="x", visible=False)
        panels[0].legend()
