"""The production path where no stack runs: how long it is waited for."""

from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace
from typing import cast

import httpx
import pytest

from infra import production
from infra.local import LocalStack
from infra.production import TIMEOUT, Production
from infra.settings import Settings
from stream.contracts.errors import FreshetError
from tests.training.build import ratings


@pytest.fixture(autouse=True)
def _a_look_takes_half_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=count(0, TIMEOUT / 2).__next__, sleep=lambda _: None)
    monkeypatch.setattr(production, "time", clock)


def waited(applied: Iterator[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(production, "applied", lambda *_: next(applied))
    stack = cast(LocalStack, SimpleNamespace(settings=Settings(kafka_bootstrap_servers="none")))
    path = Production(stack, httpx.Client(), ratings([(1, 1, 4.0, 0)]))
    path._published = 1_000
    path._wait_applied()


def test_a_large_past_is_waited_for_while_there_is_progress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    applied = iter([*range(0, 1_000, 10), 1_000])
    waited(applied, monkeypatch)
    assert not list(applied)


def test_without_progress_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FreshetError, match="more than 400 of 1,000 ratings to be applied after 90"):
        waited(iter([400] * 10), monkeypatch)
