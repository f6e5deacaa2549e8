"""What is in a topic, read plainly."""

from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition


def records(config: Mapping[str, str], topic: str, partitions: int) -> list[list[Message]]:
    """Every record of the topic, by partition, in order."""
    consumer = Consumer(
        {
            **config,
            "group.id": "reader",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "allow.auto.create.topics": False,
            "fetch.wait.max.ms": 20,
        }
    )
    found: list[list[Message]] = [[] for _ in range(partitions)]
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        unread = set(range(partitions))
        while unread:
            for message in consumer.consume(10_000, timeout=0.1):
                error = message.error()
                if error is None:
                    found[message.partition() or 0].append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition() or 0)
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()
    return found
