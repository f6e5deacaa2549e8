"""The archive's files: what each covers, and reading and replacing them as tables.

`date=YYYY-MM-DD/partition=N/<topic>-<first offset>.parquet`, `topic` being eight hex digits that
stand for the topic's identity. A file covers a contiguous range of one partition's offsets, [first,
next) in its metadata, and has a row for each valid rating among them. Whose they are is there too:
rows are in the order of the log, so every row group has low ids and high ones, and PyArrow writes
no Bloom filters. To erase a person then reads the files that have them, and no others.
"""

import base64
import hashlib
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stream.archive_storage import REPLACED, Storage
from stream.contracts.errors import ArchiveUnavailable, DatasetError

_TIME: Final = pa.timestamp("ms", tz="UTC")

# Ids in full, stars as they were given. `record_time` is the Kafka record's.
SCHEMA: Final = pa.schema(
    [
        ("user_id", pa.int64()),
        ("movie_id", pa.uint32()),
        ("rating", pa.float32()),
        ("event_time", _TIME),
        ("produced_time", _TIME),
        ("record_time", _TIME),
        ("event_id", pa.string()),
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("offset", pa.int64()),
    ]
)

# Rows of a batch that is read, and of a row group: 6 MB in memory.
BATCH_ROWS: Final = 65_536

# Footers read at a time: an object store takes some tens of ms for each.
READERS: Final = 16

# Looks until what does not fit together is believed: during a look two files may change.
LOOKS: Final = 3

OR_DELETE: Final = (
    "or delete it and all later ones of its partition: they are archived again as far as the topic "
    "still has them"
)

_USERS: Final = b"users"  # in a file's metadata

_NAME: Final = re.compile(
    r"date=\d{4}-\d\d-\d\d/partition=\d+/[0-9a-f]{8}-\d{20}\.parquet", re.ASCII
)


class Part(NamedTuple):
    """A partition of a topic, by the topic's identity."""

    topic_id: str
    partition: int


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file: the offsets [first, next) of a part, and how many rows are of them.

    Attributes:
        users: whose they are, as the file has it (`_packed`); None where an earlier release wrote
            it, or nobody has yet.
    """

    part: Part
    date: date
    first: int
    next: int
    rows: int
    users: bytes | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> str:
        """Below the data set."""
        topic_id, partition = self.part
        topic = hashlib.blake2b(topic_id.encode(), digest_size=4).hexdigest()
        return f"date={self.date}/partition={partition}/{topic}-{self.first:020d}.parquet"


class ArchiveFiles:
    """All files of one archive. Raises ArchiveUnavailable where the storage fails, and DatasetError
    where files are damaged, overlap or are missing."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.where = storage.where
        self.exclusive = storage.exclusive
        # What the footers said, by path, size and time of change.
        self._known: dict[tuple[str, int, int | None], ArchiveFile] = {}

    def look(self) -> Mapping[Part, list[ArchiveFile]]:
        """What is there now, in the order of the log."""
        for _ in range(LOOKS - 1):
            with suppress(DatasetError):
                return self._look()
        return self._look()

    def read(self, file: ArchiveFile) -> pa.Table:
        """All its rows."""
        with self._storage.read(file.path) as source, self._whole(file.path):
            return pq.read_table(source, schema=SCHEMA)

    def batches(self, file: ArchiveFile) -> Iterator[pa.RecordBatch]:
        """All its rows, a batch at a time."""
        with self._storage.read(file.path) as source, self._whole(file.path):
            yield from pq.ParquetFile(source).iter_batches(BATCH_ROWS)

    def count(self, file: ArchiveFile, users: pa.Array) -> int:
        """How many of its rows are of these users."""
        if file.users is not None:
            with self._whole(file.path):
                known = _unpacked(file.users)
            if not pc.any(pc.is_in(users, known), min_count=0).as_py():
                return 0
        with self._storage.read(file.path) as source, self._whole(file.path):
            column = pq.read_table(source, columns=["user_id"])["user_id"]
        return int(pc.sum(pc.is_in(column, users), min_count=0).as_py())

    def write(self, file: ArchiveFile, table: pa.Table) -> None:
        """Create or replace the file, in one atomic step; `table` has its rows."""
        topic_id, partition = file.part
        metadata = {
            "topic_id": topic_id,
            "partition": str(partition),
            "first": str(file.first),
            "next": str(file.next),
            _USERS: _packed(table["user_id"]),
        }
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, SCHEMA, compression="zstd") as writer:
            writer.write_table(table, BATCH_ROWS)
            writer.add_key_value_metadata(metadata)
        self._storage.write(file.path, sink.getvalue())
        # An object store's clock may not tell two changes in one second apart.
        self._known = {key: value for key, value in self._known.items() if key[0] != file.path}

    def delete(self, file: ArchiveFile) -> None:
        self._storage.delete(file.path)

    def _look(self) -> Mapping[Part, list[ArchiveFile]]:
        keys = [
            (path, info.size, info.mtime_ns)
            for info in self._storage.files()
            if _NAME.fullmatch(path := self._storage.relative(info))
        ]
        new = [key for key in keys if key not in self._known]
        with ThreadPoolExecutor(READERS) as pool:
            self._known |= zip(new, pool.map(self._describe, (key[0] for key in new)), strict=True)
        self._known = {key: self._known[key] for key in keys}
        found: defaultdict[Part, list[ArchiveFile]] = defaultdict(list)
        for file in sorted(self._known.values(), key=lambda it: (it.first, it.next)):
            found[file.part].append(file)
        for files in found.values():
            self._check(files)
        return found

    def _describe(self, path: str) -> ArchiveFile:
        with self._storage.open(path) as source, self._whole(path):
            footer = pq.read_metadata(source)
            told = dict(footer.metadata or {})
            users = told.pop(_USERS, None)
            day = date.fromisoformat(path[len("date=") : path.index("/")])
            part = Part(told[b"topic_id"].decode(), int(told[b"partition"]))
            first, end = int(told[b"first"]), int(told[b"next"])
            return ArchiveFile(part, day, first, end, footer.num_rows, users)

    @contextmanager
    def _whole(self, path: str) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, KeyError, ValueError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno not in (None, REPLACED):
                raise ArchiveUnavailable(f"{self.where}: reading {path} failed: {error}") from error
            raise DatasetError(
                f"{self.where}: {path} is no whole file of the archive ({error}): put back what "
                f"was there, {OR_DELETE}"
            ) from error

    def _check(self, files: list[ArchiveFile]) -> None:
        for one, other in pairwise(files):
            if one.next != other.first:
                raise DatasetError(
                    f"{self.where}: {one.path} covers the offsets [{one.first}, {one.next}), and "
                    f"{other.path} those from {other.first} on, so they "
                    f"{'overlap' if one.next > other.first else 'leave a gap'}: put back what was "
                    f"there, {OR_DELETE}"
                )


def _packed(users: pa.ChunkedArray) -> bytes:
    """Ids from 0 on without repetition, ascending, each as its distance to the one before, or -1.

    They are i64, little-endian, with zlib, in base64 for readers who take metadata for text. Sorted
    first, a file's are ready in a tenth of the time that a hash table takes.
    """
    steps = np.diff(np.sort(users.to_numpy()), prepend=-1)
    return base64.b64encode(zlib.compress(steps[steps > 0].astype("<i8").tobytes(), 1))


def _unpacked(users: bytes) -> pa.Array:
    """i64[], ascending. Raises ValueError or zlib.error where it is damaged."""
    packed = zlib.decompress(base64.b64decode(users, validate=True))
    return pa.array(np.cumsum(np.frombuffer(packed, "<i8")) - 1, pa.int64())
