"""What came of what was shown: worked by hand, and the same in whatever order it is read."""

from itertools import count
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.events import ForgetEvent
from stream.contracts.experiments import Assigned, ExposureEvent, FeedbackEvent
from stream.experiments.outcomes import FIGURES, Key, Person, Sums, fold
from tests.stream.build import START

WINDOW = 1_000
TREATED = Key("trial", 1, "treatment")
_numbers = count()


def shown(impression: str, user: int = 1, at: int = 0, **changes: Any) -> ExposureEvent:
    said: dict[str, Any] = {
        "event_id": f"e{next(_numbers)}",
        "impression_id": impression,
        "user_id": user,
        "experiments": {"trial": Assigned(variant="treatment")},
        "model_version": "v1",
        "strategy": "two_tower",
        "movies": (10, 20, 30),
        "event_time": START + at,
        "produced_time": START + at,
        **changes,
    }
    return ExposureEvent(**said)


def said(
    impression: str,
    movie: int,
    kind: Any = "click",
    value: float | None = None,
    user: int = 1,
    at: int = 10,
) -> FeedbackEvent:
    return FeedbackEvent(
        event_id=f"f{next(_numbers)}",
        impression_id=impression,
        user_id=user,
        movie_id=movie,
        kind=kind,
        value=value,
        event_time=START + at,
        produced_time=START + at,
    )


def forget(user: int) -> ForgetEvent:
    return ForgetEvent(event_id="w", user_id=user, event_time=START, produced_time=START)


def counted(*events: Any) -> tuple[dict[int, Person], Sums]:
    people: dict[int, Person] = {}
    return people, fold(people, events, WINDOW)


def figure(sums: Sums, name: str, key: Key = TREATED) -> int:
    return sums[key, 0, 1 + FIGURES.index(name)]


def square(sums: Sums, one: str, other: str, key: Key = TREATED) -> int:
    a, b = sorted(1 + FIGURES.index(name) for name in (one, other))
    return sums[key, a, b]


def test_sums_worked_by_hand() -> None:
    """Person 1: two impressions, one of them clicked (twice). Person 2: three, none clicked."""
    _, sums = counted(
        *(shown(it) for it in ("a", "b")),
        *(shown(it, user=2) for it in ("c", "d", "e")),
        said("a", 10),
        said("a", 20),
    )
    assert sums[TREATED, 0, 0] == 2
    assert figure(sums, "impressions") == 2 + 3
    assert figure(sums, "clicked") == 1
    assert square(sums, "impressions", "impressions") == 4 + 9
    assert square(sums, "impressions", "clicked") == 2 * 1
    assert square(sums, "clicked", "clicked") == 1


def test_what_is_repeated_counts_once() -> None:
    once = counted(shown("a"), said("a", 10), said("a", 10, "watch", 0.5))[1]
    often = counted(*[shown("a")] * 3, *[said("a", 10)] * 3, *[said("a", 10, "watch", 0.5)] * 2)[1]
    assert often == once
    assert figure(once, "watched") == 1


def test_a_second_rating_replaces_the_first() -> None:
    people, sums = counted(shown("a"), said("a", 10, "rating", 2.0), said("a", 10, "rating", 4.5))
    assert (figure(sums, "ratings"), figure(sums, "half_stars")) == (1, 9)
    assert square(sums, "half_stars", "half_stars") == 81
    assert people[1].totals["trial", 1].figures[FIGURES.index("half_stars")] == 9


def test_feedback_is_of_its_impression_within_the_window() -> None:
    _, sums = counted(
        shown("a"),
        said("a", 10, at=WINDOW + 1),  # late
        said("a", 99),  # not in the list
        said("b", 10),  # of no impression
    )
    assert figure(sums, "clicked") == 0
    assert figure(counted(shown("a"), said("a", 10, at=WINDOW))[1], "clicked") == 1


def test_of_an_interleaved_list_whoever_has_more_chosen_wins_it() -> None:
    def won(*feedback: FeedbackEvent) -> tuple[int, int]:
        _, sums = counted(shown("a", teams=(0, 1, 1)), *feedback)
        assert figure(sums, "interleaved") == 1
        return figure(sums, "won"), figure(sums, "lost")

    assert won() == (0, 0)
    assert won(said("a", 20)) == (1, 0)
    assert won(said("a", 10), said("a", 20)) == (0, 0)
    assert won(said("a", 10)) == (0, 1)
    assert won(said("a", 10), said("a", 20), said("a", 30, "watch")) == (1, 0)
    assert won(said("a", 10, "skip")) == (0, 0)


def test_who_was_given_a_variant_is_not_counted() -> None:
    people, sums = counted(
        shown("a", experiments={"trial": Assigned(variant="treatment", counted=False)}),
        said("a", 10),
    )
    assert not sums
    assert not people[1].totals


def test_the_first_variant_of_a_round_is_the_one() -> None:
    other = {"trial": Assigned(variant="control")}
    again = {"trial": Assigned(variant="control", round=2)}
    _, sums = counted(shown("a"), shown("b", experiments=other), shown("c", experiments=again))
    assert figure(sums, "impressions") == 1
    assert sums[Key("trial", 1, "control"), 0, 0] == 0
    assert figure(sums, "impressions", Key("trial", 2, "control")) == 1


def test_nothing_is_left_of_who_is_forgotten_but_in_the_sums() -> None:
    people, sums = counted(shown("a"), said("a", 10), said("later", 10), forget(1))
    assert people == {1: Person()}
    assert figure(sums, "clicked") == 1


def test_what_no_feedback_will_come_for_is_let_go_of() -> None:
    people, _ = counted(shown("a"), said("x", 1), shown("b", at=3 * WINDOW))
    assert list(people[1].open) == ["b"]
    assert not people[1].early


EVENTS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from("abcd"),
        st.sampled_from((10, 20, 99)),
        st.sampled_from(("shown", "click", "watch", "skip")),
    ),
    max_size=25,
)


@given(EVENTS, st.randoms())
def test_either_topic_may_be_read_first(drawn: list[Any], random: Any) -> None:
    exposures = [shown(f"{user}{name}", user) for user, name, _, what in drawn if what == "shown"]
    feedback = [
        said(f"{user}{name}", movie, what, user=user)
        for user, name, movie, what in drawn
        if what != "shown"
    ]
    people, sums = counted(*exposures, *feedback)
    mixed = [*exposures, *feedback]
    random.shuffle(mixed)
    others, more = counted(*mixed)
    assert +more == +sums
    for user, person in people.items():
        assert others[user].totals == person.totals


@given(EVENTS)
def test_sums_are_those_of_the_totals(drawn: list[Any]) -> None:
    events = [
        shown(f"{user}{name}", user)
        if what == "shown"
        else said(f"{user}{name}", movie, what, user=user)
        for user, name, movie, what in drawn
    ]
    people, sums = counted(*events)
    rows = [[1, *it.totals["trial", 1].figures] for it in people.values() if it.totals]
    for a in range(len(FIGURES) + 1):
        for b in range(a, len(FIGURES) + 1):
            assert sums[TREATED, a, b] == sum(row[a] * row[b] for row in rows)
    packed = {user: msgspec.msgpack.encode(person) for user, person in people.items()}
    assert {user: msgspec.msgpack.decode(it, type=Person) for user, it in packed.items()} == people
