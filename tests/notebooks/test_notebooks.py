from pathlib import Path

import jupytext
import nbformat
import pyarrow.parquet as pq
import pytest
from nbclient.exceptions import CellExecutionError

from producers import datasets
from stream.contracts.errors import Unavailable
from tests.notebooks.run import execute, sources

MIN_PICTURES = 5
MIN_PICTURE = 5_000  # characters of base64: an empty figure has fewer


def pictures(notebook: nbformat.NotebookNode) -> list[str]:
    return [
        output["data"]["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]


def code(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def small_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MovieLens 100K as the directory of a data set: it is there on every machine."""

    def unreachable(*_: object) -> None:
        raise Unavailable("nothing is downloaded here")

    monkeypatch.setattr(datasets, "fetch", unreachable)
    loaded = datasets.load(datasets.find("100k", cache=tmp_path, say=lambda _: None))
    directory = tmp_path / "ml-100k"
    directory.mkdir()
    pq.write_table(loaded.ratings, directory / "ratings.parquet")
    pq.write_table(loaded.movies, directory / "movies.parquet")
    return directory


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_a_notebook_runs_and_draws(source: Path, small_data: Path, tmp_path: Path) -> None:
    notebook = execute(source, tmp_path, DATASET=str(small_data))
    drawn = pictures(notebook)
    assert len(drawn) >= MIN_PICTURES
    assert min(map(len, drawn)) >= MIN_PICTURE


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_what_is_saved_is_what_the_source_makes(source: Path) -> None:
    saved = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    assert code(saved) == code(jupytext.read(source)), "python -m tests.notebooks.run"
    assert pictures(saved)
    assert all(cell.execution_count for cell in saved.cells if cell.cell_type == "code")


def test_a_cell_that_fails_fails_the_notebook(tmp_path: Path) -> None:
    source = tmp_path / "bad.py"
    source.write_text("# %%\n1 / 0\n")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(source, tmp_path)
