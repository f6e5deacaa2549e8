import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from producers import datasets, formats
from producers.datasets import find, load
from producers.download import fetch, unpack
from stream.contracts.errors import DatasetError, Unavailable
from tests.producers import releases

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@dataclass
class Site:
    """What the server serves and how badly, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: int | None = None  # bytes of each answer that get through
    cuts: int = 0  # how many answers are still to be cut
    ranges: bool = True
    errors: int = 0  # how many answers are still to be HTTP 503
    asked: list[str | None] = field(default_factory=list)  # the Range of each request for a file

    def publish(self, path: str, content: bytes, checksum: bool = True) -> str:
        self.files[path] = content
        if checksum:
            digest = hashlib.md5(content).hexdigest()
            self.files[f"{path}.md5"] = f"MD5 ({path}) = {digest}\n".encode()
        return f"{self.url}/{path}"


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = site.files.get(self.path.lstrip("/"))
            asked = self.headers["Range"]
            if not self.path.endswith(".md5"):
                site.asked.append(asked)
                if site.errors:
                    site.errors -= 1
                    return self.answer(503, b"")
            if content is None:
                return self.answer(404, b"")
            if not (asked and site.ranges):
                return self.answer(200, content)
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.answer(416, b"", f"bytes */{len(content)}")
            part = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self.answer(206, content[start:], part)

        def answer(self, status: int, content: bytes, part: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if part:
                self.send_header("Content-Range", part)
            self.end_headers()
            if site.cuts and content and not self.path.endswith(".md5"):
                site.cuts -= 1
                content = content[: site.cut_after]
                self.close_connection = True
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join()


def test_a_whole_file(site: Site, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "new" / "file.zip"
    fetch(site.publish("file.zip", CONTENT), target, None, lambda *at: seen.append(at))
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file.zip"]
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_known_checksum_needs_no_published_one(site: Site, tmp_path: Path) -> None:
    url = site.publish("file.zip", CONTENT, checksum=False)
    fetch(url, tmp_path / "file.zip", hashlib.md5(CONTENT).hexdigest())
    with pytest.raises(DatasetError, match="no published checksum: HTTP 404"):
        fetch(url, tmp_path / "other.zip", None)
    site.files["file.zip.md5"] = b"<html>"
    with pytest.raises(DatasetError, match="holds no checksum"):
        fetch(url, tmp_path / "other.zip", None)


def test_a_connection_that_is_cut_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    url = site.publish("file.zip", CONTENT)
    site.cut_after, site.cuts = 300_000, 3
    fetch(url, tmp_path / "file.zip", None)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    starts = [int(asked[6:-1]) if asked else 0 for asked in site.asked]
    assert starts == sorted(set(starts))
    assert len(starts) == 4


def test_a_later_start_goes_on_too(site: Site, tmp_path: Path) -> None:
    url = site.publish("file.zip", CONTENT)
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:1000])
    fetch(url, tmp_path / "file.zip", None)
    assert site.asked == ["bytes=1000-"]
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_all_there_already(site: Site, tmp_path: Path) -> None:
    url = site.publish("file.zip", CONTENT)
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    fetch(url, tmp_path / "file.zip", None)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"of an older edition", bytes(len(CONTENT) + 5)])
def test_what_is_left_of_another_edition_is_not_kept(
    left: bytes, site: Site, tmp_path: Path
) -> None:
    url = site.publish("file.zip", CONTENT)
    (tmp_path / "file.zip.part").write_bytes(left)
    fetch(url, tmp_path / "file.zip", None)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_server_without_ranges(site: Site, tmp_path: Path) -> None:
    url = site.publish("file.zip", CONTENT)
    site.ranges = False
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:1000])
    fetch(url, tmp_path / "file.zip", None)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_damage_is_found_and_not_kept(site: Site, tmp_path: Path) -> None:
    url = site.publish("file.zip", CONTENT)
    site.files["file.zip"] = CONTENT[:-1] + b"!"
    with pytest.raises(DatasetError, match="damaged on the way or replaced"):
        fetch(url, tmp_path / "file.zip", None)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_recovers_and_one_that_does_not(site: Site, tmp_path: Path) -> None:
    url = site.publish("file.zip", CONTENT)
    site.errors = 2
    fetch(url, tmp_path / "file.zip", None)
    site.errors = 100
    with pytest.raises(Unavailable, match="HTTP 503"):
        fetch(url, tmp_path / "again.zip", None)


def test_what_is_not_there(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not there: HTTP 404"):
        fetch(f"{site.url}/file.zip", tmp_path / "file.zip", "0" * 32)
    with pytest.raises(Unavailable, match="cannot be downloaded"):
        fetch("http://127.0.0.1:1/file.zip", tmp_path / "file.zip", None)


def zipped(directory: Path, top: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in directory.iterdir():
            archive.write(path, f"{top}/{path.name}")
    return content.getvalue()


def test_a_release_is_downloaded_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = zipped(releases.write(tmp_path / "made", formats.CSV), "ml-32m")
    monkeypatch.setattr(datasets, "BASE_URL", site.url)
    site.publish("ml-32m.zip", content)
    said: list[str] = []
    for _ in range(2):
        source = find("32m", cache=tmp_path / "cache", say=said.append)
        assert load(source).ratings.to_pylist() == releases.IN_ORDER
    assert len(site.asked) == 1
    assert said == [f"downloaded {site.url}/ml-32m.zip to {tmp_path}/cache/ml-32m"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["ml-32m"]


def test_unpacking(tmp_path: Path) -> None:
    made = releases.write(tmp_path / "made", formats.CSV)
    archive = tmp_path / "file.zip"
    archive.write_bytes(zipped(made, "another-name"))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "leftover").touch()
    unpack(archive, tmp_path / "there")
    assert {path.name for path in (tmp_path / "there").iterdir()} == {"ratings.csv", "movies.csv"}
    archive.write_bytes(b"no zip")
    with pytest.raises(DatasetError, match="not a zip"):
        unpack(archive, tmp_path / "there")
    with zipfile.ZipFile(archive, "w") as empty:
        empty.writestr("file", "")
    with pytest.raises(DatasetError, match="0 folders"):
        unpack(archive, tmp_path / "there")
