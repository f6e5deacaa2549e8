"""`freshet rebuild` and `freshet verify`, on a real broker and a real Redis."""

from pathlib import Path

import pytest
import redis
from confluent_kafka import Producer
from typer.testing import CliRunner

from infra.cli import app
from producers.admin import ensure_topics
from stream.contracts import keys
from stream.contracts.errors import ConfigurationError, EventsMissing
from stream.contracts.events import encode
from stream.contracts.topics import LIBRDKAFKA_PARTITIONER, Topics
from stream.log_reader import KafkaLog
from tests.stream.build import rating
from tests.suites.state_store import movie_event

USERS = range(1, 31)
MOVIES = range(1, 21)


@pytest.fixture
def produced(
    broker: str,
    topics: Topics,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ratings of 20 movies by 30 users, one record that is none, and the catalogue."""
    monkeypatch.setenv("FRESHET_KAFKA_BOOTSTRAP_SERVERS", broker)
    monkeypatch.setenv("FRESHET_KAFKA_TOPIC_PREFIX", topics.prefix)
    monkeypatch.setenv("FRESHET_REDIS_URL", redis_url)
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path))
    config = {"bootstrap.servers": broker}
    ensure_topics(config, topics, partitions=4, replication=1)
    producer = Producer({**config, "partitioner": LIBRDKAFKA_PARTITIONER})
    for movie in MOVIES:
        producer.produce(topics.movies, encode(movie_event(movie, f"Movie {movie}")), b"%d" % movie)
        for user in USERS:
            event = rating(user, movie, (user + movie) % 10 / 2 + 0.5)
            producer.produce(topics.ratings, encode(event), b"%d" % user)
    producer.produce(topics.ratings, b"not JSON", b"1")
    assert producer.flush(30) == 0


@pytest.mark.usefixtures("produced")
def test_rebuild_then_verify_then_damage(redis_url: str) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["rebuild"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "rebuilt 30 users from 600 events" in done.output
    assert "dead letters, malformed_json: 1" in done.output

    clean = runner.invoke(app, ["verify"], catch_exceptions=False)
    assert clean.exit_code == 0, clean.output
    assert "the live state is what the log gives" in clean.output

    listed = runner.invoke(app, ["dlq", "list"], catch_exceptions=False)
    assert "malformed_json" in listed.output

    with redis.Redis.from_url(redis_url) as client:
        assert client.hlen(keys.CATALOGUE) == len(MOVIES)
        damaged = next(p for p in range(4) if client.exists(keys.users(p, 1)))
        user = client.hkeys(keys.users(damaged, 1))[0]
        client.hdel(keys.users(damaged, 1), user)
    found = runner.invoke(app, ["verify"], catch_exceptions=False)
    assert found.exit_code == 1
    assert f"user {int(user)}" in found.output
    assert "differences: 1" in found.output

    runner.invoke(app, ["rebuild"], catch_exceptions=False)
    assert runner.invoke(app, ["verify"], catch_exceptions=False).exit_code == 0


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


@pytest.mark.usefixtures("produced")
def test_what_the_topic_has_dropped_comes_from_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded broker drops nothing: it is only told to have."""
    monkeypatch.setattr("infra.commands.user.APPLIED_WITHIN", 0)  # no worker runs
    assert "has not applied it yet" in said("user", "forget", "5")
    assert "rebuilt 29 users from 601 events" in said("rebuild")
    said("archive", "--once")

    async def begin(log: KafkaLog, partition: int) -> int:
        return await log.end(partition) // 2

    monkeypatch.setattr(KafkaLog, "begin", begin)
    assert "counts of movies still include people who were forgotten" in said("verify")
    assert "rebuilt 29 users" in said("rebuild")
    assert "forgotten" not in said("verify")

    monkeypatch.setenv("FRESHET_ARCHIVE_URL", str(tmp_path / "another"))
    for command in ("rebuild", "verify"):
        with pytest.raises(EventsMissing, match="has dropped the offsets 0 to"):
            said(command)


@pytest.mark.usefixtures("produced")
def test_without_a_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRESHET_REDIS_URL")
    with pytest.raises(ConfigurationError, match="FRESHET_REDIS_URL"):
        CliRunner().invoke(app, ["verify"], catch_exceptions=False)
