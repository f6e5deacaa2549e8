"""What is on the wire about experiments: their definitions, what was shown, what came of it.

`ExposureEvent` and `FeedbackEvent` are keyed by user id, like ratings; so is the `ForgetEvent` that
follows them in their topics where a person wants to be forgotten.
"""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from stream.contracts.errors import InvalidEvent
from stream.contracts.events import (
    SCHEMA_VERSION,
    EventId,
    ForgetEvent,
    Millis,
    ModelVersion,
    MovieId,
    UserId,
    decode_keyed,
    decode_value,
)

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Kind: TypeAlias = Literal["ab", "interleaving"]
Strategy: TypeAlias = Literal["personal", "trending", "popular"]
FeedbackKind: TypeAlias = Literal["click", "watch", "skip", "rating"]

MOST_VARIANTS: Final = 16  # beyond that no report tells them apart
MOST_OVERRIDES: Final = 200  # people a definition names: testers, and it must fit in an event

# Movies of one list: the longest page. An exposure with so many takes 6 KB.
MOST_MOVIES: Final = 500


class ModelChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model version and where it is, as in `ModelEvent`."""

    version: ModelVersion
    artifact: str
    collection: str


class Variant(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What some of the people of an experiment get; None leaves it as it is without.

    `weight` is their number beside the other variants'. `ranker` False leaves the second stage out;
    `diversity` and `novelty` are those of a request that names none; `strategy` ``trending`` and
    ``popular`` are lists that are the same for everybody.
    """

    name: Name
    weight: Annotated[float, msgspec.Meta(gt=0.0, le=1e6)] = 1.0
    model: ModelChoice | None = None
    ranker: bool | None = None
    diversity: Share | None = None
    novelty: Share | None = None
    strategy: Strategy | None = None


class ExperimentEvent(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="type",
    tag="experiment",
    forbid_unknown_fields=True,
):
    """The definition of an experiment. Topic `experiments` (compacted), key = the name.

    It runs from `start` to `stop`, ms. Of the people of its `group` it has those from `begin` to
    `end`, so that experiments of one group never share a person. `overrides` name people and the
    variant that they get whatever else is said; they are not counted. `round` is raised whenever
    who gets what changes: each is reported for itself. `effect` is the relative uplift that it is
    made to find. Where the `kind` is ``interleaving``, everybody gets one list, made of the
    control's and the other variant's.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: EventId
    name: Name
    kind: Kind = "ab"
    group: Name
    begin: Share = 0.0
    end: Share = 1.0
    salt: Name
    control: Name
    variants: Annotated[tuple[Variant, ...], msgspec.Meta(min_length=2, max_length=MOST_VARIANTS)]
    overrides: Annotated[dict[UserId, Name], msgspec.Meta(max_length=MOST_OVERRIDES)] = {}
    effect: Annotated[float, msgspec.Meta(gt=0.0, le=10.0)] = 0.1
    round: Annotated[int, msgspec.Meta(ge=1)] = 1
    start: Millis
    stop: Millis | None = None
    event_time: Millis
    produced_time: Millis
    source: Literal["cli"] = "cli"


class Assigned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which variant somebody had, in which round; not `counted` where chance did not decide."""

    variant: Name
    round: Annotated[int, msgspec.Meta(ge=1)] = 1
    counted: bool = True


# Strategies of lists that are made for several people, or for another one than who is shown them.
GROUP: Final = "group"
GIFT: Final = "gift"


class ExposureEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="exposure"):
    """A list was shown to a person. Topic `exposures`, key = the user id in decimal ASCII.

    `movies` are in the order of the list, the first of them at place `position`, from 0. `teams`,
    where the list is interleaved, says for each which variant chose it: 0 the control, 1 the other.
    `experiments` has those whose variant the person got; one that could not be had is not there.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: EventId
    impression_id: EventId
    user_id: UserId
    experiments: dict[Name, Assigned] = {}
    model_version: str | None
    strategy: str
    movies: Annotated[tuple[MovieId, ...], msgspec.Meta(max_length=MOST_MOVIES)]
    teams: Annotated[tuple[Literal[0, 1], ...], msgspec.Meta(max_length=MOST_MOVIES)] = ()
    position: Annotated[int, msgspec.Meta(ge=0)] = 0
    event_time: Millis
    produced_time: Millis
    source: Literal["api"] = "api"


class FeedbackEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="feedback"):
    """What a person did with a movie of a list. Topic `feedback`, key = the user id.

    `value` is the stars of a ``rating``, and of a ``watch`` the share that was seen, if known.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: EventId
    impression_id: EventId
    user_id: UserId
    movie_id: MovieId
    kind: FeedbackKind
    value: Annotated[float, msgspec.Meta(ge=0.0, le=5.0)] | None = None
    event_time: Millis
    produced_time: Millis
    source: Literal["api"] = "api"


EVENTS: Final = (ExperimentEvent, ExposureEvent, FeedbackEvent)

_experiments = msgspec.json.Decoder(ExperimentEvent)
_exposures = msgspec.json.Decoder(ExposureEvent)
_feedback = msgspec.json.Decoder(FeedbackEvent)


def decode_experiment(value: bytes | None) -> ExperimentEvent:
    """Parse and validate one record of the `experiments` topic. Raises InvalidEvent."""
    event = decode_value(_experiments, value)
    names = [variant.name for variant in event.variants]
    if len(set(names)) < len(names):
        raise InvalidEvent("invalid_field", f"{event.name}: two variants have the same name")
    wrong = {event.control, *event.overrides.values()} - set(names)
    if wrong:
        raise InvalidEvent(
            "invalid_field",
            f"{event.name} has no variant {', '.join(sorted(wrong))}: there are {', '.join(names)}",
        )
    if event.begin >= event.end:
        raise InvalidEvent("invalid_field", f"{event.name} is nobody's: its share is empty")
    if event.kind == "interleaving" and len(names) != 2:
        raise InvalidEvent("invalid_field", f"{event.name}: interleaving is of two variants")
    return event


def decode_exposure(
    value: bytes | None, key: bytes | None, record_time: int
) -> ExposureEvent | ForgetEvent:
    """Parse and validate one record of the `exposures` topic, as `decode_user_event` does.

    Raises InvalidEvent.
    """
    event = decode_keyed(_exposures, value, key, record_time)
    if isinstance(event, ExposureEvent) and event.teams and len(event.teams) != len(event.movies):
        raise InvalidEvent("invalid_field", "teams and movies differ in number")
    return event


def decode_feedback(
    value: bytes | None, key: bytes | None, record_time: int
) -> FeedbackEvent | ForgetEvent:
    """Parse and validate one record of the `feedback` topic, as `decode_user_event` does.

    Raises InvalidEvent.
    """
    event = decode_keyed(_feedback, value, key, record_time)
    if isinstance(event, FeedbackEvent) and not _fits(event.kind, event.value):
        raise InvalidEvent("invalid_field", f"{event.value} is not the value of a {event.kind}")
    return event


def _fits(kind: FeedbackKind, value: float | None) -> bool:
    match kind:
        case "rating":
            return value is not None and value >= 0.5 and value * 2 == int(value * 2)
        case "watch":
            return value is None or value <= 1.0
        case _:
            return value is None
