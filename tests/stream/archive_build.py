"""Short ways to make rows of the archive, and an object store to put them in."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import fsspec
import pyarrow as pa
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from stream.archive_files import SCHEMA

TODAY = date(2020, 5, 17)


class _Upload(MemoryFile):
    complete = False

    def close(self) -> None:
        """More than once, by Arrow and by Python."""
        if not self.complete:
            self.commit()
            self.complete = True


class ObjectStore(MemoryFileSystem):
    """In memory, at `fsspec+objects:///...`; an object is there once its upload is complete.

    Listings are remembered as s3fs does it, so those of what another process writes are old.
    """

    protocol = "objects"
    store: dict[str, Any] = {}  # noqa: RUF012 - as fsspec has it
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("objects://")))

    def find(self, path: str, *arguments: Any, **options: Any) -> Any:
        found = self.dircache.get(path)
        if found is None:
            self.dircache[path] = found = super().find(path, *arguments, **options)
        return found

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        path = self._strip_protocol(path)
        return _Upload(self, path) if mode == "wb" else super()._open(path, mode, **options)


fsspec.register_implementation("objects", ObjectStore)


def ms(day: date) -> int:
    """Noon of that day, ms."""
    return (day - date(1970, 1, 1)).days * 86_400_000 + 43_200_000


def rows(users: Iterable[tuple[int, int]], day: date = TODAY) -> pa.Table:
    """A row for each (offset, user), of records of that day."""
    events = list(users)
    times = [ms(day)] * len(events)
    return pa.table(
        [
            [user for _, user in events],
            [7 for _ in events],
            [4.5 for _ in events],
            times,
            times,
            times,
            [f"{user}-{offset}" for offset, user in events],
            pa.array(["api" for _ in events], pa.string()).dictionary_encode(),
            [offset for offset, _ in events],
        ],
        names=SCHEMA.names,
    ).cast(SCHEMA)
