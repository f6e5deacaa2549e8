"""Poison in the middle of a partition: what is good applies, what is not is kept for people."""

import time
from typing import NamedTuple

import msgspec

from stream.contracts.events import EARLIEST_EVENT_TIME, MAX_AHEAD, MAX_EVENT_BYTES, encode
from stream.contracts.topics import partition_of
from stream.dead_letters import Buried, read_dead_letters
from tests.planted_model import CATALOGUE
from tests.system import PARTITIONS, Outgoing, System, eventually, rating

PARTITION = 1


class Poison(NamedTuple):
    reason: str
    record: Outgoing


def poisons(user: int, stranger: int) -> list[Poison]:
    """Everything that can be wrong, by a user of `PARTITION` and one of another partition."""
    key = b"%d" % user
    good = encode(rating(user, CATALOGUE[0].movie_id))
    now = int(time.time() * 1000)

    def with_(**fields: object) -> bytes:
        return msgspec.json.encode(msgspec.json.decode(good) | fields)

    values = [
        ("malformed_json", good[:-5]),
        ("malformed_json", b"\xff\xfe not text"),
        ("empty", None),
        ("invalid_field", b"[]"),
        ("invalid_field", with_(type="review")),
        ("invalid_field", with_(movie_id="seven")),
        ("schema_version", with_(schema_version=2)),
        ("rating_range", with_(rating=0.0)),
        ("rating_range", with_(rating=5.5)),
        ("rating_range", with_(rating=3.7)),
        ("time_range", with_(event_time=EARLIEST_EVENT_TIME - 1)),
        ("time_ahead", with_(event_time=now + 2 * MAX_AHEAD)),
        ("oversized", with_(event_id="x" * MAX_EVENT_BYTES)),
    ]
    misrouted = encode(rating(stranger, CATALOGUE[0].movie_id))
    return [
        *(Poison(reason, Outgoing(key, value, PARTITION)) for reason, value in values),
        Poison("key_mismatch", Outgoing(b"%d" % stranger, good, PARTITION)),
        Poison("key_mismatch", Outgoing(None, good, PARTITION)),
        Poison("misrouted", Outgoing(b"%d" % stranger, misrouted, PARTITION)),
    ]


def letters(system: System) -> list[Buried]:
    return read_dead_letters(system.kafka, system.topics.dead_letters)


def test_poison_does_not_stop_a_partition(system: System) -> None:
    (user,) = system.users(1, PARTITION)
    (stranger,) = system.users(1, (PARTITION + 1) % PARTITIONS)
    planted = poisons(user, stranger)
    records = []
    for poison, movie in zip(planted, CATALOGUE, strict=False):
        good = Outgoing(b"%d" % user, encode(rating(user, movie.movie_id)))
        records += [good, poison.record]

    places = system.produce(system.topics.ratings, *records)[1::2]
    system.assert_applied({user: len(planted)})

    buried = {(it.partition, it.offset): it for it in letters(system)}
    for poison, place in zip(planted, places, strict=True):
        letter = buried[place]
        assert (letter.topic, letter.reason) == (system.topics.ratings, poison.reason)
        assert (letter.key, letter.value) == poison.record[:2]
        assert letter.detail
    assert system.applied([stranger]) == {}

    listed = system.freshet("dlq", "list", "--limit", "1000").splitlines()
    for poison, place in zip(planted, places, strict=True):
        shown = f" {buried[place].origin} "
        (line,) = (line for line in listed if shown in line)
        assert poison.reason in line


def test_what_is_sent_back_is_judged_again(system: System) -> None:
    (user,) = system.users(1, PARTITION)
    (stranger,) = system.users(1, (PARTITION + 1) % PARTITIONS)
    misrouted, hopeless = system.produce(
        system.topics.ratings,
        Outgoing(b"%d" % stranger, encode(rating(stranger, CATALOGUE[0].movie_id)), PARTITION),
        Outgoing(b"%d" % user, b"{", PARTITION),
    )
    theirs = eventually(
        lambda: [
            it for it in letters(system) if (it.partition, it.offset) in {misrouted, hopeless}
        ],
        lambda it: len(it) == 2,
    )

    system.freshet("dlq", "requeue", *(f"--origin={it.origin}" for it in theirs))

    # Its key takes the misrouted one home; the hopeless one is buried once more.
    system.assert_applied({stranger: 1})
    assert partition_of(stranger, PARTITIONS) != PARTITION
    same = eventually(
        lambda: [it for it in letters(system) if it.key == b"%d" % user], lambda it: len(it) > 1
    )
    assert [(it.value, it.sent_back) for it in same] == [(b"{", True), (b"{", False)]
