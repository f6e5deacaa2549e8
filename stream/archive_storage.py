"""Where the archive's files are: listed, read whole and replaced in one atomic step, by URL.

Nothing here knows what is in a file. On a local file system a file is written beside the data set,
made durable and renamed; an object store shows an object once it is there as a whole.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import fsspec
import pyarrow as pa
import pyarrow.fs as pafs

from stream.contracts.errors import ArchiveUnavailable, ConfigurationError, DatasetError

FSSPEC: Final = "fsspec+"
SCHEMES: Final = (
    f"a path, file://, s3://, gs://, abfs://, or {FSSPEC}<any object store of fsspec's>://"
)

TRIES: Final = 3  # to read a file that is replaced meanwhile, which happens seconds apart

# What s3fs says of an object that is replaced while it is read.
REPLACED: Final = errno.EBUSY

# What fsspec raises: TypeError of a kind that takes no options of listings, so no object store.
_NO_SUCH: Final = (ImportError, ValueError, TypeError)

# All lie beside the data set, where no reader of it looks. Whoever writes holds the lock, so one
# name is enough for what is not finished: what a kill left there is overwritten by the next write.
_TOPIC: Final = "topic.txt"
_UNFINISHED: Final = "unfinished"
_LOCK: Final = "writer.lock"


class Storage:
    """The data set's files on an object store. Paths are relative to the data set.

    All of it raises ArchiveUnavailable with what the storage said, and DatasetError where a file
    is not there any more.
    """

    def __init__(self, filesystem: pafs.FileSystem, root: str, data_set: str) -> None:
        """`data_set`: the directory below `root` that readers are given."""
        self._filesystem = filesystem
        self._beside = f"{root}/{_TOPIC}"
        self._root = f"{root}/{data_set}"
        self.where = f"{filesystem.type_name}:{self._root}"

    def files(self) -> list[pafs.FileInfo]:
        """All files, in no order."""
        selector = pafs.FileSelector(self._root, allow_not_found=True, recursive=True)
        with self._told("listing"):
            found = self._filesystem.get_file_info(selector)
        return [info for info in found if info.type == pafs.FileType.File]

    def relative(self, info: pafs.FileInfo) -> str:
        """The path of one that `files` found."""
        return str(info.path).removeprefix("/").removeprefix(f"{self._root}/".removeprefix("/"))

    def open(self, path: str) -> pa.NativeFile:
        """To read parts of it; the file must not be replaced meanwhile."""
        with self._told(f"opening {path}"):
            return self._filesystem.open_input_file(f"{self._root}/{path}")

    def read(self, path: str) -> pa.NativeFile:
        """All of it as of one instant, even where it is replaced while it is read."""
        at = f"{self._root}/{path}"
        for _ in range(TRIES):
            with self._told(f"reading {path}"), _unless_replaced():
                with self._filesystem.open_input_file(at) as source:
                    content = source.read_buffer(source.size())  # one request
                if self._filesystem.get_file_info(at).size == content.size:
                    return pa.BufferReader(content)
        raise ArchiveUnavailable(f"archive at {self.where}: {path} changes while it is read")

    def write(self, path: str, content: pa.Buffer) -> None:
        """Create or replace it: others see the old one or the new one, whole."""
        with self._told(f"writing {path}"):
            self._upload(f"{self._root}/{path}", content)

    def topic(self) -> str | None:
        """What was noted, None before."""
        with self._told("reading whose it is"):
            if self._filesystem.get_file_info(self._beside).type == pafs.FileType.NotFound:
                return None
            with self._filesystem.open_input_file(self._beside) as source:
                return str(source.read().decode())

    def note_topic(self, name: str) -> None:
        """Note whose data set it is, beside it, where no reader of it looks."""
        with self._told("noting whose it is"):
            self._upload(self._beside, name.encode())

    def delete(self, path: str) -> None:
        with self._told(f"deleting {path}"), suppress(FileNotFoundError):
            self._filesystem.delete_file(f"{self._root}/{path}")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other writers of this machine out. Object stores cannot: the lease has to."""
        yield

    def _upload(self, path: str, content: pa.Buffer | bytes) -> None:
        """In a thread of its own, which no signal ends: of an upload that is let go of on the way
        Arrow makes an object as well, as short as it was by then."""

        def upload() -> None:
            stream = self._filesystem.open_output_stream(path)
            stream.write(content)
            stream.close()  # not by `with`: what could not be written whole must not be completed

        with ThreadPoolExecutor(1) as thread:
            thread.submit(upload).result()

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise DatasetError(
                f"archive at {self.where}: {doing} failed: {error}. If it was dropped meanwhile, "
                "begin anew from what is there"
            ) from error
        except OSError as error:
            hint = (
                "make room, or set FRESHET_ARCHIVE_RETENTION_DAYS"
                if error.errno in (errno.ENOSPC, errno.EDQUOT)
                else "is it reachable, may it be written, and is FRESHET_ARCHIVE_URL right?"
            )
            raise ArchiveUnavailable(
                f"archive at {self.where}: {doing} failed: {error}. Nothing is lost: {hint}"
            ) from error


class LocalStorage(Storage):
    """The same in a directory, for writers on one machine."""

    def __init__(self, root: Path, data_set: str) -> None:
        super().__init__(pafs.LocalFileSystem(), str(root), data_set)
        self.where = str(root / data_set)
        self._home = root
        self._files = root / data_set

    def read(self, path: str) -> pa.NativeFile:
        return self.open(path)  # an open file stays as it was

    def write(self, path: str, content: pa.Buffer) -> None:
        """
        1. Write it beside the data set.
        2. Make it durable.
        3. Rename it to its place.
        4. Make its name durable, lest a power cut takes it back when later ones stay.
        """
        target, unfinished = self._files / path, self._home / _UNFINISHED
        with self._told(f"writing {path}"):
            # 1.
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                # 2.
                os.fsync(file.fileno())
            # 3.
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished.replace(target)
            # 4.
            for parent in target.parents:
                _sync(parent)
                if parent == self._home:
                    break

    def delete(self, path: str) -> None:
        """Directories that are left empty go as well."""
        target = self._files / path
        with self._told(f"deleting {path}"):
            target.unlink(missing_ok=True)
            _sync(target.parent)
            for parent in target.parents:
                if parent == self._files or any(parent.iterdir()):
                    break
                parent.rmdir()
                _sync(parent.parent)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """The kernel lets the lock go when this process dies, however it dies."""
        with self._told("locking"):
            self._home.mkdir(parents=True, exist_ok=True)
            lock = (self._home / _LOCK).open("a")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def storage_at(url: str, data_set: str) -> Storage:
    """The storage of a URL or path. Raises ConfigurationError where there is no such kind."""
    if "://" not in url:
        return LocalStorage(Path(url).absolute(), data_set)
    try:
        if url.startswith(FSSPEC):
            filesystem, root = _of_fsspec(url.removeprefix(FSSPEC))
        else:
            filesystem, root = pafs.FileSystem.from_uri(url)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, *_NO_SUCH) as error:
        raise ConfigurationError(
            f"FRESHET_ARCHIVE_URL {url} cannot be used: {error}. It may be {SCHEMES}"
        ) from error
    except OSError as error:
        raise ArchiveUnavailable(
            f"archive at {url}: {error}. Is it reachable, and is FRESHET_ARCHIVE_URL right?"
        ) from error
    if isinstance(filesystem, pafs.LocalFileSystem):
        return LocalStorage(Path(root), data_set)
    return Storage(filesystem, root.rstrip("/"), data_set)


def _of_fsspec(url: str) -> tuple[pafs.FileSystem, str]:
    """What Arrow makes of it, but for listings: they are remembered for ever, whoever writes."""
    filesystem, root = fsspec.url_to_fs(url, use_listings_cache=False)
    return pafs.PyFileSystem(pafs.FSSpecHandler(filesystem)), root


@contextmanager
def _unless_replaced() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != REPLACED:
            raise


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
