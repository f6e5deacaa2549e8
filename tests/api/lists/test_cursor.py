"""Cursors: opaque, good for one list of one person, and for a time."""

import time
from base64 import urlsafe_b64decode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import ProblemError
from api.lists.cursor import KEPT, Cursor, question_of
from api.lists.wanted import Wanted
from api.schemas.query import MAX_CURSOR
from training.movie_filter import MovieFilter

USER = 42
QUESTION = question_of(Wanted(10))

movie_ids = st.lists(st.integers(1, 2**32 - 1), max_size=500)


def refused(text: str, user_id: int = USER, question: bytes = QUESTION) -> tuple[int, str]:
    with pytest.raises(ProblemError) as raised:
        Cursor.decode(text, user_id, question)
    problem = raised.value.problem
    return problem.status, problem.detail


@given(user_id=st.integers(1, 2**53 - 1), shown=movie_ids)
def test_it_reads_back(user_id: int, shown: list[int]) -> None:
    cursor = Cursor.after(user_id, QUESTION, shown)
    text = cursor.encode()
    assert len(text) <= MAX_CURSOR
    assert quote(text, safe="") == text  # it may stand in a URL as it is
    assert Cursor.decode(text, user_id, QUESTION) == cursor
    assert cursor.shown_ids() == shown


@given(st.text(min_size=1) | st.binary().map(lambda raw: raw.hex()))
def test_garbage_is_refused(text: str) -> None:
    status, detail = refused(text)
    assert status == 422
    assert detail.startswith("query.cursor: ")


@given(shown=movie_ids, at=st.integers(0), letter=st.sampled_from("AZaz09-_"))
def test_what_was_changed_is_refused(shown: list[int], at: int, letter: str) -> None:
    text = Cursor.after(USER, QUESTION, shown).encode()
    at %= len(text)
    changed = text[:at] + letter + text[at + 1 :]
    padding = "=" * (-len(text) % 4)
    if urlsafe_b64decode(changed + padding) != urlsafe_b64decode(text + padding):
        assert refused(changed)[0] == 422


def test_a_made_up_one_of_half_a_movie_is_refused() -> None:
    assert refused(Cursor(USER, QUESTION, until=2**40, shown=b"\x01\x00").encode())[0] == 422


def test_another_persons_is_refused() -> None:
    status, detail = refused(Cursor.after(7, QUESTION, [1]).encode())
    assert status == 422
    assert "another user's list" in detail


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(10, MovieFilter(genres_any=frozenset({"Drama"}))),
        Wanted(10, MovieFilter(exclude=frozenset({1}))),
        Wanted(10, diversity=0.5),
        Wanted(10, novelty=0.5),
    ],
)
def test_one_of_another_list_is_refused(wanted: Wanted) -> None:
    status, detail = refused(Cursor.after(USER, question_of(wanted), [1]).encode())
    assert status == 422
    assert "other filters" in detail


def test_pages_may_differ_in_length() -> None:
    assert question_of(Wanted(10)) == question_of(Wanted(20))


def test_a_question_has_the_same_name_in_every_process() -> None:
    """Equal sets may be iterated in another order."""
    one, other = frozenset([1, 9]), frozenset([9, 1])
    assert list(one) != list(other)
    names = {question_of(Wanted(10, MovieFilter(exclude=ids))) for ids in (one, other)}
    assert len(names) == 1


@pytest.mark.parametrize(("later", "good"), [(KEPT - 1, True), (KEPT, False)])
def test_it_expires(monkeypatch: pytest.MonkeyPatch, later: int, good: bool) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.5)
    text = Cursor.after(USER, QUESTION, [1]).encode()
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0 + later)
    if good:
        assert Cursor.decode(text, USER, QUESTION).shown_ids() == [1]
    else:
        status, detail = refused(text)
        assert status == 410
        assert "10 minutes" in detail
