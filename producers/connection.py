"""What every librdkafka client of ours needs: quiet logs, and a reason when it fails."""

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError

from stream.contracts.errors import BrokerUnavailable, ConfigurationError

# ms: how long librdkafka waits at most before it tries a lost connection again. Its own 10 s would
# have a request wait that long for a broker that has been back for most of it.
MAX_RECONNECT_BACKOFF: Final = 1_000

# Trying again cannot mend these.
_PERMANENT: Final = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.POLICY_VIOLATION,
    KafkaError.INVALID_CONFIG,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.MSG_SIZE_TOO_LARGE,
}


class Connection:
    """The configuration of one client, which remembers what it last complained about.

    librdkafka tells a caller only that time ran out; why (refused, TLS, wrong password) goes to
    its error callback, and to a log line for every attempt, which is switched off.
    """

    def __init__(self, config: Mapping[str, str]) -> None:
        self._config = config
        self._complaint: KafkaError | None = None

    def config(self, **more: object) -> dict[str, Any]:
        """The client's configuration, `more` in librdkafka's names with `_` for `.`."""
        return {
            "log_level": 2,
            "reconnect.backoff.max.ms": MAX_RECONNECT_BACKOFF,
            **self._config,
            **{name.replace("_", "."): value for name, value in more.items()},
            "error_cb": self._complain,
        }

    @property
    def complaint(self) -> str:
        """What the client complained about last, or nothing."""
        return self._complaint.str() if self._complaint else ""

    def _complain(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # follows the error that says why
            self._complaint = error

    def failure(self, what: str, error: KafkaError) -> BrokerUnavailable | ConfigurationError:
        """The error to raise when `what` failed, in a sentence that says where and why.

        Poll the client before: only then it hands out its complaints.
        """
        where = self._config["bootstrap.servers"]
        said = error.str()
        if self.complaint not in ("", said):
            said += f" ({self.complaint})"
        permanent = error.code() in _PERMANENT or (
            self._complaint is not None and self._complaint.code() in _PERMANENT
        )
        if permanent:
            return ConfigurationError(f"Kafka at {where}: {what} was refused: {said}")
        return BrokerUnavailable(
            f"Kafka at {where}: {what} failed: {said}. Is the broker up, and is the address right?"
        )
