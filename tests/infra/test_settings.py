import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from infra.settings import STACK_FILE, STACK_LOCK, Settings, load_settings
from stream.contracts.errors import ConfigurationError

Set = Callable[..., None]


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Set:
    """Sets FRESHET_ variables; at first there is only a home of the test's own."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FRESHET_{name.upper()}", raising=False)
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path))

    def set_(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"FRESHET_{name.upper()}", value)

    return set_


def test_nothing_configured_is_the_embedded_stack(env: Set, tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.redis_url is settings.qdrant_url is settings.kafka_bootstrap_servers is None
    assert settings.artifacts == tmp_path / "artifacts"
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(ConfigurationError, match="freshet up"):
        settings.librdkafka()


def test_a_running_stack_is_found_and_the_environment_wins(env: Set, tmp_path: Path) -> None:
    (tmp_path / STACK_FILE).write_text(
        "FRESHET_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092\nFRESHET_API_PORT=8123\n"
    )
    env(api_port="9000")
    with (tmp_path / STACK_LOCK).open("w") as lock:
        assert load_settings().kafka_bootstrap_servers is None  # what a dead stack left behind
        fcntl.flock(lock, fcntl.LOCK_EX)
        settings = load_settings()
    assert settings.kafka_bootstrap_servers == "127.0.0.1:9092"
    assert settings.api_port == 9000


def test_a_plain_broker(env: Set) -> None:
    env(kafka_bootstrap_servers="kafka:9092")
    assert load_settings().librdkafka() == {
        "bootstrap.servers": "kafka:9092",
        "security.protocol": "PLAINTEXT",
    }


def test_a_login_over_tls(env: Set) -> None:
    env(
        kafka_bootstrap_servers="a:9093,b:9093",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="freshet",
        kafka_sasl_password="correct horse",
        kafka_ssl_ca_file="/etc/ca.pem",
    )
    settings = load_settings()
    assert settings.librdkafka() == {
        "bootstrap.servers": "a:9093,b:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "freshet",
        "sasl.password": "correct horse",
        "ssl.ca.location": "/etc/ca.pem",
    }
    assert "correct horse" not in repr(settings)


def test_a_certificate_of_ours(env: Set) -> None:
    env(
        kafka_bootstrap_servers="a:9093",
        kafka_security_protocol="SSL",
        kafka_ssl_certificate_file="/etc/cert.pem",
        kafka_ssl_key_file="/etc/key.pem",
    )
    assert load_settings().librdkafka() == {
        "bootstrap.servers": "a:9093",
        "security.protocol": "SSL",
        "ssl.certificate.location": "/etc/cert.pem",
        "ssl.key.location": "/etc/key.pem",
    }


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_librdkafka_knows_every_name(protocol: str, mechanism: str, env: Set) -> None:
    env(
        kafka_bootstrap_servers="127.0.0.1:1",
        kafka_security_protocol=protocol,
        kafka_sasl_mechanism=mechanism,
        kafka_sasl_username="freshet",
        kafka_sasl_password="correct horse",
    )
    Producer({**load_settings().librdkafka(), "log_level": 0})  # refuses what it does not know


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kafka_partitions": "none"}, "FRESHET_KAFKA_PARTITIONS"),
        ({"kafka_partitions": "0"}, "FRESHET_KAFKA_PARTITIONS"),
        ({"kafka_topic_prefix": "a b"}, "FRESHET_KAFKA_TOPIC_PREFIX"),
        ({"api_port": "70000"}, "FRESHET_API_PORT"),
        ({"qdrant_api_key": "changeme"}, "FRESHET_QDRANT_API_KEY.*set the real secret"),
        ({"kafka_security_protocol": "SASL_SSL"}, "kafka_sasl_username and kafka_sasl_password"),
        ({"kafka_security_protocol": "TLS"}, "FRESHET_KAFKA_SECURITY_PROTOCOL"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, str], named: str, env: Set) -> None:
    env(**values)
    with pytest.raises(ConfigurationError, match=named):
        load_settings()
