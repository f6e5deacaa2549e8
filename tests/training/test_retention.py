"""Old models go, and nothing that is needed; whenever pruning stops, no half model is left."""

import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams

import training.promotion
from stream.contracts.errors import (
    ArtifactError,
    BrokerUnavailable,
    Busy,
    ConfigurationError,
    IndexUnavailable,
    Unavailable,
)
from stream.contracts.events import ModelEvent
from stream.contracts.experiments import ExperimentEvent, ModelChoice, Variant
from stream.contracts.topics import Topics
from training.index_server import switch_alias
from training.promotion import Promoter, QdrantServer, versions
from training.registry import CHAMPION, Registry
from training.retention import prune

NOW = 2_000_000_000.0  # s
DAY = 86_400  # s
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Remembering(Registry):
    """MLflow that knows one champion and takes no time."""

    aliases: dict[str, str] = field(default_factory=dict)
    dropped: list[tuple[set[str], float]] = field(default_factory=list)

    def marked(self) -> dict[str, str]:
        return self.aliases

    def drop(self, kept: Collection[str], before: float) -> tuple[str, ...]:
        self.dropped.append((set(kept), before))
        return ()


def directory(path: Path, days: float) -> None:
    """With a file in a directory of it, last written so many days ago."""
    (path / "index").mkdir(parents=True)
    (path / "index" / "points").write_text(path.name)
    for part in (path, path / "index"):
        os.utime(part, (NOW - days * DAY,) * 2)


@pytest.fixture
def promoter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Promoter:
    """Served is `served`, before it were `before` and `earlier`; all but `young` are old."""
    old = ("champion", "served", "before", "earlier", "forgotten", "refused")
    for version in old:
        directory(tmp_path / version, days=8)
    directory(tmp_path / "young", days=6)
    event = ModelEvent(
        event_id="promotion",
        version="served",
        artifact=str(tmp_path / "served"),
        collection="movies-served",
        previous=("before", "earlier"),
        event_time=int(NOW * 1000),
        produced_time=int(NOW * 1000),
    )
    monkeypatch.setattr("training.promotion.last_promotion", lambda *_: event)
    monkeypatch.setattr("training.retention.known_experiments", lambda *_: {})
    registry = Remembering("nowhere", {CHAMPION: "champion"})
    return Promoter(tmp_path, {}, Topics(), registry, redis_url)


KEPT = ["young", "served", "earlier", "champion", "before"]


def test_what_is_old_and_not_needed_is_dropped(promoter: Promoter) -> None:
    assert prune(promoter, WEEK, NOW).versions == ("refused", "forgotten")
    assert versions(promoter.artifacts) == KEPT
    assert prune(promoter, WEEK, NOW) == ((), (), ())
    registry = promoter.registry
    assert isinstance(registry, Remembering)
    assert registry.dropped == [(set(KEPT), NOW - 7 * DAY)] * 2
    assert prune(promoter, timedelta(days=5), NOW).versions == ("young",)


@pytest.mark.parametrize(
    ("start", "stop", "dropped"),
    [
        pytest.param(-DAY, None, ("refused",), id="runs"),
        pytest.param(-DAY, DAY, ("refused",), id="runs for another day"),
        pytest.param(DAY, None, ("refused",), id="will run"),
        pytest.param(-DAY, 0, ("refused", "forgotten"), id="has ended"),
    ],
)
def test_what_an_experiment_tries_stays(
    promoter: Promoter,
    monkeypatch: pytest.MonkeyPatch,
    start: int,
    stop: int | None,
    dropped: tuple[str, ...],
) -> None:
    tried = ModelChoice(version="forgotten", artifact="somewhere", collection="movies-forgotten")
    experiment = ExperimentEvent(
        event_id="experiment",
        name="another-model",
        group="models",
        salt="salt",
        control="as-it-is",
        variants=(Variant(name="as-it-is"), Variant(name="another", model=tried)),
        start=int(NOW + start) * 1000,
        stop=None if stop is None else int(NOW + stop) * 1000,
        event_time=0,
        produced_time=0,
    )
    read = {"another-model": experiment}
    monkeypatch.setattr("training.retention.known_experiments", lambda *_: read)
    assert prune(promoter, WEEK, NOW).versions == dropped


def test_what_may_be_about_to_be_promoted_stays(promoter: Promoter) -> None:
    directory(promoter.artifacts / "trained", days=0.9 / 24)
    directory(promoter.artifacts / "left", days=1.1 / 24)
    assert "left" in prune(promoter, timedelta(0), NOW).versions
    assert versions(promoter.artifacts) == ["trained", "served", "earlier", "champion", "before"]


def test_nobody_can_promote_what_is_being_dropped(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From before it is known what is served until the last model is deleted."""
    monkeypatch.setattr("training.promotion.PATIENCE", 0.0)
    with promoter.turn(), pytest.raises(Busy, match="another process holds the lease `models`"):
        prune(promoter, WEEK, NOW)
    assert "forgotten" in versions(promoter.artifacts)

    refused = []

    def meanwhile(do: Callable[..., object]) -> Callable[..., object]:
        def doing(*arguments: object) -> object:
            with pytest.raises(Busy):
                promoter.promote("forgotten")
            refused.append(do)
            return do(*arguments)

        return doing

    served = training.promotion.last_promotion
    monkeypatch.setattr("training.promotion.last_promotion", meanwhile(served))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", meanwhile(Path.rename))
        patched.setattr(shutil, "rmtree", meanwhile(shutil.rmtree))
        assert prune(promoter, WEEK, NOW).versions == ("refused", "forgotten")
    assert len(refused) == 5
    with pytest.raises(ConfigurationError, match="no model forgotten"):
        promoter.promote("forgotten")


def test_what_is_still_being_written_stays(promoter: Promoter) -> None:
    directory(promoter.artifacts / ".killed.partial", days=2 / 24)
    directory(promoter.artifacts / ".busy.partial", days=2 / 24)
    os.utime(promoter.artifacts / ".busy.partial" / "index", (NOW - 60, NOW - 60))
    assert prune(promoter, WEEK, NOW).unfinished == (".killed.partial",)
    assert (promoter.artifacts / ".busy.partial").is_dir()


def test_what_becomes_a_model_while_it_is_looked_at_stays(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished, finished = promoter.artifacts / ".new.partial", promoter.artifacts / "new"
    directory(unfinished, days=8)
    look = Path.rglob

    def finished_meanwhile(path: Path, pattern: str) -> list[Path]:
        found = list(look(path, pattern))
        if path == unfinished:
            unfinished.rename(finished)
        return found

    monkeypatch.setattr(Path, "rglob", finished_meanwhile)
    assert prune(promoter, WEEK, NOW).unfinished == ()
    assert (finished / "index" / "points").is_file()


class Killed(Exception):  # noqa: N818 - it is no error
    pass


@pytest.mark.parametrize("step", range(4))
def test_a_run_that_is_killed_leaves_no_half_model(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """At each step: two models, each renamed and then deleted; a deletion stops half way."""
    steps = 0

    def dying(do: Callable[..., object], half: Callable[..., object]) -> Callable[..., object]:
        def die(*arguments: object) -> object:
            nonlocal steps
            steps += 1
            if steps > step:
                half(*arguments)
                raise Killed
            return do(*arguments)

        return die

    def delete_half(path: Path) -> None:
        (path / "index" / "points").unlink()

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", dying(Path.rename, lambda *_: None))
        patched.setattr(shutil, "rmtree", dying(shutil.rmtree, delete_half))
        with pytest.raises(Killed):
            prune(promoter, WEEK, NOW)
    left = versions(promoter.artifacts)
    assert set(left) >= set(KEPT)
    for version in left:
        assert (promoter.artifacts / version / "index" / "points").read_text() == version
    later = NOW + 10 * DAY  # so that what was left half is abandoned
    prune(promoter, timedelta(days=17.5), later)
    assert sorted(path.name for path in promoter.artifacts.iterdir()) == sorted(KEPT)


@pytest.mark.parametrize("without", ["promotion", "experiments", "mlflow", "qdrant"])
def test_nothing_is_dropped_without_knowing_what_is_needed(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    errors = {
        "promotion": (ConfigurationError, "nothing is promoted in models, so nothing is dropped"),
        "experiments": (BrokerUnavailable, "nobody answers"),
        "mlflow": (Unavailable, "MLflow at http://127"),
        "qdrant": (IndexUnavailable, "dropping collection movies-refused failed"),
    }
    nowhere = "http://127.0.0.1:1"
    if without == "promotion":
        monkeypatch.setattr("training.promotion.last_promotion", lambda *_: None)
    elif without == "experiments":
        fail = Mock(side_effect=BrokerUnavailable("nobody answers"))
        monkeypatch.setattr("training.retention.known_experiments", fail)
    elif without == "mlflow":
        promoter = replace(promoter, registry=Registry(nowhere))
    else:
        promoter = replace(promoter, qdrant=QdrantServer(nowhere))
    before = versions(promoter.artifacts)
    error, said = errors[without]
    with pytest.raises(error, match=said):
        prune(promoter, WEEK, NOW)
    assert versions(promoter.artifacts) == before


def test_collections_go_with_their_models(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = QdrantClient(":memory:")
    monkeypatch.setattr(client, "close", lambda: None)
    monkeypatch.setattr("training.index_server.connect", lambda *_: client)
    theirs = "movies-of-somebody-else"  # who uses the same server
    for name in ("movies-served", "movies-forgotten", theirs):
        client.create_collection(name, VectorParams(size=2, distance=Distance.DOT))
    promoter = replace(promoter, qdrant=QdrantServer("local"))

    switch_alias(client, "movies-forgotten")
    with pytest.raises(ArtifactError, match="movies-forgotten is in use"):
        prune(promoter, WEEK, NOW)
    assert "forgotten" in versions(promoter.artifacts)

    switch_alias(client, "movies-served")
    assert "forgotten" in prune(promoter, WEEK, NOW).versions
    left = {collection.name for collection in client.get_collections().collections}
    assert left == {"movies-served", theirs}
