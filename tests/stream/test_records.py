"""State packed into bytes and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.errors import StoreUnavailable
from stream.contracts.events import MAX_MOVIE_ID
from stream.features import HEATS, MovieState, UserState
from stream.records import (
    ColdStartVector,
    UserRecord,
    pack_movie,
    pack_user,
    unpack_heats,
    unpack_movie,
    unpack_user,
)
from tests.stream.build import folded, rating

movies = st.integers(1, MAX_MOVIE_ID)
lists = st.lists(st.tuples(movies, st.integers(1, 10)), min_size=1, max_size=30)


@given(lists, st.none() | st.integers(1, 128))
def test_a_user_comes_back(ratings: list[tuple[int, int]], dimensions: int | None) -> None:
    state = folded(rating(1, movie, half / 2) for movie, half in ratings).users.get(1, UserState())
    vector = None
    if dimensions is not None:
        values = np.linspace(-1, 1, dimensions).astype(np.float16)
        vector = ColdStartVector(b"12345678", values)
    packed = pack_user(UserRecord(state, vector))
    back = unpack_user(packed)
    assert back.state == state
    assert (back.cold_start is None) == (vector is None)
    if vector is not None and back.cold_start is not None:
        assert back.cold_start.tag == vector.tag
        assert np.array_equal(back.cold_start.vector, vector.vector)
    assert pack_user(back) == packed


def test_the_size_of_a_user() -> None:
    """A header of 41 bytes, 9 a rating, 2 a dimension."""
    state = folded(rating(1, movie, 4.0) for movie in range(1, 155)).users[1]
    vector = ColdStartVector(b"12345678", np.zeros(128, np.float16))
    assert len(pack_user(UserRecord(state, vector))) == 41 + 9 * 154 + 2 * 128


def test_what_comes_back_can_be_folded_on() -> None:
    state = unpack_user(pack_user(UserRecord(folded([rating(1, 7, 4.0)]).users[1]))).state
    state.movies += b"\x08\0\0\0"
    assert state.movie_ids().tolist() == [7, 8]


def test_a_record_of_another_layout_says_what_to_do() -> None:
    packed = pack_user(UserRecord(folded([rating(1, 7, 4.0)]).users[1]))
    with pytest.raises(StoreUnavailable, match="freshet rebuild"):
        unpack_user(bytes([packed[0] + 1]) + packed[1:])


@given(
    st.builds(
        MovieState,
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**63 - 1),
        st.integers(0, 2**63 - 1),
        st.tuples(*[st.floats(allow_nan=False)] * len(HEATS)),
        st.floats(0, 10),
    )
)
def test_a_movie_comes_back(state: MovieState) -> None:
    assert unpack_movie(pack_movie(state)) == state
    movies, heats, sums = unpack_heats(
        [7, 2**32 - 1], [pack_movie(state), pack_movie(MovieState())]
    )
    assert movies.tolist() == [7, 2**32 - 1]
    assert [tuple(of_movie) for of_movie in heats] == [state.heats, MovieState().heats]
    assert sums.tolist() == [[state.count, 0], [state.total, 0], [state.squares, 0]]


def test_a_movie_of_another_layout_says_what_to_do() -> None:
    packed = pack_movie(MovieState())
    with pytest.raises(StoreUnavailable, match=r"have 56 bytes.*freshet rebuild"):
        unpack_movie(packed[:-4])
    with pytest.raises(StoreUnavailable, match=r"2 movie records have 116 bytes.*freshet rebuild"):
        unpack_heats([1, 2], [packed, packed[:-4]])
