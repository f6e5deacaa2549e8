"""What is on the wire about experiments is whole, or is refused with a reason."""

from typing import Any

import msgspec
import pytest

from stream.contracts.errors import InvalidEvent
from stream.contracts.events import MAX_AHEAD, MAX_EVENT_BYTES, ForgetEvent, encode
from stream.contracts.experiments import MOST_MOVIES, decode_exposure, decode_feedback
from tests.stream.build import START
from tests.stream.experiments.test_outcomes import forget, said, shown


def test_they_come_as_they_were_sent() -> None:
    for event in (shown("a", teams=(0, 1, 1)), shown("b", model_version=None, movies=())):
        assert decode_exposure(encode(event), b"1", START) == event
    for feedback in (said("a", 10), said("a", 10, "rating", 4.5), said("a", 10, "watch", 0.3)):
        assert decode_feedback(encode(feedback), b"1", START) == feedback
    for decode in (decode_exposure, decode_feedback):
        assert isinstance(decode(encode(forget(1)), b"1", START), ForgetEvent)


@pytest.mark.parametrize(
    "change",
    [
        {"teams": (0,)},
        {"teams": (0, 1, 2)},
        {"movies": (0, 1, 2)},
        {"impression_id": ""},
        {"position": -1},
        {"movies": tuple(range(1, MOST_MOVIES + 2))},
    ],
)
def test_an_exposure_that_is_not_whole(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        decode_exposure(encode(shown("a", **change)), b"1", START)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("click", 1.0),
        ("skip", 0.0),
        ("rating", None),
        ("rating", 0.0),
        ("rating", 3.3),
        ("rating", 5.5),
        ("watch", 1.5),
        ("watch", -0.1),
        ("love", None),
    ],
)
def test_feedback_that_makes_no_sense(kind: str, value: float | None) -> None:
    with pytest.raises(InvalidEvent):
        decode_feedback(encode(said("a", 10, kind, value)), b"1", START)


def test_of_another_person_or_time() -> None:
    with pytest.raises(InvalidEvent, match="key_mismatch"):
        decode_feedback(encode(said("a", 10)), b"2", START)
    with pytest.raises(InvalidEvent, match="time_ahead"):
        decode_exposure(encode(shown("a", at=MAX_AHEAD + 1)), b"1", START)


def test_the_longest_list_fits() -> None:
    ids = tuple(range(2**32 - MOST_MOVIES, 2**32))
    longest = shown("i" * 64, movies=ids, teams=(0, 1) * (MOST_MOVIES // 2), user=2**53 - 1)
    assert len(encode(longest)) < MAX_EVENT_BYTES / 2
    assert decode_exposure(encode(longest), b"%d" % (2**53 - 1), START) == longest
    assert msgspec.json.decode(encode(longest))["type"] == "exposure"
