"""What is on the wire: one closed family of events, JSON, validated on the way in.

Every event carries an id, a schema version, the time it happened (`event_time`), the time it was
handed to the broker (`produced_time`) and where it came from (`source`). Times are integers:
milliseconds since the Unix epoch. `freshet events schema` writes `docs/events/*.json` from here.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Final, Literal, Protocol, TypeAlias, TypeVar
from uuid import uuid4

import msgspec

from stream.contracts.errors import InvalidEvent

SCHEMA_VERSION: Final = 1

# Larger than any valid event by far, which a model's position in 512 partitions makes the largest;
# a value over this is refused before it is parsed.
MAX_EVENT_BYTES: Final = 16_384

# 1990-01-01T00:00:00Z in ms: MovieLens began in 1995, so an earlier time is a unit mix-up.
EARLIEST_EVENT_TIME: Final = 631_152_000_000

# One day in ms: how far ahead of its own Kafka record an event may claim to have happened.
# Judged against the record's timestamp, not a clock, so that a rebuild judges the same.
MAX_AHEAD: Final = 86_400_000

MAX_ID: Final = 2**53 - 1  # ids stay exact in JavaScript
MAX_MOVIE_ID: Final = 2**32 - 1  # the packed user state stores four bytes a movie

MAX_TAG: Final = 100  # characters; more is a review rather than a tag. MovieLens' longest has 85

LAST_YEAR: Final = 9_999  # a larger one is a time in another unit, and no table of movies holds it

EventId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
UserId = Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]
MovieId = Annotated[int, msgspec.Meta(ge=1, le=MAX_MOVIE_ID)]
Stars = Annotated[float, msgspec.Meta(ge=0.5, le=5.0, multiple_of=0.5)]
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TAG)]
Millis = Annotated[int, msgspec.Meta(ge=EARLIEST_EVENT_TIME, le=4_294_967_295_000)]
ModelVersion = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Source: TypeAlias = Literal["replay", "api", "onboarding"]


# gc=False: it refers to nothing that could refer back, and there are very many of them.
class RatingEvent(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="rating"
):
    """A person rated a movie. Topic `ratings`, key = the user id in decimal ASCII."""

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: EventId
    user_id: UserId
    movie_id: MovieId
    rating: Stars
    event_time: Millis
    produced_time: Millis
    source: Source


class ForgetEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="forget"):
    """A person wants to be forgotten: what they did before counts as if it had never been.

    Topic `ratings`, key = the user id in decimal ASCII, so that it comes after all of that.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: EventId
    user_id: UserId
    event_time: Millis
    produced_time: Millis
    source: Literal["api"] = "api"


# gc=False: as above; whoever serves holds the whole catalogue.
class MovieEvent(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="movie"
):
    """A movie entered the catalogue or changed. Topic `movies` (compacted), key = the movie id.

    `tags` are what most people say it is about or is like, the most common ones first.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: EventId
    movie_id: MovieId
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    genres: tuple[str, ...]
    year: Annotated[int, msgspec.Meta(ge=0, le=LAST_YEAR)] | None
    tags: tuple[Tag, ...] = ()
    event_time: Millis
    produced_time: Millis
    source: Source


class ModelEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="model"):
    """A model version is to be served. Topic `models` (compacted), key = ``serving``.

    `artifact` is the directory that holds the version's towers and embedded index, `collection`
    the Qdrant collection that belongs to it. `position` is the next offset of each partition of
    `ratings` that its training had seen, in order; none where it was trained on files. `previous`
    are the versions served before it, latest first: what a rollback goes back to.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: EventId
    version: ModelVersion
    artifact: str
    collection: str
    position: tuple[int, ...] = ()
    previous: tuple[ModelVersion, ...] = ()
    event_time: Millis
    produced_time: Millis
    source: Literal["training"] = "training"


class RefreshEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="refresh"):
    """A refresh decided about a model. Topic `refreshes`, key = the challenger's version.

    `champion` is the version that was served, None before the first. `reasons` are sentences, and
    `figures` what they rest on, such as ``champion_ndcg@10``.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: EventId
    champion: str | None
    challenger: str
    promoted: bool
    reasons: tuple[str, ...]
    figures: dict[str, float]
    event_time: Millis
    produced_time: Millis
    source: Literal["training"] = "training"


UserEvent: TypeAlias = RatingEvent | ForgetEvent
Event: TypeAlias = UserEvent | MovieEvent | ModelEvent | RefreshEvent

MODEL_KEY: Final = b"serving"


class PersonEvent(Protocol):
    """Something that happened to a person; its key is the user id in decimal ASCII."""

    @property
    def user_id(self) -> int: ...

    @property
    def event_time(self) -> int: ...


T = TypeVar("T")
P = TypeVar("P", bound=PersonEvent)

_encoder = msgspec.json.Encoder()
_ratings = msgspec.json.Decoder(RatingEvent)
_forgets = msgspec.json.Decoder(ForgetEvent)
_movies = msgspec.json.Decoder(MovieEvent)
_models = msgspec.json.Decoder(ModelEvent)
_refreshes = msgspec.json.Decoder(RefreshEvent)


def encode(event: msgspec.Struct) -> bytes:
    """The event as JSON bytes."""
    return _encoder.encode(event)


def new_event_id() -> str:
    return uuid4().hex


class _Kind(msgspec.Struct):
    type: str = "rating"


_kinds = msgspec.json.Decoder(_Kind)


def decode_user_event(value: bytes | None, key: bytes | None, record_time: int) -> UserEvent:
    """Parse and validate one record of the `ratings` topic; without a type it is a rating.

    Args:
        value: the record's value.
        key: the record's key, which must be the event's user id.
        record_time: the record's timestamp in ms, the only clock there is here.

    Raises:
        InvalidEvent: with the reason the dead letters and metrics use.
    """
    return decode_keyed(_ratings, value, key, record_time)


def decode_keyed(
    decoder: msgspec.json.Decoder[P], value: bytes | None, key: bytes | None, record_time: int
) -> P | ForgetEvent:
    """Parse and validate one record of a topic of people's events: its own, or a ForgetEvent.

    Raises InvalidEvent. See `decode_user_event`.
    """
    event: P | ForgetEvent
    try:
        event = decode_value(decoder, value)
    except InvalidEvent:
        if not _is_forget(value):
            raise
        event = decode_value(_forgets, value)
    if key != b"%d" % event.user_id:
        raise InvalidEvent("key_mismatch", f"key {key!r} is not user id {event.user_id}")
    if event.event_time > record_time + MAX_AHEAD:
        raise InvalidEvent(
            "time_ahead", f"event_time {event.event_time} is over a day after {record_time}"
        )
    return event


def decode_movie(value: bytes | None) -> MovieEvent:
    """Parse and validate one record of the `movies` topic. Raises InvalidEvent."""
    return decode_value(_movies, value)


def decode_model(value: bytes | None) -> ModelEvent:
    """Parse and validate one record of the `models` topic. Raises InvalidEvent."""
    return decode_value(_models, value)


def decode_refresh(value: bytes | None) -> RefreshEvent:
    """Parse and validate one record of the `refreshes` topic. Raises InvalidEvent."""
    return decode_value(_refreshes, value)


EVENTS: Final = (RatingEvent, ForgetEvent, MovieEvent, ModelEvent, RefreshEvent)


def json_schemas(
    events: Iterable[type[msgspec.Struct]] = EVENTS,
) -> dict[str, dict[str, object]]:
    """A JSON Schema for each event type, by tag, for producers in other languages."""
    return {str(event.__struct_config__.tag): msgspec.json.schema(event) for event in events}


def _is_forget(value: bytes | None) -> bool:
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        return _kinds.decode(value or b"").type == str(ForgetEvent.__struct_config__.tag)
    return False


# How msgspec words a failed constraint, and our reason for it, by the field's path in the message.
_REASONS: Final = {
    "$.rating": "rating_range",
    "$.event_time": "time_range",
    "$.produced_time": "time_range",
    "$.schema_version": "schema_version",
}


def decode_value(decoder: msgspec.json.Decoder[T], value: bytes | None) -> T:
    """Parse and validate a record's value. Raises InvalidEvent."""
    if value is None:
        raise InvalidEvent("empty", "the record has no value")
    if len(value) > MAX_EVENT_BYTES:
        raise InvalidEvent("oversized", f"{len(value)} bytes, over {MAX_EVENT_BYTES}")
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        message = str(error)
        path = message.rpartition("`")[0].rpartition("`")[2]
        raise InvalidEvent(_REASONS.get(path, "invalid_field"), message) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidEvent("malformed_json", str(error)) from error
