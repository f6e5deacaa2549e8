"""`freshet refresh` on real servers: from ratings in the log to a model that is served."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli import app
from infra.commands.models import promoter
from infra.refresher import LEASE, Order, refresh
from infra.settings import Settings, load_settings
from producers.admin import ensure_topics
from producers.publisher import BulkPublisher
from stream.archive import Archive
from stream.contracts.errors import Busy
from stream.contracts.events import (
    ForgetEvent,
    MovieEvent,
    RatingEvent,
    decode_refresh,
    encode,
    new_event_id,
)
from stream.contracts.topics import Topics
from stream.lease import Lease
from tests.producers.kafka import records
from tests.training.build import START, clubs
from training.artifact import Artifact
from training.registry import CHAMPION
from training.snapshot import archived, read_catalogue, take_snapshot

PARTITIONS = 2
USERS = 250  # of eight ratings each

# Small towers, which learn the clubs in a second; and an exam that so few can pass.
EXPERIMENT = """
[towers]
dimensions = 16
hidden = 16
content_hidden = 8
learning_rate = 2e-2
[run]
max_epochs = 4
"""
GATE = "min_lists = 100\nmin_users = 10\nmax_gini_rise = 1.0\n"


@pytest.fixture
def settings(
    broker: str,
    redis_url: str,
    topics: Topics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Of a log with ratings and a catalogue."""
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FRESHET_KAFKA_BOOTSTRAP_SERVERS", broker)
    monkeypatch.setenv("FRESHET_KAFKA_TOPIC_PREFIX", topics.prefix)
    monkeypatch.setenv("FRESHET_REDIS_URL", redis_url)
    settings = load_settings()
    ensure_topics(settings.librdkafka(), topics, PARTITIONS, 1)
    with BulkPublisher(settings.librdkafka()) as publisher:
        for movie in range(1, 73):
            publisher.publish(topics.movies, b"%d" % movie, encode(_movie(movie)))
        for user, movie, stars, time in sorted(clubs(users=USERS), key=lambda event: event[3]):
            rating = RatingEvent(
                event_id=new_event_id(),
                user_id=user,
                movie_id=movie,
                rating=stars,
                event_time=START + time,
                produced_time=START + time,
                source="replay",
            )
            publisher.publish(topics.ratings, b"%d" % user, encode(rating))
    return settings


@pytest.fixture
def order(tmp_path: Path) -> Order:
    config, gate = tmp_path / "experiment.toml", tmp_path / "gate.toml"
    config.write_text(EXPERIMENT)
    gate.write_text(GATE)
    return Order(min_events=USERS * 8, config=config, gate=gate)


def _movie(movie: int) -> MovieEvent:
    return MovieEvent(
        event_id=new_event_id(),
        movie_id=movie,
        title=f"Movie {movie}",
        genres=("Drama",),
        year=2000,
        event_time=START,
        produced_time=START,
        source="replay",
    )


@pytest.mark.e2e
def test_a_model_of_the_log_is_served(settings: Settings, order: Order) -> None:
    """A first model, better than popularity; then nothing new; and somebody who is forgotten."""
    topics, kafka = Topics(settings.kafka_topic_prefix), settings.librdkafka()
    archive_all()
    report = refresh(settings, order)
    assert report.decision is not None
    assert report.decision.promoted, report.decision.reasons
    served = promoter(settings).served()
    assert served is not None
    assert 0 < sum(served.position) <= USERS * 4  # half was asked, and more of one millisecond
    model = Artifact.load(Path(served.artifact))
    assert model.directory.parent == settings.artifacts.absolute()
    position = model.manifest.position
    assert position is not None
    assert position.offsets == served.position
    assert promoter(settings).registry.marked() == {CHAMPION: served.version}
    [told] = records(kafka, topics.refreshes, 1)[0]
    event = decode_refresh(told.value())
    assert (event.champion, event.challenger, event.promoted) == (None, served.version, True)
    assert event.figures["challenger_ndcg@10"] > event.figures["popularity_ndcg@10"]
    assert sum(movie.popularity for movie in model.movies()) == sum(served.position)

    # What was asked is not learnt: drift says how much that is, and what the model was worth.
    drift = CliRunner().invoke(app, ["drift", "--json"], catch_exceptions=False)
    assert drift.exit_code == 1, drift.output
    checks = {check["name"]: check for check in json.loads(drift.output)["checks"]}
    learnt = sum(served.position)
    assert checks["model_events"]["value"] == pytest.approx((USERS * 8 - learnt) / learnt)
    was = f"ndcg@10 was {event.figures['challenger_ndcg@10']:.4f} at promotion"
    assert checks["lost_quality"]["says"].startswith(was)
    assert not checks["lost_quality"]["above"]

    again = refresh(settings, order)
    assert (again.new, again.behind, again.decision) == (0, 0, None)
    with Lease(settings.redis(), f"{topics.prefix}{LEASE}"), pytest.raises(Busy, match="refresh"):
        refresh(settings, order)

    forgotten = 7
    wish = ForgetEvent(
        event_id=new_event_id(), user_id=forgotten, event_time=START, produced_time=START
    )
    archive = Archive.open(settings.archive)
    assert archive.contains(forgotten) == 8
    with BulkPublisher(kafka) as publisher:
        publisher.publish(topics.ratings, b"%d" % forgotten, encode(wish))
    archive_all()
    end = archived(archive, position.topic_id, PARTITIONS)
    taken = take_snapshot(archive, read_catalogue(kafka, topics.movies), end)
    left = {*taken.known["user_id"].to_pylist(), *taken.asked["user_id"].to_pylist()}
    assert left == {*range(1, USERS + 1)} - {forgotten}


def archive_all() -> None:
    result = CliRunner().invoke(app, ["archive", "--once"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
