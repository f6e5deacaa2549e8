"""What is on the wire, what is refused and why, and which partition it belongs to."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Message, Producer
from hypothesis import given
from hypothesis import strategies as st

from producers.admin import ensure_topics
from stream.contracts import keys
from stream.contracts.errors import InvalidEvent
from stream.contracts.events import (
    EARLIEST_EVENT_TIME,
    MAX_AHEAD,
    MAX_EVENT_BYTES,
    MAX_ID,
    MAX_MOVIE_ID,
    ForgetEvent,
    ModelEvent,
    MovieEvent,
    RatingEvent,
    decode_model,
    decode_movie,
    decode_user_event,
    encode,
    json_schemas,
    new_event_id,
)
from stream.contracts.keys import Position
from stream.contracts.topics import LIBRDKAFKA_PARTITIONER, Topics, partition_of
from tests.stream.build import START, rating

times = st.integers(EARLIEST_EVENT_TIME, 4_294_967_295_000)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
versions = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
sources = st.sampled_from(["replay", "api", "onboarding"])
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)

ratings = st.builds(
    RatingEvent,
    event_id=ids,
    user_id=st.integers(1, MAX_ID),
    movie_id=st.integers(1, MAX_MOVIE_ID),
    rating=st.integers(1, 10).map(lambda half_stars: half_stars / 2),
    event_time=times,
    produced_time=times,
    source=sources,
)
movies = st.builds(
    MovieEvent,
    event_id=ids,
    movie_id=st.integers(1, MAX_MOVIE_ID),
    title=text.filter(bool),
    genres=st.lists(text, max_size=5).map(tuple),
    year=st.none() | st.integers(1870, 2100),
    tags=st.lists(text.filter(bool), max_size=5).map(tuple),
    event_time=times,
    produced_time=times,
    source=sources,
)
models = st.builds(
    ModelEvent,
    event_id=ids,
    version=versions,
    artifact=text,
    collection=text,
    event_time=times,
    produced_time=times,
)


@given(ratings)
def test_a_rating_comes_back(event: RatingEvent) -> None:
    value = encode(event)
    assert len(value) <= MAX_EVENT_BYTES
    assert decode_user_event(value, b"%d" % event.user_id, event.event_time) == event
    assert json.loads(value)["type"] == "rating"


@given(movies)
def test_a_movie_comes_back(event: MovieEvent) -> None:
    assert decode_movie(encode(event)) == event


def test_a_movie_may_come_without_tags_but_not_with_one_of_nothing() -> None:
    event = {"type": "movie", "event_id": "1", "movie_id": 1, "title": "Heat", "genres": []}
    event |= {"year": 1995, "event_time": START, "produced_time": START, "source": "api"}
    assert decode_movie(json.dumps(event).encode()).tags == ()
    for tag in ("", "x" * 101):
        with pytest.raises(InvalidEvent, match=r"tags"):
            decode_movie(json.dumps(event | {"tags": [tag]}).encode())


@given(models)
def test_a_model_comes_back(event: ModelEvent) -> None:
    assert decode_model(encode(event)) == event


@given(
    st.builds(
        ForgetEvent,
        event_id=ids,
        user_id=st.integers(1, MAX_ID),
        event_time=times,
        produced_time=times,
    )
)
def test_a_wish_to_be_forgotten_comes_back(event: ForgetEvent) -> None:
    value = encode(event)
    assert decode_user_event(value, b"%d" % event.user_id, event.event_time) == event
    with pytest.raises(InvalidEvent, match="key_mismatch"):
        decode_user_event(value, b"%d" % (event.user_id + 1), event.event_time)


def test_a_wish_to_be_forgotten_needs_an_id() -> None:
    with pytest.raises(InvalidEvent, match=r"invalid_field: .*user_id"):
        decode_user_event(changed(type="forget", user_id=0), b"0", START)


def test_a_model_of_as_many_partitions_as_there_may_be_is_no_large_event() -> None:
    event = ModelEvent(
        event_id="e" * 64,
        version="v" * 64,
        artifact="/" + "a" * 1_000,
        collection="movies-" + "v" * 64,
        position=(10**13,) * 512,
        previous=("v" * 64,) * 3,
        event_time=START,
        produced_time=START,
    )
    assert decode_model(encode(event)) == event


def changed(**fields: Any) -> bytes:
    """A good rating with other fields; None removes one."""
    message = json.loads(encode(rating(42, 7, 3.5))) | fields
    return json.dumps(
        {name: value for name, value in message.items() if value is not None}
    ).encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (changed().replace(b"replay", b"\xff"), "malformed_json"),
        (changed() + b"x", "malformed_json"),
        (b" " * MAX_EVENT_BYTES + changed(), "oversized"),
        (b"[]", "invalid_field"),
        (b"null", "invalid_field"),
        (changed(type="movie"), "invalid_field"),
        (changed(user_id=None), "invalid_field"),
        (changed(user_id="42"), "invalid_field"),
        (changed(user_id=0), "invalid_field"),
        (changed(user_id=2**53), "invalid_field"),
        (changed(movie_id=-1), "invalid_field"),
        (changed(movie_id=2**32), "invalid_field"),
        (changed(movie_id=1.5), "invalid_field"),
        (changed(event_id=""), "invalid_field"),
        (changed(event_id="x" * 65), "invalid_field"),
        (changed(source="elsewhere"), "invalid_field"),
        (changed(rating="3.5"), "rating_range"),
        (changed(rating=None), "invalid_field"),
        (changed(rating=0.0), "rating_range"),
        (changed(rating=5.5), "rating_range"),
        (changed(rating=3.7), "rating_range"),
        (changed(rating=-1), "rating_range"),
        (changed(schema_version=2), "schema_version"),
        (changed(schema_version="1"), "schema_version"),
        (changed(event_time=EARLIEST_EVENT_TIME - 1), "time_range"),
        (changed(event_time=START // 1000), "time_range"),  # seconds for milliseconds
        (changed(event_time=4_294_967_295_001), "time_range"),
        (changed(produced_time=0), "time_range"),
        (changed(event_time=START + MAX_AHEAD + 1), "time_ahead"),
        (changed(user_id=43), "key_mismatch"),
    ],
)
def test_why_a_rating_is_refused(value: bytes | None, reason: str) -> None:
    with pytest.raises(InvalidEvent) as raised:
        decode_user_event(value, b"42", START)
    assert raised.value.reason == reason
    assert raised.value.detail
    assert str(raised.value) == f"{reason}: {raised.value.detail}"


@pytest.mark.parametrize("key", [None, b"", b"042", b" 42", b"42.0"])
def test_the_key_is_the_user_id_in_decimal_and_nothing_else(key: bytes | None) -> None:
    with pytest.raises(InvalidEvent, match="key_mismatch"):
        decode_user_event(changed(), key, START)


def test_a_rating_up_to_a_day_ahead_of_its_record_is_valid() -> None:
    event = decode_user_event(changed(event_time=START + MAX_AHEAD), b"42", START)
    assert event.event_time == START + MAX_AHEAD


def test_fields_that_nobody_knows_are_ignored() -> None:
    """So that a producer may be newer than its consumers within a schema version."""
    assert decode_user_event(changed(mood="good"), b"42", START) == rating(42, 7, 3.5)


@pytest.mark.parametrize("left_out", ["type", "schema_version"])
def test_what_the_topic_implies_may_be_left_out(left_out: str) -> None:
    assert decode_user_event(changed(**{left_out: None}), b"42", START) == rating(42, 7, 3.5)


@given(st.binary(max_size=300))
def test_whatever_bytes_come_only_invalid_event_is_raised(value: bytes) -> None:
    for decode in (lambda: decode_user_event(value, b"1", START), lambda: decode_movie(value)):
        with pytest.raises(InvalidEvent):
            decode()


@pytest.mark.parametrize("decode", [decode_movie, decode_model])
def test_an_event_of_another_type_is_refused(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(InvalidEvent, match="invalid_field"):
        decode(changed())


@pytest.mark.parametrize("year", [-1, 10_000, 1_700_000_000_000, 10**30])
def test_a_year_that_nobody_can_reckon_with_is_refused(year: int) -> None:
    movie = {
        "type": "movie",
        "event_id": "1",
        "movie_id": 1,
        "title": "Movie",
        "genres": [],
        "event_time": START,
        "produced_time": START,
        "source": "api",
    }
    for some in (0, 1_995, 9_999, None):
        assert decode_movie(json.dumps(movie | {"year": some}).encode()).year == some
    with pytest.raises(InvalidEvent, match="invalid_field"):
        decode_movie(json.dumps(movie | {"year": year}).encode())


def test_event_ids_differ() -> None:
    assert len({new_event_id() for _ in range(100)}) == 100


def test_there_is_a_schema_for_every_event() -> None:
    schemas = json_schemas()
    assert schemas.keys() == {"rating", "forget", "movie", "model", "refresh"}
    assert json.dumps(schemas)


@given(st.integers(1, MAX_ID), st.integers(1, 512))
def test_partitions_are_those_of_aiokafka(user: int, partitions: int) -> None:
    everywhere = list(range(partitions))
    expected = DefaultPartitioner()(b"%d" % user, everywhere, everywhere)
    assert partition_of(user, partitions) == expected


def test_partitions_are_those_of_librdkafka(broker: str, topics: Topics) -> None:
    config = {"bootstrap.servers": broker}
    ensure_topics(config, topics, partitions=8, replication=1)
    delivered: dict[int, int] = {}

    def note(error: object, message: Message) -> None:
        assert error is None
        delivered[int(message.key() or b"")] = int(message.partition() or 0)

    users = [*range(1, 200), MAX_ID, MAX_ID - 1]
    producer = Producer({**config, "partitioner": LIBRDKAFKA_PARTITIONER})
    for user in users:
        producer.produce(topics.ratings, b"", b"%d" % user, on_delivery=note)
    assert producer.flush(30) == 0
    assert delivered == {user: partition_of(user, 8) for user in users}
    assert set(delivered.values()) == set(range(8))


def test_topics_have_a_prefix() -> None:
    assert Topics().ratings == "ratings"
    prefixed = Topics("test.")
    assert {prefixed.ratings, prefixed.dead_letters, prefixed.movies, prefixed.models} == {
        "test.ratings",
        "test.ratings.dlq",
        "test.movies",
        "test.models",
    }
    assert prefixed.group == "test.freshet"


@given(st.integers(0, 2**40), st.text("abcXYZ019-_", max_size=30), st.integers(0, 2**63))
def test_a_position_comes_back(generation: int, topic_id: str, offset: int) -> None:
    position = Position(generation, topic_id, offset)
    assert Position.decode(position.encode()) == position


def test_the_keys_of_a_partition_share_its_hash_tag() -> None:
    named = [keys.live(3), keys.generations(3)]
    named += [key(3, 5) for key in (keys.users, keys.movies, keys.changed)]
    assert len(set(named)) == 5
    assert all(key.startswith(b"{3}:") for key in named)
    assert keys.idempotency("abc") == b"idempotency:abc"


def test_a_version_has_a_tag_of_eight_bytes() -> None:
    assert len(keys.version_tag("v1")) == 8
    assert keys.version_tag("v1") != keys.version_tag("v2")
