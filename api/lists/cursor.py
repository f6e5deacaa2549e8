"""Where a page ended: what clients send to get the next one.

The first page's cursor carries the movies that were on it; what comes after them is only ranked,
and kept, once somebody asks for it. From then on cursors name the kept list and a place in it.
"""

import hashlib
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import msgspec
import numpy as np

from api.errors import FieldError, ProblemError, invalid
from api.lists.wanted import Wanted

KEPT: Final = 600  # s: how long a cursor is good for, and what it names is kept

_CHECK: Final = 6  # bytes of a digest: they tell a damaged cursor, and need not stop anybody

# Questions whose names are remembered: nearly all requests ask the same few.
_QUESTIONS: Final = 64


class Cursor(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A place in somebody's list.

    Attributes:
        user_id: whose list.
        question: which list, see `question_of`.
        until: when it expires, s since 1970.
        shown: u32[], little-endian: the movies of the pages so far, where nothing is kept.
        kept: the name of the kept list, b"" without one.
        offset: where in the kept list to go on.
    """

    user_id: int
    question: bytes
    until: int
    shown: bytes = b""
    kept: bytes = b""
    offset: int = 0

    @classmethod
    def after(cls, user_id: int, question: bytes, shown: Iterable[int]) -> "Cursor":
        """Behind pages with these movies."""
        ids = np.fromiter(shown, "<u4").tobytes()
        return cls(user_id, question, int(time.time()) + KEPT, shown=ids)

    def shown_ids(self) -> list[int]:
        ids: list[int] = np.frombuffer(self.shown, "<u4").tolist()
        return ids

    def encode(self) -> str:
        value = msgspec.msgpack.encode(self)
        return urlsafe_b64encode(_digest(value) + value).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str, user_id: int, question: bytes) -> "Cursor":
        """The cursor of this user's list.

        Raises ProblemError: it is none, or one of another list (422), or has expired (410).
        """
        try:
            raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
            cursor = msgspec.msgpack.decode(raw[_CHECK:], type=cls)
        except (NotBase64, UnicodeEncodeError, msgspec.MsgspecError) as error:
            raise _refused("is no cursor: send `next_cursor` as it was") from error
        if _digest(raw[_CHECK:]) != raw[:_CHECK] or len(cursor.shown) % 4:
            raise _refused("is no cursor: send `next_cursor` as it was")
        if cursor.user_id != user_id:
            raise _refused(f"is of another user's list, not of user {user_id}'s")
        if cursor.question != question:
            raise _refused(
                "is of a list with other filters, `diversity` or `novelty`: send those of the "
                "first page again, or begin without a cursor"
            )
        if time.time() >= cursor.until:
            raise expired()
        return cursor


@lru_cache(maxsize=_QUESTIONS)
def question_of(wanted: Wanted) -> bytes:
    """Which list is asked for, however long its pages are: the same in every process."""
    asked = msgspec.msgpack.encode(replace(wanted, limit=0), order="deterministic")
    return hashlib.blake2b(asked, digest_size=8).digest()


def expired() -> ProblemError:
    """The list is not kept any more."""
    return ProblemError(
        HTTPStatus.GONE,
        "cursor-expired",
        "The cursor has expired",
        f"lists are kept for {KEPT // 60} minutes, and until their person is forgotten: begin "
        "again without a cursor",
    )


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=_CHECK).digest()


def _refused(why: str) -> ProblemError:
    return invalid([FieldError(field="query.cursor", message=why)])
