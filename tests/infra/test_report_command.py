from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from infra.cli import app
from stream.contracts.errors import ConfigurationError
from tests.training.build import clubs, tables
from training.baselines import catalogue
from training.baselines.catalogue import Entry


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path / "home"))
    directory = tmp_path / "clubs"
    directory.mkdir()
    for name, table in zip(("ratings", "movies"), tables(clubs(users=60)), strict=True):
        pq.write_table(table, directory / f"{name}.parquet")
    return directory


def report(page: Path, datasets: str, models: str) -> str:
    words = ("eval", "report", "--datasets", datasets, "--models", models, "--out", str(page))
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_report_of_a_data_set_of_ones_own(data: Path, tmp_path: Path) -> None:
    page, results = tmp_path / "docs" / "page.md", tmp_path / "home" / "evaluations"
    # The second one is the first one again.
    output = report(page, f"{data},{data}", "random")
    assert "is what was measured as clubs: left out" in output
    text = page.read_text()
    assert text.count("## clubs\n\n480 ratings of 72 movies by 60 users, 2001-") == 1
    assert f"`freshet eval report --datasets {data},{data} --models random`" in text
    assert f"`freshet eval prequential --dataset {data} --models random`" in text
    assert "**random** is best with NDCG@10" in text

    kept = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    page.unlink()
    report(page, f"{data},{data}", "random")
    assert page.read_text() == text
    assert kept == {path: path.stat().st_mtime_ns for path in results.iterdir()}


def test_what_does_not_exist_is_named_before_the_work(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no model 'best': there are popularity"):
        report(tmp_path / "page.md", str(data), "random,best")
    assert not (tmp_path / "home").exists()


def test_what_diversification_costs_is_measured_apart_and_reported(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = Entry("tests.training.tunable:Diverse")
    monkeypatch.setattr(catalogue, "MODELS", {**catalogue.MODELS, "two-stage": planted})
    page, table = tmp_path / "page.md", tmp_path / "table.md"
    report(page, str(data), "random")
    assert f"`freshet eval diversity --dataset {data}`\n\n**Not measured.**" in page.read_text()
    words = ("eval", "diversity", "--dataset", str(data), "--markdown", str(table))
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "clubs, the next liked movie, fresh state" in result.output
    report(page, str(data), "random")
    *_, last = table.read_text().strip().splitlines()
    assert last.startswith("| 0.8 |")
    assert last in page.read_text()
