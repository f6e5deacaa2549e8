"""Files over HTTP: whole and with the right checksum, or not at all."""

import hashlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from stream.contracts.errors import DatasetError, Unavailable

ATTEMPTS: Final = 5  # each goes on where the last was cut off
TIMEOUT: Final = 15.0  # s without a byte before an attempt counts as cut off

Progress: TypeAlias = Callable[[int, int | None], None]  # bytes here, bytes in all if known


class _CutOff(Exception):  # noqa: N818 - internal: ask again
    pass


def fetch(url: str, target: Path, md5: str | None, on_progress: Progress | None = None) -> None:
    """Download to `target`, going on with what an earlier attempt left in `<target>.part`.

    Args:
        url: what to download.
        target: appears only when it is complete and its checksum is right.
        md5: 32 hex digits; None: those published at `<url>.md5`.
        on_progress: told after every chunk.

    Raises:
        Unavailable: the server cannot be reached, or keeps cutting the connection.
        DatasetError: the server does not have it, or sends something else than was published.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        try:
            expected = md5 or _published_md5(client, url)
            resumed = part.exists()
            _retrying(_append, client, url, part, on_progress)
            if resumed and _md5(part) != expected:  # what was there may be of an older edition
                part.unlink()
                _retrying(_append, client, url, part, on_progress)
        except (httpx.TransportError, _CutOff) as error:
            raise Unavailable(
                f"{url} cannot be downloaded: {error or type(error).__name__}"
            ) from error
    found = _md5(part)
    if found != expected:
        part.unlink()
        raise DatasetError(
            f"{url} arrived with checksum {found} instead of {expected}: it was damaged on the "
            "way or replaced by its publisher. Try again, or get it by hand and use --data-dir"
        )
    part.replace(target)


def unpack(archive: Path, directory: Path) -> None:
    """Unpack a zip whose one top folder becomes `directory`, which appears when it is complete."""
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        try:
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(scratch)
        except zipfile.BadZipFile as error:
            raise DatasetError(f"{archive} is not a zip file: delete it and try again") from error
        folders = [path for path in Path(scratch).iterdir() if path.is_dir()]
        if len(folders) != 1:
            raise DatasetError(f"{archive} has {len(folders)} folders, one was expected")
        if directory.exists():
            shutil.rmtree(directory)
        folders[0].replace(directory)


def _retrying(function: Callable[..., None], *args: object) -> None:
    Retrying(
        retry=retry_if_exception_type((httpx.TransportError, _CutOff)),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.1),
        reraise=True,
    )(function, *args)


def _append(client: httpx.Client, url: str, part: Path, on_progress: Progress | None) -> None:
    """Download what `part` lacks."""
    here = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={here}-"} if here else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if response.headers.get("Content-Range") == f"bytes */{here}":
                return  # complete
            part.unlink()
            raise _CutOff("the server has another edition of the file")
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise _CutOff(f"HTTP {response.status_code}")
        if response.is_error:
            raise DatasetError(f"{url} is not there: HTTP {response.status_code}")
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            here = 0  # the server sends all of it
        length = response.headers.get("Content-Length")
        total = here + int(length) if length else None
        with part.open("ab" if here else "wb") as file:
            for chunk in response.iter_bytes(1 << 18):
                file.write(chunk)
                here += len(chunk)
                if on_progress is not None:
                    on_progress(here, total)


def _published_md5(client: httpx.Client, url: str) -> str:
    text = ""

    def get() -> None:
        nonlocal text
        response = client.get(f"{url}.md5")
        if response.is_error:
            raise DatasetError(f"{url} has no published checksum: HTTP {response.status_code}")
        text = response.text

    _retrying(get)
    match = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if match is None:
        raise DatasetError(f"{url}.md5 holds no checksum")
    return match.group().lower()


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
