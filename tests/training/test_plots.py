"""What pictures show: a model is the same line wherever it is drawn."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from training import plots
from training.runs import Question, Result

KS = [5, 10]


def result(model: str, ndcg: float, recall: float) -> Result:
    figures = {f"{name}@{k}": at for name, at in (("ndcg", ndcg), ("recall", recall)) for k in KS}
    return Result(Question("offline", "tiny", "", model, {"ks": KS}), figures)


def test_a_model_is_drawn_alike_in_every_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another one is the best of that figure."""
    figure = Figure()

    @contextmanager
    def shown(*_: object) -> Iterator[Figure]:
        yield figure

    monkeypatch.setattr(plots, "drawn", shown)
    results = [result("first", ndcg=0.4, recall=0.1), result("second", ndcg=0.3, recall=0.2)]
    plots.draw_curves(results, ("ndcg", "recall"), Path("unused"))
    colours = [
        {line.get_label(): line.get_color() for line in axes.get_lines()} for axes in figure.axes
    ]
    assert colours[0] == colours[1]
    assert list(colours[0]) == ["first", "second"]
    assert figure.axes[1].get_lines()[0].get_ydata()[0] == 0.1
