"""The script that commits a batch (`commit.lua`), and how its arguments are laid out."""

import struct
from importlib.resources import files
from typing import Final

from stream.contracts import keys
from stream.contracts.keys import Position
from stream.records import pack_movie, pack_user
from stream.store import Batch

SCRIPT: Final = files("stream").joinpath("commit.lua").read_text()

_ENTRY: Final = struct.Struct("<QI")  # what precedes a record in the script's arguments: id, size


def script_keys(partition: int, generation: int, batch: Batch) -> tuple[bytes, ...]:
    """KEYS of a commit of `batch` into this generation, all of one slot."""
    return (
        keys.live(partition),
        keys.generations(partition),
        keys.users(partition, generation),
        keys.movies(partition, generation),
        keys.changed(partition, generation),
        *(
            keys.kept(partition, user)
            for user, record in batch.users.items()
            if not record.state.events
        ),
    )


def script_arguments(
    expected: Position | None, new: Position, batch: Batch
) -> tuple[bytes | int, ...]:
    """ARGV of the commit of `batch`, which was computed from `expected` and leads to `new`."""
    switches = expected is None or expected.generation != new.generation
    users: list[bytes] = []
    for user, record in batch.users.items():
        value = pack_user(record)
        users += (_ENTRY.pack(user, len(value)), value)
    movies: list[bytes] = []
    for movie, state in batch.movies.items():
        value = pack_movie(state)
        movies += (_ENTRY.pack(movie, len(value)), value)
    return (
        expected.encode() if expected else b"",
        new.encode(),
        new.generation if switches else 0,
        new.next_offset,
        b"".join(users),
        b"".join(movies),
    )
