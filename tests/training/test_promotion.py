"""One message decides what is served, and what cannot be served changes nothing."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec
import pytest
import redis
from qdrant_client import QdrantClient

from producers.admin import ensure_topics
from producers.publisher import BulkPublisher
from stream.coldstart import MANIFEST, VECTORS
from stream.contracts.errors import (
    ArtifactError,
    BrokerUnavailable,
    Busy,
    ConfigurationError,
    IndexUnavailable,
)
from stream.contracts.events import MODEL_KEY, decode_model
from stream.contracts.topics import Topics
from stream.lease import Lease
from tests.planted_model import CATALOGUE, Trait
from tests.producers.kafka import records
from training.artifact import INDEX, Artifact, LogPosition, read_manifest
from training.index import ALIAS
from training.promotion import (
    REMEMBERED,
    Promoter,
    QdrantServer,
    announce,
    last_promotion,
)
from training.registry import Registry

NOWHERE = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Remembering(Registry):
    """MLflow that knows everything and takes no time."""

    champions: list[str] = field(default_factory=list)

    def mark_champion(self, version: str) -> bool:
        self.champions.append(version)
        return True


def copy_of(model: Path, directory: Path, **changes: object) -> Path:
    """The same model under the directory's name, with these changes to its manifest.

    Without its embedded index, which is most of it, and which no promotion opens.
    """
    shutil.copytree(model, directory, ignore=shutil.ignore_patterns(INDEX))
    manifest = read_manifest(model)
    files = {name: sha for name, sha in manifest.files.items() if not name.startswith(f"{INDEX}/")}
    changes = {"version": directory.name, "files": files, **changes}
    changed = msgspec.structs.replace(manifest, **changes)
    (directory / MANIFEST).write_bytes(msgspec.json.encode(changed))
    return directory


@pytest.fixture
def kafka(broker: str, topics: Topics) -> dict[str, str]:
    config = {"bootstrap.servers": broker}
    ensure_topics(config, topics, 1, 1)
    return config


@pytest.fixture
def promoter(
    models: dict[Trait, Path],
    tmp_path: Path,
    kafka: dict[str, str],
    topics: Topics,
    redis_url: str,
) -> Promoter:
    """Of five versions, a to e."""
    for version in "abcde":
        copy_of(models["genre"], tmp_path / version)
    return Promoter(tmp_path, kafka, topics, Remembering("nowhere"), redis_url)


# What the local mode warns of: it has no payload indexes.
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")


@pytest.fixture
def qdrant(monkeypatch: pytest.MonkeyPatch) -> QdrantClient:
    """What stands for a Qdrant server: the client's local mode."""
    client = QdrantClient(":memory:")
    monkeypatch.setattr(client, "close", lambda: None)
    monkeypatch.setattr("training.index_server.connect", lambda *_: client)
    return client


def test_one_changes_what_is_served_at_a_time(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.promotion.PATIENCE", 0.0)
    promoter.promote("a")
    with promoter.turn():
        for change in (partial(promoter.promote, "b"), promoter.rollback):
            with pytest.raises(Busy, match="another process holds the lease"):
                change()
    served = promoter.served()
    assert served is not None
    assert served.version == "a"


def test_who_has_lost_the_turn_promotes_nothing(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(_: Path) -> Artifact:
        with redis.Redis.from_url(promoter.redis) as client:
            client.flushdb()
        monkeypatch.setattr(Lease, "held", False)
        return artifact

    artifact = Artifact.load(promoter.artifacts / "a")
    monkeypatch.setattr(Artifact, "load", lose)
    with pytest.raises(Busy, match="was lost"):
        promoter.promote("a")
    assert promoter.served() is None


def test_a_promotion_names_everything_that_is_served(
    models: dict[Trait, Path], tmp_path: Path, kafka: dict[str, str], topics: Topics
) -> None:
    position = LogPosition("a-topic", (7, 0, 9))
    artifact = Artifact.load(copy_of(models["genre"], tmp_path / "v1", position=position))
    assert last_promotion(kafka, topics.models) is None
    promoted = announce(artifact, kafka, topics.models, ["v0"])
    [[message]] = records(kafka, topics.models, 1)
    assert message.key() == MODEL_KEY
    event = decode_model(message.value())
    assert event == promoted == last_promotion(kafka, topics.models)
    assert (event.version, event.collection, event.previous) == ("v1", "movies-v1", ("v0",))
    assert event.position == (7, 0, 9)
    assert Path(event.artifact).is_absolute()
    assert Artifact.load(Path(event.artifact)).items.version == "v1"


def test_before_there_is_a_log_nothing_is_promoted(broker: str, topics: Topics) -> None:
    assert last_promotion({"bootstrap.servers": broker}, topics.models) is None


def test_a_broker_that_does_not_answer_is_no_log_without_promotions() -> None:
    with pytest.raises(BrokerUnavailable):
        last_promotion({"bootstrap.servers": "127.0.0.1:1"}, "models")


def test_a_promotion_that_the_broker_does_not_get(
    models: dict[Trait, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = partial(BulkPublisher, patience=0.5)
    monkeypatch.setattr("training.promotion.BulkPublisher", impatient)
    with pytest.raises(BrokerUnavailable):
        announce(Artifact.load(models["genre"]), {"bootstrap.servers": "127.0.0.1:1"}, "models")


def test_promotions_and_rollbacks(promoter: Promoter) -> None:
    assert promoter.promote("a").event.previous == ()
    for version in "bcde":
        promoted = promoter.promote(version)
    assert promoted.left == ()
    assert len(promoted.event.previous) == REMEMBERED
    assert promoted.event.previous == ("d", "c", "b")
    assert promoter.promote("e").event.previous == ("d", "c", "b")  # nothing is behind itself

    went_back = [promoter.rollback().event for _ in range(REMEMBERED)]
    assert [event.version for event in went_back] == ["d", "c", "b"]
    assert [event.previous for event in went_back] == [("c", "b"), ("b",), ()]
    with pytest.raises(ConfigurationError, match=r"nothing was served before b.*e, d, c, b, a"):
        promoter.rollback()
    assert promoter.served() == went_back[-1]

    assert promoter.promote("d").event.previous == ("b",)
    assert promoter.promote("b").event.previous == ("d",)  # each once
    assert isinstance(promoter.registry, Remembering)
    assert promoter.registry.champions == [*"abcde", *"edcb", *"db"]


def test_nobodys_rollback_is_undone_by_what_was_decided_before_it(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even by who waits for their turn meanwhile."""
    promoter.replace(None, "a")
    before = promoter.promote("b").event
    turn = Promoter.turn

    @contextmanager
    def after_a_rollback(waiting: Promoter) -> Iterator[Lease]:
        monkeypatch.undo()
        promoter.rollback()
        with turn(waiting) as lease:
            yield lease

    monkeypatch.setattr(Promoter, "turn", after_a_rollback)
    with pytest.raises(Busy, match="a is served instead of b since it was decided to serve c"):
        promoter.replace(before, "c")
    served = promoter.served()
    assert served is not None
    assert served.version == "a"
    with pytest.raises(Busy, match="a is served instead of nothing"):
        promoter.replace(None, "c")
    assert promoter.replace(served, "c").event.previous == ("a",)


def test_there_is_nothing_to_go_back_to_before_the_first_promotion(promoter: Promoter) -> None:
    with pytest.raises(ConfigurationError, match="nothing is served, so there is nothing to go"):
        promoter.rollback()


def test_what_is_no_promotion_is_passed_over(promoter: Promoter) -> None:
    promoter.promote("a")
    with BulkPublisher(promoter.kafka) as publisher:
        publisher.publish(promoter.topics.models, MODEL_KEY, b"not a promotion")
    assert promoter.promote("b").event.previous == ("a",)


def test_a_version_that_is_not_there_changes_nothing(promoter: Promoter) -> None:
    promoter.promote("a")
    (promoter.artifacts / ".f.partial").mkdir()
    for unknown in ("f", ".f.partial", "../a", ""):
        with pytest.raises(ConfigurationError, match=r"there are e, d, c, b, a$"):
            promoter.promote(unknown)
    served = promoter.served()
    assert served is not None
    assert served.version == "a"
    with pytest.raises(ConfigurationError, match="there is none: train one"):
        replace(promoter, artifacts=promoter.artifacts / "none").promote("a")


def damage(artifact: Path) -> None:
    vectors = bytearray((artifact / VECTORS).read_bytes())
    vectors[-1] ^= 1
    (artifact / VECTORS).write_bytes(vectors)


def cut_short(artifact: Path) -> None:
    (artifact / MANIFEST).write_bytes((artifact / MANIFEST).read_bytes()[:100])


def of_another(artifact: Path) -> None:
    shutil.copy(artifact.with_name("a") / MANIFEST, artifact / MANIFEST)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damage, r"item_vectors\.npy is damaged"),
        (cut_short, "no whole model artifact"),
        (lambda artifact: (artifact / "user_tower.onnx").unlink(), r"user_tower\.onnx is missing"),
        (of_another, "holds model a"),
    ],
)
def test_an_artifact_that_is_not_whole_is_not_promoted(
    promoter: Promoter, harm: Callable[[Path], None], said: str
) -> None:
    promoted = promoter.promote("a").event
    harm(promoter.artifacts / "b")
    with pytest.raises(ArtifactError, match=said):
        promoter.promote("b")
    assert promoter.served() == promoted


def test_what_there_was_before_and_is_gone_is_not_gone_back_to(promoter: Promoter) -> None:
    promoter.promote("a")
    promoted = promoter.promote("b").event
    shutil.rmtree(promoter.artifacts / "a")
    with pytest.raises(ConfigurationError, match=r"no model a in .*: there are e, d, c, b"):
        promoter.rollback()
    assert promoter.served() == promoted


def test_a_qdrant_server_that_does_not_answer_changes_nothing(promoter: Promoter) -> None:
    promoted = promoter.promote("a").event
    with pytest.raises(IndexUnavailable, match="movies-b"):
        replace(promoter, qdrant=QdrantServer(NOWHERE)).promote("b")
    assert promoter.served() == promoted


def test_collections_are_made_where_they_are_missing_and_the_alias_follows(
    promoter: Promoter, qdrant: QdrantClient
) -> None:
    promoter = replace(promoter, qdrant=QdrantServer("local"))

    def aliased() -> str:
        assert qdrant.count(ALIAS).count == len(CATALOGUE)
        [alias] = qdrant.get_aliases().aliases
        return alias.collection_name

    for version in "aba":
        promoter.promote(version)
        assert aliased() == f"movies-{version}"
    qdrant.delete_collection("movies-b")
    promoter.rollback()
    assert aliased() == "movies-b"


def test_what_fails_after_the_promotion_is_said_and_it_is_served(
    promoter: Promoter, qdrant: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def refuse(*_: object) -> None:
        raise IndexUnavailable("the alias is told to stay")

    monkeypatch.setattr("training.index_server.switch_alias", refuse)
    down = replace(promoter, qdrant=QdrantServer("local"), registry=Registry(NOWHERE))
    promoted = down.promote("a")
    assert promoter.served() == promoted.event
    alias, mlflow = promoted.left
    assert alias == "the alias is told to stay. Promote a again for it"
    assert mlflow.startswith(f"MLflow at {NOWHERE} failed")
    assert mlflow.endswith("Promote a again for its alias there")


def test_a_model_that_was_never_tracked_is_served_all_the_same(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Remembering, "mark_champion", lambda *_: False)
    assert promoter.promote("a").left == ("nowhere does not know a: not tracked",)
