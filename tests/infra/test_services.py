"""The embedded servers do what their clients need."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import ClassVar

import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra import services
from stream.contracts.errors import BrokerUnavailable, StoreUnavailable, Unavailable
from stream.contracts.topics import Topics


def test_the_broker_keeps_what_is_produced(broker: str, topics: Topics) -> None:
    config = {"bootstrap.servers": broker}
    admin = AdminClient(config)
    admin.create_topics([NewTopic(topics.ratings, 1, 1)])[topics.ratings].result(10)
    producer = Producer({**config, "enable.idempotence": True})
    for i in range(10):
        producer.produce(topics.ratings, b"%d" % i)
    assert producer.flush(10) == 0
    consumer = Consumer({**config, "group.id": topics.group})
    consumer.assign([TopicPartition(topics.ratings, 0, 0)])
    assert [m.value() for m in consumer.consume(10, timeout=10)] == [b"%d" % i for i in range(10)]
    consumer.close()


@pytest.mark.parametrize("attempt", [1, 2])
def test_databases_do_not_leak_between_tests(redis_url: str, attempt: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("key", attempt)


def test_probes_say_what_is_not_there() -> None:
    port = services.free_port()
    with pytest.raises(BrokerUnavailable, match=str(port)):
        services.kafka_ready({"bootstrap.servers": f"127.0.0.1:{port}"})
    with pytest.raises(StoreUnavailable, match=str(port)):
        services.redis_ready(f"redis://127.0.0.1:{port}")
    with pytest.raises(StoreUnavailable, match="Redis at redis://127") as raised:
        services.redis_ready(f"redis://user:hush@127.0.0.1:{port}/0")
    assert "hush" not in str(raised.value)
    with pytest.raises(Unavailable, match=str(port)):
        services.http_ready(f"http://127.0.0.1:{port}/readyz")


class Api(BaseHTTPRequestHandler):
    """An API whose readiness is `checks`."""

    checks: ClassVar[dict[str, dict[str, object]]]

    def do_GET(self) -> None:
        ok = all(check["ok"] for check in self.checks.values())
        self.send_response(200 if ok else 503)
        self.end_headers()
        self.wfile.write(json.dumps({"ready": ok, "checks": self.checks}).encode())


@pytest.fixture
def api() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Api) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_api_is_ready_without_a_model_but_not_without_redis(api: str) -> None:
    good = {"ok": True, "detail": "answers"}
    Api.checks = {"broker": good, "redis": good, "model": good, "index": good}
    services.api_ready(api)
    assert services.api_gaps(api) == {}

    Api.checks = {**Api.checks, "model": {"ok": False, "detail": "none is served"}}
    services.api_ready(api)
    assert services.api_gaps(api) == {"model": "none is served"}

    Api.checks = {**Api.checks, "redis": {"ok": False, "detail": "it has no state yet"}}
    with pytest.raises(Unavailable, match="redis: it has no state yet"):
        services.api_ready(api)
    with pytest.raises(Unavailable, match="answers 503"):
        services.http_ready(f"{api}/readyz")
