"""An HTTP server that clients who send nothing, slowly or too much cannot keep from the others.

uvicorn with httptools waits for ever for a request's first byte and its last one, and reads headers
of any length. Here a connection has a time for each, there is a bound on how many there are, and
whoever has waited longest without a request makes room for who comes.

This leans on private parts of uvicorn's `HttpToolsProtocol`; the tests hold them.
"""

import asyncio
import logging
import resource
from http import HTTPStatus
from typing import Any, Final

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)

# s from a connection, or the answer before, to the last byte of a request's headers.
HEADER_TIMEOUT: Final = 10.0

# s from there to the last byte of its body: a megabyte at the speed of a poor phone connection.
BODY_TIMEOUT: Final = 30.0

# Bytes of a request's line and headers, twice what proxies let through.
MAX_HEADERS: Final = 32 << 10

# Bytes of a whole request: what its body is cut into, and what follows it, has no other bound.
MAX_REQUEST: Final = 8 << 20

# s in which a client reads what it is being told, or the rest of what it was.
ANSWER_TIMEOUT: Final = 30.0

# Connections at once: some 20 KB each, and as many file descriptors.
MAX_CONNECTIONS: Final = 4_096

# File descriptors left to everything else: Redis, Kafka, models.
OWN_FILES: Final = 256

TICK: Final = 0.1  # s between two of uvicorn's ticks
SWEEP: Final = 10  # ticks between two looks for connections that are overdue


class _TooLargeError(Exception):
    """Ends the parsing of a request whose headers are over `MAX_HEADERS`."""


class Waiting:
    """The connections that owe us something, those first that have waited longest.

    Args:
        limit: connections that there may be at once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # Since when, on the loop's clock, in that order.
        self.headers: dict[PatientProtocol, float] = {}
        self.bodies: dict[PatientProtocol, float] = {}
        self.readers: dict[PatientProtocol, float] = {}  # who do not read as fast as they are told

    def sweep(self, now: float) -> None:
        """End what is overdue."""
        for waiting, timeout in (
            (self.headers, HEADER_TIMEOUT),
            (self.bodies, BODY_TIMEOUT),
            (self.readers, ANSWER_TIMEOUT),
        ):
            late = []
            for connection, since in waiting.items():
                if now - since <= timeout:
                    break
                late.append(connection)
            for connection in late:
                connection.end(HTTPStatus.REQUEST_TIMEOUT)


class PatientConfig(Config):
    """uvicorn's, for `PatientServer`; `limit` is how many connections there may be at once."""

    def __init__(self, app: Any, limit: int, **options: Any) -> None:
        super().__init__(app, **options, http=PatientProtocol, ws="none")
        self.waiting = Waiting(limit)


class PatientProtocol(HttpToolsProtocol):
    """`HttpToolsProtocol` whose patience ends."""

    def __init__(self, config: PatientConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.waiting = config.waiting
        self._in_headers = True
        self._read = 0  # bytes since the request before

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.waiting.limit:
            oldest = next(iter(self.waiting.headers), None)
            if oldest is None:
                self.end(HTTPStatus.SERVICE_UNAVAILABLE)
                return
            oldest.abort()
        self.waiting.headers[self] = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._read += len(data)
        super().data_received(data)
        if self.transport.is_closing():  # it was no HTTP, and that is being said
            return
        if self._in_headers and self._read > MAX_HEADERS:
            self.end(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._read > MAX_REQUEST:
            self.end(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def on_headers_complete(self) -> None:
        # What is read at once may be several times as much.
        sizes = (len(name) + len(value) + len(": \r\n") for name, value in self.headers)
        if len(self.url) + sum(sizes) > MAX_HEADERS:
            self.end(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            raise _TooLargeError
        self._in_headers = False
        self.waiting.headers.pop(self, None)
        self.waiting.bodies[self] = self.loop.time()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():  # else it has been told already why
            super().send_400_response(msg)

    def on_message_complete(self) -> None:
        self._in_headers = True
        self._read = 0
        self.waiting.bodies.pop(self, None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Not while another request that came meanwhile is under way. Who has been told that this is
        # the end still has to read it.
        if self.cycle.response_complete:
            self.waiting.headers[self] = self.loop.time()

    def pause_writing(self) -> None:
        self.waiting.readers[self] = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.waiting.readers.pop(self, None)
        super().resume_writing()

    def end(self, status: HTTPStatus) -> None:
        """Close, and say why where nothing else is being said and something was asked."""
        under_way = self.cycle is not None and not self.cycle.response_complete
        silent = self._read == 0 and status is HTTPStatus.REQUEST_TIMEOUT
        if under_way or silent or self.transport.is_closing():
            self.abort()
            return
        self._forget()
        why = status.phrase.encode()
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%s" % (status, why, len(why), why)
        )
        self.transport.close()
        self.waiting.readers[self] = self.loop.time()

    def abort(self) -> None:
        self._forget()
        self.transport.abort()

    def _forget(self) -> None:
        """It counts no more, although the event loop has yet to say that it is lost."""
        self.waiting.headers.pop(self, None)
        self.waiting.bodies.pop(self, None)
        self.waiting.readers.pop(self, None)
        self.connections.discard(self)


class PatientServer(Server):
    """Ends connections that are overdue, and stops as an orchestrator wishes.

    Told to stop it sets `stopping`, takes requests for `drain` s more, so that whoever sends them
    learns to send them elsewhere, then refuses connections and finishes what is under way.
    """

    config: PatientConfig

    def __init__(self, config: PatientConfig, stopping: asyncio.Event, drain: float) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._drain = drain

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP == 0:
            self.config.waiting.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: Any = None) -> None:
        self._stopping.set()
        for tick in range(round(self._drain / TICK)):
            if self.force_exit:
                break
            await self.on_tick(tick)
            await asyncio.sleep(TICK)
        await super().shutdown(sockets)


def connection_limit() -> int:
    """As many connections as this process may have, after it has asked for all that it can get."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, most - OWN_FILES))
