import pytest
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource
from confluent_kafka.cimpl import NewTopic

from producers.admin import ensure_topics, partition_count, topic_id
from stream.contracts.errors import BrokerUnavailable, ConfigurationError, NoTopic
from stream.contracts.topics import Topics

NOBODY = {"bootstrap.servers": "127.0.0.1:1"}


@pytest.fixture
def config(broker: str) -> dict[str, str]:
    return {"bootstrap.servers": broker}


def test_creates_what_is_missing_once(config: dict[str, str], topics: Topics) -> None:
    assert ensure_topics(config, topics, partitions=3, replication=1) == 3
    before = topic_id(config, topics.ratings)
    assert ensure_topics(config, topics, partitions=3, replication=1) == 3
    assert topic_id(config, topics.ratings) == before
    assert partition_count(config, topics.ratings) == 3
    for topic in (topics.dead_letters, topics.movies, topics.models, topics.experiments):
        assert partition_count(config, topic) == 1
    for topic in (topics.exposures, topics.feedback):
        assert partition_count(config, topic) == 3


def test_feedback_must_have_the_partitions_of_exposures(
    config: dict[str, str], topics: Topics
) -> None:
    client = AdminClient(config)
    client.create_topics([NewTopic(topics.feedback, 2, 1)])[topics.feedback].result()
    with pytest.raises(ConfigurationError, match=r"feedback has 2 partitions and needs exactly 3"):
        ensure_topics(config, topics, partitions=3, replication=1)


def test_the_ratings_that_exist_keep_their_partitions(
    config: dict[str, str], topics: Topics
) -> None:
    client = AdminClient(config)
    client.create_topics([NewTopic(topics.ratings, 5, 1)])[topics.ratings].result()
    assert ensure_topics(config, topics, partitions=8, replication=1) == 5


def test_a_topic_that_is_ordered_as_a_whole_must_have_one_partition(
    config: dict[str, str], topics: Topics
) -> None:
    client = AdminClient(config)
    client.create_topics([NewTopic(topics.movies, 2, 1)])[topics.movies].result()
    with pytest.raises(ConfigurationError, match=r"movies has 2 partitions and needs exactly 1"):
        ensure_topics(config, topics, partitions=1, replication=1)


def test_topics_have_identities_of_their_own(config: dict[str, str], topics: Topics) -> None:
    ensure_topics(config, topics, partitions=1, replication=1)
    names = (topics.ratings, topics.dead_letters, topics.movies, topics.models)
    assert len({topic_id(config, name) for name in names}) == len(names)


def test_asking_for_a_topic_that_is_not_there_says_so_and_does_not_create_it(
    config: dict[str, str], topics: Topics
) -> None:
    for _ in range(2):
        with pytest.raises(NoTopic, match=f"has no topic {topics.ratings}"):
            topic_id(config, topics.ratings)


def test_a_broker_that_is_not_there(topics: Topics) -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1: .*Connection refused"):
        ensure_topics(NOBODY, topics, partitions=1, replication=1, timeout=0.5)
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1: .*Connection refused"):
        partition_count(NOBODY, topics.ratings, timeout=0.5)


def test_a_login_that_is_refused_is_a_matter_of_configuration(
    config: dict[str, str], topics: Topics
) -> None:
    login = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "nobody",
        "sasl.password": "nothing",
    }
    with pytest.raises(ConfigurationError, match="was refused"):
        partition_count(config | login, topics.ratings, timeout=0.5)


@pytest.mark.apache
def test_on_apache_kafka(apache_broker: str, topics: Topics) -> None:
    config = {"bootstrap.servers": apache_broker}
    assert ensure_topics(config, topics, partitions=3, replication=1) == 3
    assert ensure_topics(config, topics, partitions=8, replication=1) == 3

    client = AdminClient(config)
    names = (topics.ratings, topics.dead_letters, topics.movies)
    asked = {ConfigResource(ConfigResource.Type.TOPIC, name): name for name in names}
    settings = {
        asked[resource]: {key: entry.value for key, entry in answer.result().items()}
        for resource, answer in client.describe_configs(list(asked)).items()
    }
    assert settings[topics.ratings]["retention.ms"] == "-1"
    assert int(settings[topics.dead_letters]["max.message.bytes"] or 0) > 1 << 20
    assert settings[topics.movies]["cleanup.policy"] == "compact"

    before = topic_id(config, topics.ratings)
    client.delete_topics([topics.ratings])[topics.ratings].result()
    assert ensure_topics(config, topics, partitions=4, replication=1) == 4
    assert topic_id(config, topics.ratings) != before
    found = client.describe_topics(TopicCollection([topics.ratings]))
    assert str(found[topics.ratings].result().topic_id) == topic_id(config, topics.ratings)


@pytest.mark.apache
def test_more_replicas_than_brokers_are_refused(apache_broker: str, topics: Topics) -> None:
    with pytest.raises(ConfigurationError, match="was refused"):
        ensure_topics({"bootstrap.servers": apache_broker}, topics, partitions=1, replication=3)
