"""One trace from a request over the log to the commit; nothing at all without being asked."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import httpx
import pytest
from confluent_kafka import Producer
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from api.intake.ratings import RatingPublisher
from api.main import create_app
from infra.tracing import OpenTelemetry, traced
from producers.admin import ensure_topics
from producers.publisher import Message, Publisher
from stream.agents import Appliers
from stream.archive import Archive
from stream.archiver import Archiver
from stream.archiving import Limits
from stream.contracts import tracing
from stream.contracts.events import encode
from stream.contracts.topics import Topics, partition_of
from stream.lease import Lease
from stream.metrics import Metrics
from stream.redis_store import RedisStore
from tests.api.conftest import World, empty_world, world
from tests.fakes import MemoryDeadLetters, MemoryLog
from tests.producers.kafka import records
from tests.stream.build import START, rating
from tests.stream.world import PARTITIONS, processor

__all__ = ["empty_world", "world"]

TRACE = 0x0AF7651916CD43DD8448EB211C80319C
PARENT = f"00-{TRACE:032x}-b7ad6b7169203331-01"
USER = 42


class Consumed(NamedTuple):
    """A record as aiokafka has it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tracing.Headers = ()


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.turn_on(OpenTelemetry(provider))
    yield exporter
    tracing.turn_on(None)


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    finished = spans.get_finished_spans()
    found = {span.name: span for span in finished}
    assert len(found) == len(finished)
    return found


def place(span: ReadableSpan) -> tuple[int, int | None, int]:
    """Its trace, its parent and itself."""
    assert span.context is not None
    parent = None if span.parent is None else span.parent.span_id
    return span.context.trace_id, parent, span.context.span_id


def consumed(config: dict[str, str], topic: str) -> list[Consumed]:
    """What is in the user's partition."""
    return [
        Consumed(
            *(it.offset() or 0, it.timestamp()[1], it.key(), it.value()),
            headers=it.headers() or (),
        )
        for it in records(config, topic, PARTITIONS)[partition_of(USER, PARTITIONS)]
    ]


@pytest.fixture
def config(broker: str, topics: Topics) -> dict[str, str]:
    config = {"bootstrap.servers": broker}
    ensure_topics(config, topics, PARTITIONS, 1)
    return config


async def test_one_trace_from_the_request_to_the_commit(
    world: World,
    config: dict[str, str],
    topics: Topics,
    redis_url: str,
    spans: InMemorySpanExporter,
) -> None:
    publisher, store, log = Publisher(config), RedisStore(redis_url), MemoryLog()
    services = world.services
    ratings = RatingPublisher(publisher, topics, world.watcher, services.applied)
    app = create_app(replace(services, ratings=ratings))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as api:
        body = {"user_id": USER, "movie_id": 3, "rating": 4.0}
        answer = await api.post("/api/v1/ratings", json=body, headers={"traceparent": PARENT})
        assert answer.status_code == 202
    batch = consumed(config, topics.ratings)
    log.append(partition_of(USER, PARTITIONS), *batch)
    appliers = Appliers(topics, processor(store, log, MemoryDeadLetters()), store, Metrics())
    await appliers.ratings({partition_of(USER, PARTITIONS): batch})
    publisher.close()
    await store.close()

    found = by_name(spans)
    assert found.keys() == {"POST /api/v1/ratings", "publish", "process ratings", "commit"}
    traces, parents, ids = zip(*map(place, found.values()), strict=True)
    assert set(traces) == {TRACE}
    of = dict(zip(found, ids, strict=True))
    assert dict(zip(found, parents, strict=True)) == {
        "POST /api/v1/ratings": 0xB7AD6B7169203331,
        "publish": of["POST /api/v1/ratings"],
        "process ratings": of["publish"],
        "commit": of["process ratings"],
    }
    assert {name: span.kind for name, span in found.items()} == {
        "POST /api/v1/ratings": SpanKind.SERVER,
        "publish": SpanKind.PRODUCER,
        "process ratings": SpanKind.CONSUMER,
        "commit": SpanKind.CLIENT,
    }
    said = found["POST /api/v1/ratings"].attributes
    assert said is not None
    assert (said["http.route"], said["http.response.status_code"]) == ("/api/v1/ratings", 202)


def test_the_archive_is_part_of_the_trace(
    config: dict[str, str],
    topics: Topics,
    redis_url: str,
    spans: InMemorySpanExporter,
    tmp_path: Path,
) -> None:
    others = [f"00-{TRACE + n:032x}-b7ad6b7169203331-01" for n in (1, 2)]
    producer = Producer(config)
    for user, movie, parent in ((USER, 1, PARENT), (7, 1, others[0]), (7, 2, others[1])):
        headers = [("traceparent", parent.encode()), ("tracestate", None)]
        event = rating(user, movie, 4.0, START)
        producer.produce(
            topics.ratings,
            encode(event),
            b"%d" % user,
            partition_of(user, PARTITIONS),
            timestamp=event.produced_time,
            headers=headers,
        )
    assert producer.flush(10) == 0
    assert partition_of(7, PARTITIONS) != partition_of(USER, PARTITIONS)
    lease = partial(Lease, redis_url, "archive")
    limits = Limits(rows=10**9, seconds=10**9)
    Archiver(config, topics.ratings, Archive.open(str(tmp_path)), lease, limits).catch_up()
    one, several = sorted(spans.get_finished_spans(), key=lambda span: len(span.links))
    assert one.name == several.name == "archive ratings"
    assert place(one)[:2] == (TRACE, 0xB7AD6B7169203331)
    assert [link.context.trace_id for link in several.links] == [TRACE + 1, TRACE + 2]


async def test_stages_are_within_their_request(world: World, spans: InMemorySpanExporter) -> None:
    await world.rate(USER, 3)
    spans.clear()
    await world.get(USER)
    found = by_name(spans)
    request = place(found.pop("GET /api/v1/recommendations/{user_id}"))
    assert found.keys() >= {"state", "rank"}
    assert {place(span)[0] for span in found.values()} == {request[0]}
    assert place(found["state"])[1] == request[2]


def traced_in(*parents: str | None) -> list[Consumed]:
    return [
        Consumed(at, 0, b"", b"", [("reason", b"why"), ("traceparent", it.encode())] if it else ())
        for at, it in enumerate(parents)
    ]


def test_a_batch_of_several_traces_is_linked_to_them(spans: InMemorySpanExporter) -> None:
    others = [f"00-{TRACE + n:032x}-b7ad6b7169203331-01" for n in (1, 2)]
    with tracing.batch("process ratings", traced_in(None, *others, others[0])):
        pass
    (span,) = spans.get_finished_spans()
    assert span.parent is None
    assert [link.context.trace_id for link in span.links] == [TRACE + 1, TRACE + 2]


def test_headers_may_have_no_value(spans: InMemorySpanExporter) -> None:
    """Whoever may write to the topic must not end whoever reads it."""
    headers = [("traceparent", None), ("tracestate", None), ("reason", None)]
    with tracing.batch("process ratings", [Consumed(0, 0, b"", b"", headers), *traced_in(PARENT)]):
        pass
    (span,) = spans.get_finished_spans()
    assert place(span)[0] == TRACE


@pytest.mark.parametrize("parent", [None, "nonsense", f"00-{TRACE:032x}-b7ad6b7169203331-00"])
def test_a_batch_of_no_trace_is_of_none(parent: str | None, spans: InMemorySpanExporter) -> None:
    with tracing.batch("process ratings", traced_in(parent)), tracing.span("commit", "client"):
        pass
    assert spans.get_finished_spans() == ()


async def test_off_nothing_is_added(config: dict[str, str], topics: Topics) -> None:
    publisher = Publisher(config)
    await publisher.send([Message(topics.ratings, b"%d" % USER, b"x", [("reason", b"why")])])
    publisher.close()
    (record,) = consumed(config, topics.ratings)
    assert record.headers == [("reason", b"why")]


def test_they_are_sent_where_the_standard_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "the-shop")
        with traced("freshet-api"), tracing.request([]) as request:
            request.answered("GET", "/a/{route}", 500)
        server.shutdown()
        thread.join()
    assert not tracing.is_on()
    [(path, body)] = received
    assert path == "/v1/traces"
    assert b"the-shop" in body
    assert b"GET /a/{route}" in body
