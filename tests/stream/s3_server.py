"""An object store that speaks as much of S3 as PyArrow needs, in memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4
from xml.sax.saxutils import escape

import pytest


class Bucket(BaseHTTPRequestHandler):
    """Requests are `/bucket/key?query`; anybody may do anything."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer takes 40 ms
    objects: dict[str, bytes]
    parts: dict[int, bytes]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        key, query = self._asked()
        if "list-type" in query:
            return self._list(query.get("prefix", [""])[0])
        found = self.objects.get(key)
        if found is None:
            return self._answer(404)
        ends = self.headers.get("Range", "").removeprefix("bytes=").split("-")
        if len(ends) == 2:
            found = found[int(ends[0]) : int(ends[1]) + 1]
        return self._answer(206 if len(ends) == 2 else 200, found)

    def do_PUT(self) -> None:
        key, query = self._asked()
        content = self._body()
        if "partNumber" in query:
            self.parts[int(query["partNumber"][0])] = content
        else:
            self.objects[key] = content
        self._answer(200, etag=content)

    def do_POST(self) -> None:
        key, query = self._asked()
        self._body()
        if "uploads" in query:
            self.parts.clear()
            name, said = "InitiateMultipartUploadResult", "<UploadId>1</UploadId>"
        else:
            self.objects[key] = b"".join(part for _, part in sorted(self.parts.items()))
            name, said = "CompleteMultipartUploadResult", "<ETag>1</ETag>"
        self._answer(200, f"<{name}>{said}</{name}>".encode())

    def do_DELETE(self) -> None:
        self.objects.pop(self._asked()[0], None)
        self._answer(204)

    def _list(self, prefix: str) -> None:
        found = [
            f"<Contents><Key>{escape(key)}</Key><Size>{len(value)}</Size>"
            f"<LastModified>2020-05-17T12:00:00.000Z</LastModified></Contents>"
            for key, value in sorted(self.objects.items())
            if key.startswith(prefix)
        ]
        said = f"<KeyCount>{len(found)}</KeyCount>{''.join(found)}"
        self._answer(200, f"<ListBucketResult>{said}</ListBucketResult>".encode())

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        url = urlsplit(self.path)
        _, _, key = unquote(url.path).removeprefix("/").partition("/")
        return key, parse_qs(url.query, keep_blank_values=True)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b"".join(_chunks(self.rfile))
        if self.headers.get("Content-Encoding") == "aws-chunked":  # chunks within chunks
            content = b"".join(_chunks(BytesIO(content)))
        return content

    def _answer(self, status: int, body: bytes = b"", etag: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{md5(etag or body).hexdigest()}"')
        self.send_header("Last-Modified", formatdate(1_589_716_800, usegmt=True))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    """Each is its size in hex, a line's end, its bytes, a line's end; the last is empty and may be
    followed by headers."""
    while size := int(stream.readline().partition(b";")[0], 16):
        yield stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass


def below(url: str, name: object) -> str:
    """Another place at the same storage."""
    at, mark, options = url.partition("?")
    return f"{at}/{name}{mark}{options}"


@contextmanager
def s3() -> Iterator[str]:
    """URL of an empty place, in Arrow's form: below FRESHET_TEST_ARCHIVE_URL if that is set."""
    if configured := os.environ.get("FRESHET_TEST_ARCHIVE_URL"):
        yield below(configured, uuid4().hex)
        return
    handler = type("Handler", (Bucket,), {"objects": {}, "parts": {}})
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "anybody's")
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")  # or it is looked for
        Thread(target=server.serve_forever, daemon=True).start()
        at = f"127.0.0.1:{server.server_port}"
        yield f"s3://bucket/a?endpoint_override={at}&scheme=http&region=us-east-1"
        server.shutdown()
