"""How state is packed into Redis values: fixed layouts, little-endian, one string a user.

A user record is a header, then movies u32[n], times u32[n], half_stars u8[n], then the cold-start
vector as f16[d] where there is one. 154 ratings and 128 dimensions take about 1.7 KB.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.contracts.errors import StoreUnavailable
from stream.features import MovieState, UserState

LAYOUT: Final = 1

# layout, ratings, events, last offset, last event time, last produced time, vector's version tag
_HEADER: Final = struct.Struct("<BIIqqq8s")
_MOVIE: Final = struct.Struct("<IQQdd")
_NO_TAG: Final = bytes(8)


@dataclass(slots=True)
class ColdStartVector:
    """A user vector pooled from item vectors, and the tag of the model version they are from."""

    tag: bytes
    vector: npt.NDArray[np.float16]


@dataclass(slots=True)
class UserRecord:
    state: UserState
    cold_start: ColdStartVector | None = None


def pack_user(record: UserRecord) -> bytes:
    state = record.state
    tag, vector = _NO_TAG, b""
    if record.cold_start is not None:
        tag, vector = record.cold_start.tag, record.cold_start.vector.tobytes()
    header = _HEADER.pack(
        LAYOUT,
        len(state),
        state.events,
        state.last_offset,
        state.last_event_time,
        state.last_produced_time,
        tag,
    )
    return b"".join((header, state.movies, state.times, state.half_stars, vector))


def unpack_user(value: bytes) -> UserRecord:
    """Raises StoreUnavailable where another layout wrote the value: rebuild the state."""
    layout, n, events, last_offset, event_time, produced_time, tag = _HEADER.unpack_from(value)
    if layout != LAYOUT:
        raise StoreUnavailable(
            f"a user record has layout {layout}, this version reads {LAYOUT}: run `freshet rebuild`"
        )
    times = _HEADER.size + 4 * n
    half_stars = times + 4 * n
    end = half_stars + n
    state = UserState(
        bytearray(value[_HEADER.size : times]),
        bytearray(value[times:half_stars]),
        bytearray(value[half_stars:end]),
        events,
        last_offset,
        event_time,
        produced_time,
    )
    if tag == _NO_TAG:
        return UserRecord(state)
    return UserRecord(state, ColdStartVector(tag, np.frombuffer(value, dtype="<f2", offset=end)))


def pack_movie(state: MovieState) -> bytes:
    return _MOVIE.pack(state.count, state.total, state.squares, state.heat, state.recent_mean)


def unpack_movie(value: bytes) -> MovieState:
    return MovieState(*_MOVIE.unpack(value))
