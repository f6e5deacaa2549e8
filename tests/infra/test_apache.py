"""Apache Kafka from Maven: it serves, and keeps the log through kill -9."""

import os
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra import apache
from infra.supervisor import Supervisor
from producers.admin import topic_id
from stream.contracts.errors import ConfigurationError
from stream.contracts.topics import Topics
from tests.conftest import START_TIMEOUT


@pytest.mark.apache
def test_the_log_survives_kill_9(servers: Supervisor, apache_broker: str, topics: Topics) -> None:
    config = {"bootstrap.servers": apache_broker}
    admin = AdminClient(config)
    admin.create_topics([NewTopic(topics.ratings, 1, 1)])[topics.ratings].result(30)
    producer = Producer({**config, "enable.idempotence": True})
    for i in range(1000):
        producer.produce(topics.ratings, b"%d" % i)
    assert producer.flush(30) == 0
    identity = topic_id(config, topics.ratings)

    servers.child("apache").kill()
    servers.wait_ready("apache", timeout=START_TIMEOUT)

    assert topic_id(config, topics.ratings) == identity
    consumer = Consumer({**config, "group.id": topics.group})
    consumer.assign([TopicPartition(topics.ratings, 0, 0)])
    read = [message.value() for message in consumer.consume(1000, timeout=30)]
    consumer.close()
    assert read == [b"%d" % i for i in range(1000)]


def program(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH, empty."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return directory


def test_without_java_the_error_says_what_to_do(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"needs Java 17 .* `tansu`"):
        apache.apache(0, tmp_path / "kafka", print)


def test_an_old_java_is_refused(path: Path, tmp_path: Path) -> None:
    program(path, "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    with pytest.raises(ConfigurationError, match=r"needs Java 17 .*11\.0\.2.*JAVA_HOME"):
        apache.apache(0, tmp_path / "kafka", print)


def test_without_maven_the_error_says_what_to_do(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(path, "java", """echo 'openjdk version "17.0.2" 2022-01-18' >&2""")
    monkeypatch.setattr(apache, "POM", pom_at(tmp_path))
    with pytest.raises(ConfigurationError, match="no `mvn` on PATH"):
        apache.apache(0, tmp_path / "kafka", print)


def test_what_maven_says_when_it_fails_is_passed_on(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(path, "java", """echo 'openjdk version "21" 2023-09-19' >&2""")
    program(path, "mvn", "echo 'could not resolve kafka_2.13'; exit 1")
    pom = pom_at(tmp_path)
    monkeypatch.setattr(apache, "POM", pom)
    with pytest.raises(ConfigurationError, match=r"(?s)`mvn` ended with status 1.*not resolve"):
        apache.apache(0, tmp_path / "kafka", print)
    assert os.listdir(pom.parent / "target") == []


def pom_at(directory: Path) -> Path:
    pom = directory / "maven" / "pom.xml"
    pom.parent.mkdir()
    pom.write_bytes(apache.POM.read_bytes())
    return pom
