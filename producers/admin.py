"""Topics: created once with what each is for, and asked about."""

from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._topic import TopicDescription
from confluent_kafka.cimpl import NewTopic
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_exponential

from producers.connection import Connection
from stream.contracts.errors import BrokerUnavailable, ConfigurationError, NoTopic
from stream.contracts.topics import Topics

# Bytes. A dead letter carries the whole message it is about (Kafka's own limit is 1 MiB, a third
# more as base64) and where it came from.
MAX_DEAD_LETTER_BYTES: Final = 2 << 20

REQUEST_TIMEOUT: Final = 10.0  # s, for one question to the broker

# The log is the truth: it is kept for ever, where Kafka's default is a week.
_KEPT: Final = {"retention.ms": "-1", "retention.bytes": "-1"}
_COMPACTED: Final = {"cleanup.policy": "compact"}

# What was shown and what came of it: as long as an experiment may run and be looked at again. What
# is counted of it stays.
_A_QUARTER: Final = {"retention.ms": str(90 * 86_400_000)}


def ensure_topics(
    config: Mapping[str, str],
    topics: Topics,
    partitions: int,
    replication: int,
    timeout: float = 30.0,
) -> int:
    """Create the topics that are missing and wait until all have a leader.

    Topics that exist are left as they are.

    Args:
        config: `Settings.librdkafka()`.
        topics: their names.
        partitions: of `ratings`, where it is created.
        replication: the replication factor, where one is created.
        timeout: seconds for all of it.

    Returns:
        How many partitions `ratings` has.

    Raises:
        BrokerUnavailable: no answer in time.
        ConfigurationError: the broker refuses, or a topic exists with another number of partitions
            than it has to have: 1 where it is ordered as a whole, those of `exposures` where
            it is `feedback`.
    """
    connection = Connection(config)
    client = AdminClient(connection.config())
    wanted = [
        NewTopic(topics.ratings, partitions, replication, config=_KEPT),
        NewTopic(
            topics.dead_letters,
            1,
            replication,
            config={**_KEPT, "max.message.bytes": str(MAX_DEAD_LETTER_BYTES)},
        ),
        NewTopic(topics.refreshes, 1, replication, config=_KEPT),
        NewTopic(topics.movies, 1, replication, config=_COMPACTED),
        NewTopic(topics.models, 1, replication, config=_COMPACTED),
        NewTopic(topics.experiments, 1, replication, config=_COMPACTED),
    ]
    described = _create(connection, client, wanted, timeout)
    for name in (topics.movies, topics.models, topics.experiments):
        if len(described[name].partitions) != 1:
            raise _cannot_be_used(described[name], 1)
    found = len(described[topics.ratings].partitions)
    # A person's feedback is in the partition of what they were shown. Ratings may have got more.
    beside = [NewTopic(it, found, replication, config=_A_QUARTER) for it in topics.shown]
    shown, feedback = _create(connection, client, beside, timeout).values()
    if len(feedback.partitions) != len(shown.partitions):
        raise _cannot_be_used(feedback, len(shown.partitions))
    return found


def _create(
    connection: Connection, client: AdminClient, wanted: list[NewTopic], timeout: float
) -> dict[str, TopicDescription]:
    """Those of the topics that are missing; all of them as they are, once they have leaders."""
    for topic, created in client.create_topics(wanted, request_timeout=timeout).items():
        try:
            created.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                client.poll(0)
                raise connection.failure(f"creating topic {topic}", error.args[0]) from error
    return _wait_until_led(connection, client, [topic.topic for topic in wanted], timeout)


def _cannot_be_used(topic: TopicDescription, partitions: int) -> ConfigurationError:
    return ConfigurationError(
        f"topic {topic.name} has {len(topic.partitions)} partitions and needs exactly "
        f"{partitions}: delete it, or choose another FRESHET_KAFKA_TOPIC_PREFIX"
    )


def topic_id(config: Mapping[str, str], topic: str, timeout: float = REQUEST_TIMEOUT) -> str:
    """The topic's identity: deleted and created again, it has another one.

    Raises BrokerUnavailable, or NoTopic where there is none of this name.
    """
    return str(_describe_one(config, topic, timeout).topic_id)


def partition_count(config: Mapping[str, str], topic: str, timeout: float = REQUEST_TIMEOUT) -> int:
    """How many partitions the topic has. Raises as `topic_id` does."""
    return len(_describe_one(config, topic, timeout).partitions)


def _describe_one(config: Mapping[str, str], topic: str, timeout: float) -> TopicDescription:
    connection = Connection(config)
    client = AdminClient(connection.config())
    found = _describe(connection, client, [topic], timeout).get(topic)
    if found is None:
        raise NoTopic(
            f"Kafka at {config['bootstrap.servers']} has no topic {topic}: a worker or a replay "
            "creates it; check FRESHET_KAFKA_TOPIC_PREFIX"
        )
    return found


def _describe(
    connection: Connection, client: AdminClient, names: list[str], timeout: float
) -> dict[str, TopicDescription]:
    """Descriptions of those topics that exist."""
    described = {}
    asked = client.describe_topics(TopicCollection(names), request_timeout=timeout)
    for name, answer in asked.items():
        try:
            described[name] = answer.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                client.poll(0)
                raise connection.failure(f"describing topic {name}", error.args[0]) from error
    return described


def _wait_until_led(
    connection: Connection, client: AdminClient, names: list[str], timeout: float
) -> dict[str, TopicDescription]:
    def led(described: dict[str, TopicDescription]) -> bool:
        return all(
            name in described and all(p.leader is not None for p in described[name].partitions)
            for name in names
        )

    def give_up(_: object) -> dict[str, TopicDescription]:
        raise BrokerUnavailable(
            f"the topics {', '.join(names)} have no leader {timeout:g} s after they were created: "
            "see the broker's log"
        )

    described: dict[str, TopicDescription] = Retrying(
        retry=retry_if_result(lambda found: not led(found)),
        wait=wait_exponential(multiplier=0.02, max=0.5),
        stop=stop_after_delay(timeout),
        retry_error_callback=give_up,
    )(_describe, connection, client, names, timeout)
    return described
