from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.training.build import clubs, tables


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the commands that the test runs."""
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def data(tmp_path: Path, home: Path) -> Path:
    """A directory with a small data set, for commands with a home of their own."""
    for name, table in zip(("ratings", "movies"), tables(clubs(users=60)), strict=True):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    return tmp_path
