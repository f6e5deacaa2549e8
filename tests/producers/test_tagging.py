"""The tags of a movie: those that most people gave it, however they wrote them."""

import pyarrow as pa

from producers.tables import TAGS
from producers.tagging import MOST, common_tags
from stream.contracts.events import MAX_TAG


def table(*rows: tuple[int, int, str]) -> pa.Table:
    """Of (user, movie, tag)."""
    users, movies, tags = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table([users, movies, tags, [0] * len(rows)], schema=TAGS)


def test_the_most_common_first_and_of_equal_ones_by_the_alphabet() -> None:
    found = common_tags(
        table(
            *((1, 7, "twist"), (2, 7, "twist"), (1, 7, "dark"), (3, 7, "bleak")),
            *((2, 8, "dark"), (2, 8, "bleak")),
        )
    )
    assert found == {7: ("twist", "bleak", "dark"), 8: ("bleak", "dark")}


def test_however_they_write_it() -> None:
    # The accent is a letter's own, or a character behind it.
    found = common_tags(
        table((1, 7, "Film  Noir"), (2, 7, " film noir"), (3, 7, "caf\u00e9"), (4, 7, "CAFE\u0301"))
    )
    assert found == {7: ("caf\u00e9", "film noir")}


def test_who_says_it_twice_is_one_person() -> None:
    found = common_tags(
        table((1, 7, "Dull"), (1, 7, "dull"), (2, 8, "dull"), (2, 7, "odd"), (3, 7, "odd"))
    )
    assert found == {7: ("odd", "dull"), 8: ("dull",)}


def test_what_one_person_alone_calls_movies_is_no_tag() -> None:
    queue = [(1, movie, "in my queue") for movie in range(1, 9)]
    assert common_tags(table(*queue, (1, 1, "slow"), (2, 2, "slow"))) == {
        1: ("slow",),
        2: ("slow",),
    }


def test_only_so_many_and_none_that_says_nothing_or_too_much() -> None:
    many = [(user, 7, f"tag {number:02}") for number in range(MOST + 5) for user in (1, 2)]
    none = [(user, 8, tag) for tag in (" \t ", "x" * (MAX_TAG + 1)) for user in (1, 2)]
    found = common_tags(table(*many, *none))
    assert found == {7: tuple(f"tag {number:02}" for number in range(MOST))}


def test_without_tags() -> None:
    assert common_tags(table()) == {}
