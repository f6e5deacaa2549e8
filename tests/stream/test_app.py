"""How the Faust app reaches Kafka, from the settings of every other Kafka client."""

import pytest
from faust.auth import SASLCredentials, SSLCredentials
from faust.types.auth import AuthProtocol, SASLMechanism
from pydantic import SecretStr

from infra.settings import Settings
from stream.app import create_app
from stream.contracts.topics import Topics
from stream.transport import BatchConsumer


def settings(**fields: object) -> Settings:
    return Settings(kafka_bootstrap_servers="one:9092,two:9093", **fields)  # type: ignore[arg-type]


async def test_group_servers_and_transport() -> None:
    app = create_app(settings().librdkafka(), Topics("shared."))
    assert app.conf.id == Topics("shared.").group
    assert [str(url) for url in app.conf.broker] == ["kafka://one:9092", "kafka://two:9093"]
    assert app.conf.broker_credentials is None
    assert isinstance(app.consumer, BatchConsumer)


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [("SASL_PLAINTEXT", AuthProtocol.SASL_PLAINTEXT), ("SASL_SSL", AuthProtocol.SASL_SSL)],
)
async def test_passwords(protocol: str, expected: AuthProtocol) -> None:
    config = settings(
        kafka_security_protocol=protocol,
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="reader",
        kafka_sasl_password=SecretStr("s3same"),
    ).librdkafka()
    credentials = create_app(config, Topics()).conf.broker_credentials
    assert isinstance(credentials, SASLCredentials)
    assert credentials.protocol == expected
    assert credentials.mechanism == SASLMechanism.SCRAM_SHA_512
    assert (credentials.username, credentials.password) == ("reader", "s3same")
    assert (credentials.ssl_context is not None) == (protocol == "SASL_SSL")


async def test_tls() -> None:
    config = settings(kafka_security_protocol="SSL").librdkafka()
    credentials = create_app(config, Topics()).conf.broker_credentials
    assert isinstance(credentials, SSLCredentials)
