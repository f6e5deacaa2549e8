"""Reading a topic by position: the fake, and the embedded broker."""

from collections.abc import Sequence

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from producers.admin import ensure_topics
from stream.contracts.errors import BrokerUnavailable, ConfigurationError, EventsMissing
from stream.contracts.topics import Topics
from stream.log import PartitionLog, Record
from stream.log_reader import KafkaLog
from tests.fakes import MemoryLog
from tests.suites.partition_log import RECORDS, Append, PartitionLogSuite, read


class TestMemoryLog(PartitionLogSuite):
    @pytest.fixture
    def log(self) -> MemoryLog:
        return MemoryLog()

    @pytest.fixture
    def append(self, log: MemoryLog) -> Append:
        async def append(partition: int, records: Sequence[Record]) -> None:
            log.append(partition, *records)

        return append

    async def test_what_was_dropped_is_an_error(self, log: MemoryLog) -> None:
        log.append(0, *RECORDS)
        log.drop_before(0, 1_000)
        await check_dropped(log, 1_000)


@pytest.fixture
def config(broker: str) -> dict[str, str]:
    return {"bootstrap.servers": broker}


class TestKafkaLog(PartitionLogSuite):
    @pytest.fixture
    def log(self, config: dict[str, str], topics: Topics) -> KafkaLog:
        ensure_topics(config, topics, partitions=2, replication=1)
        return KafkaLog(config, topics.ratings, timeout=5.0)

    @pytest.fixture
    def append(self, config: dict[str, str], topics: Topics) -> Append:
        producer = Producer(config)

        async def append(partition: int, records: Sequence[Record]) -> None:
            for record in records:
                producer.produce(
                    topics.ratings,
                    record.value,
                    record.key,
                    partition,
                    timestamp=record.timestamp,
                )
            assert producer.flush(10) == 0

        return append

    async def test_a_recreated_topic_has_another_identity(
        self, log: KafkaLog, config: dict[str, str], topics: Topics
    ) -> None:
        before = await log.topic_id()
        admin = AdminClient({**config})
        admin.delete_topics([topics.ratings])[topics.ratings].result(10)
        ensure_topics(config, topics, partitions=2, replication=1)
        assert await log.topic_id() != before


@pytest.mark.apache
async def test_what_apache_kafka_has_dropped_is_an_error(
    apache_broker: str, topics: Topics
) -> None:
    config = {"bootstrap.servers": apache_broker}
    ensure_topics(config, topics, partitions=1, replication=1)
    producer = Producer(config)
    for record in RECORDS:
        producer.produce(topics.ratings, record.value, record.key, 0, timestamp=record.timestamp)
    assert producer.flush(10) == 0
    dropped = TopicPartition(topics.ratings, 0, 1_000)
    admin = AdminClient({**config})
    admin.delete_records([dropped])[dropped].result(10)
    await check_dropped(KafkaLog(config, topics.ratings, timeout=10.0), 1_000)


async def check_dropped(log: PartitionLog, begin: int) -> None:
    """A log of `RECORDS` without those before `begin`: no read makes do with what is left."""
    assert await log.begin(0) == begin
    assert await log.end(0) == len(RECORDS)
    assert await read(log, 0, begin, len(RECORDS)) == RECORDS[begin:]
    for start in (0, begin - 1):
        with pytest.raises(EventsMissing, match=f"no longer has .*{start}"):
            await read(log, 0, start, len(RECORDS))


async def test_a_topic_that_is_not_there(config: dict[str, str], topics: Topics) -> None:
    log = KafkaLog(config, topics.ratings, timeout=2.0)
    with pytest.raises(ConfigurationError, match="no topic"):
        await log.topic_id()


async def test_a_broker_that_is_not_there() -> None:
    log = KafkaLog({"bootstrap.servers": "127.0.0.1:1"}, "ratings", timeout=0.5)
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        await log.end(0)
