"""`freshet keys`: a key from its creation to its end."""

import re

import pytest
from typer.testing import CliRunner

from infra.cli import app
from stream.contracts.errors import ConfigurationError


@pytest.fixture(autouse=True)
def redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_REDIS_URL", redis_url)
    monkeypatch.setenv("COLUMNS", "120")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["keys", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_life() -> None:
    said = run("create", "--scope", "write", "--name", "shop", "--expires", "90d", "--rate", "5/s")
    found = re.search(r"freshet_([0-9a-f]{8})_([\w-]{43})\n", said)
    assert found is not None
    first, secret = found.groups()
    rotated = re.search(r"freshet_([0-9a-f]{8})_", run("rotate", first, "--overlap", "1h"))
    assert rotated is not None
    listed = run("list")
    assert secret not in listed
    rows = [re.split(r"\s*│\s*", row)[1:-1] for row in listed.splitlines() if "shop" in row]
    assert [row[:4] for row in rows] == [[it, "shop", "write", "5/s"] for it in (first, rotated[1])]
    run("revoke", first)
    assert first not in run("list")
    with pytest.raises(ConfigurationError, match=f"no key {first}; there are: {rotated[1]}"):
        run("rotate", first)


@pytest.mark.parametrize("wrong", [("--rate", "fast"), ("--expires", "soon")])
def test_what_is_wrong_is_said(wrong: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=wrong[1]):
        run("create", "--scope", "read", *wrong)
    assert "read" not in run("list")
