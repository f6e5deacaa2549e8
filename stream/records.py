"""How state is packed into Redis values: fixed layouts, little-endian, one string a user.

A user record is a header, then movies u32[n], times u32[n], half_stars u8[n], then the cold-start
vector as f16[d] where there is one; it is empty where there are no events. 154 ratings and 128
dimensions take about 1.7 KB.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.contracts.errors import StoreUnavailable
from stream.features import HEATS, MovieState, UserState

LAYOUT: Final = 2

# layout, ratings, events, last offset, last event time, last produced time, vector's version tag
_HEADER: Final = struct.Struct("<BIIqqq8s")
# ratings, their sum, the sum of their squares, heats, recent mean
_MOVIE: Final = struct.Struct(f"<IQQ{len(HEATS)}dd")
_MOVIES: Final = np.dtype(
    [
        ("count", "<u4"),
        ("total", "<u8"),
        ("squares", "<u8"),
        ("heats", "<f8", (len(HEATS),)),
        ("recent_mean", "<f8"),
    ]
)
_NO_TAG: Final = bytes(8)
_TAG: Final = slice(_HEADER.size - len(_NO_TAG), _HEADER.size)
_RATING_SIZE: Final = 9  # bytes: a movie, a time and half stars

# Where a packed user record has its last offset: with it scripts tell one state from another.
LAST_OFFSET: Final = slice(struct.calcsize("<BII"), struct.calcsize("<BIIq"))


@dataclass(slots=True)
class ColdStartVector:
    """A user vector pooled from item vectors, and the tag of the model version they are from."""

    tag: bytes
    vector: npt.NDArray[np.float16]


@dataclass(slots=True)
class UserRecord:
    state: UserState
    cold_start: ColdStartVector | None = None


class MovieHeats(NamedTuple):
    """Heats of n movies, and what they were rated.

    Attributes:
        movies: u32[n] ids.
        heats: f64[n, len(HEATS)], see `MovieState`.
        sums: i64[3, n]: count, total and squares, see `MovieState`.
    """

    movies: npt.NDArray[np.uint32]
    heats: npt.NDArray[np.float64]
    sums: npt.NDArray[np.int64]


def pack_user(record: UserRecord) -> bytes:
    """What `unpack_user` reads; b"" of somebody without events, whose record is erased."""
    state = record.state
    if not state.events:
        return b""
    tag, vector = _NO_TAG, b""
    if record.cold_start is not None:
        tag, vector = record.cold_start.tag, record.cold_start.vector.tobytes()
    header = _HEADER.pack(
        LAYOUT,
        len(state.half_stars),
        state.events,
        state.last_offset,
        state.last_event_time,
        state.last_produced_time,
        tag,
    )
    return b"".join((header, state.movies, state.times, state.half_stars, vector))


def unpack_user(value: bytes) -> UserRecord:
    """Raises StoreUnavailable where another layout wrote the value: rebuild the state."""
    state, tag = unpack_state(value), value[_TAG]
    if tag == _NO_TAG:
        return UserRecord(state)
    vector = np.frombuffer(value, dtype="<f2", offset=_HEADER.size + _RATING_SIZE * len(state))
    return UserRecord(state, ColdStartVector(tag, vector))


def unpack_state(value: bytes) -> UserState:
    """`unpack_user` without the vector, in a third of the time. Raises as it does."""
    layout, n, events, last_offset, event_time, produced_time, _ = _HEADER.unpack_from(value)
    if layout != LAYOUT:
        raise _other_layout(f"a user record has layout {layout}, this version reads {LAYOUT}")
    times = _HEADER.size + 4 * n
    half_stars = times + 4 * n
    return UserState(
        value[_HEADER.size : times],
        value[times:half_stars],
        value[half_stars : half_stars + n],
        events,
        last_offset,
        event_time,
        produced_time,
    )


def pack_last_offset(offset: int) -> bytes:
    """As a user record has it, at `LAST_OFFSET`."""
    return struct.pack("<q", offset)


def pack_movie(state: MovieState) -> bytes:
    """What `unpack_movie` reads."""
    return _MOVIE.pack(state.count, state.total, state.squares, *state.heats, state.recent_mean)


def unpack_movie(value: bytes) -> MovieState:
    """Raises StoreUnavailable where another layout wrote the value: rebuild the state."""
    _check_movies(len(value), 1)
    count, total, squares, *heats, recent_mean = _MOVIE.unpack(value)
    return MovieState(count, total, squares, tuple(heats), recent_mean)


def unpack_heats(movies: Sequence[int], values: Sequence[bytes]) -> MovieHeats:
    """What `unpack_movie` gives of many at once, without recent means. Raises as it does."""
    packed = b"".join(values)
    _check_movies(len(packed), len(values))
    read = np.frombuffer(packed, _MOVIES)
    sums = np.stack([read[name].astype(np.int64) for name in ("count", "total", "squares")])
    return MovieHeats(np.array(movies, np.uint32), read["heats"], sums)


def _check_movies(size: int, count: int) -> None:
    if size != count * _MOVIE.size:
        raise _other_layout(
            f"{count} movie records have {size} bytes, this version has {_MOVIE.size} for each"
        )


def _other_layout(what: str) -> StoreUnavailable:
    return StoreUnavailable(f"{what}: run `freshet rebuild`")
