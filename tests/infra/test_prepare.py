from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli import app
from producers import datasets
from stream.contracts.errors import DatasetError, Unavailable


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is downloaded: 100k is the bundled one."""

    def unreachable(url: str, *_: object) -> None:
        raise Unavailable(f"{url} cannot be downloaded: no route to host")

    monkeypatch.setattr(datasets, "fetch", unreachable)
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path))
    monkeypatch.delenv("FRESHET_DATA_DIR", raising=False)
    return tmp_path


def invoke(*words: str) -> str:
    result = CliRunner().invoke(app, ["data", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_prepare_says_what_it_found_and_that_it_knows_it_already(home: Path) -> None:
    first = invoke("prepare", "--dataset", "100k")
    assert "100,000 ratings of 1,682 movies by 943 users, 1997-09-20 to 1998-04-22" in first
    assert "1 movies without a year, 2 without genres, 0 without ratings" in first
    (directory,) = (home / "prepared").glob("ml-100k-*")
    assert f"\nprepared: {directory}\n" in first
    second = invoke("prepare", "--dataset", "100k")
    assert f"already prepared (cache hit): {directory}\n" in second
    assert "100,000 ratings of 1,682 movies" in second
    assert "100,000 ratings" in invoke("check", str(directory))
    invoke("prepare", "--dataset", "100k", "--seed", "1")
    assert len([*(home / "prepared").glob("ml-100k-*")]) == 2


def test_an_unknown_data_set_lists_those_that_there_are() -> None:
    with pytest.raises(DatasetError, match="one of 100k, 1m, 10m, 20m, 25m, 32m, latest-small"):
        invoke("prepare", "--dataset", "ml-26m")
