"""The server: clients who send nothing, slowly or too much, and how it stops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from tenacity import AsyncRetrying, retry_if_not_result, stop_after_delay, wait_fixed

from infra import connections
from infra.connections import MAX_HEADERS, PatientConfig, PatientServer

DEADLINE = 20.0  # s; what is waited for takes milliseconds

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"

App: TypeAlias = Callable[..., Awaitable[None]]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Reads a request whole and says how long its body was."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)


class Running:
    """A server, and its clients."""

    def __init__(self, server: PatientServer) -> None:
        self.server = server
        self.stopping = server._stopping
        self._port = 0

    async def wait(self) -> None:
        await until(lambda: self.server.started)
        self._port = self.server.servers[0].sockets[0].getsockname()[1]

    async def connect(self) -> "Client":
        return Client(*await asyncio.open_connection("127.0.0.1", self._port))

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def reads_nothing(self) -> None:
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def answer(self) -> tuple[int, bytes]:
        """Status and body; (0, b"") where the connection ended instead."""
        try:
            async with asyncio.timeout(DEADLINE):
                head = await self._reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                return int(head.split()[1]), await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, b""

    async def ended(self) -> bool:
        return await self.answer() == (0, b"")


async def until(holds: Callable[[], bool]) -> None:
    async def ask() -> bool:
        return holds()

    await AsyncRetrying(
        retry=retry_if_not_result(bool), wait=wait_fixed(0.01), stop=stop_after_delay(DEADLINE)
    )(ask)


@asynccontextmanager
async def serving(app: App = echo, limit: int = 100, drain: float = 0.0) -> AsyncIterator[Running]:
    config = PatientConfig(
        app, port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=30, limit=limit
    )
    server = PatientServer(config, asyncio.Event(), drain)
    task = asyncio.create_task(server._serve())  # without its signal handlers
    running = Running(server)
    await running.wait()
    try:
        yield running
    finally:
        server.should_exit = True
        await task


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not so much that a test which is kept waiting for a core is let go itself."""
    for name in ("HEADER_TIMEOUT", "BODY_TIMEOUT", "ANSWER_TIMEOUT"):
        monkeypatch.setattr(connections, name, 0.2)


class TestOverdue:
    async def test_who_sends_nothing_is_let_go(self, impatient: None) -> None:
        async with serving() as server:
            silent = [await server.connect() for _ in range(20)]
            assert all([await client.ended() for client in silent])
            await until(lambda: server.connections == 0)
            assert not server.server.config.waiting.headers

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"GET / HT", 408),
            (b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", 408),
            (POST + b"123", 0),  # the application waits for the rest: nothing is said in between
            (GET + b"GET / HT", 200),
        ],
    )
    async def test_who_does_not_finish_is_let_go(
        self, impatient: None, sent: bytes, status: int
    ) -> None:
        async with serving() as server:
            client = await server.connect()
            client.send(sent)
            assert (await client.answer())[0] == status
            while status and (await client.answer())[0]:
                pass
            await until(lambda: server.connections == 0)
            waiting = server.server.config.waiting
            assert not waiting.headers
            assert not waiting.bodies

    async def test_who_sends_a_byte_now_and_then_is_let_go_as_well(self, impatient: None) -> None:
        async with serving() as server:
            client = await server.connect()

            async def trickle() -> None:
                client.send(b"GET / HTTP/1.1\r\n")
                while True:
                    client.send(b"X: 1\r\n")
                    await asyncio.sleep(0.01)

            task = asyncio.create_task(trickle())
            assert (await client.answer())[0] in (0, 408)  # or reset while it was sending
            task.cancel()

    async def test_who_is_in_time_is_not(self) -> None:
        async with serving() as server:
            client = await server.connect()
            for _ in range(3):
                client.send(GET)
                assert await client.answer() == (200, b"0 bytes")
                client.send(POST)
                await asyncio.sleep(0)
                client.send(b"0123456789")
                assert await client.answer() == (200, b"10 bytes")
            client.send(GET + GET + POST + b"0123456789")  # one after the other, at once
            assert [(await client.answer())[1] for _ in range(3)] == [
                *(b"0 bytes", b"0 bytes", b"10 bytes")
            ]

    async def test_a_slow_answer_is_waited_for(self, impatient: None) -> None:
        release = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            await echo(scope, receive, send)

        async with serving(slow) as server:
            slow_one, silent = await server.connect(), await server.connect()
            slow_one.send(POST + b"0123456789")
            assert await silent.ended()
            release.set()
            assert await slow_one.answer() == (200, b"10 bytes")

    async def test_so_is_that_to_a_request_that_came_before_its_turn(self, impatient: None) -> None:
        release = [asyncio.Event(), asyncio.Event()]
        begun: list[asyncio.Event] = []

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            begun.append(release[len(begun)])
            await begun[-1].wait()
            await echo(scope, receive, send)

        async with serving(slow) as server:
            client = await server.connect()
            client.send(GET + GET)
            await until(lambda: len(begun) == 1)
            release[0].set()
            assert await client.answer() == (200, b"0 bytes")
            await until(lambda: len(begun) == 2)
            assert await (await server.connect()).ended()  # so long, and it is still waited for
            release[1].set()
            assert await client.answer() == (200, b"0 bytes")

    @pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
    async def test_who_does_not_read_is_let_go(self, impatient: None, connection: bytes) -> None:
        async def long(scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse("x" * (32 << 20))(scope, receive, send)

        async with serving(long) as server:
            client = await server.connect()
            client.reads_nothing()
            client.send(b"GET / HTTP/1.1\r\nConnection: %s\r\n\r\n" % connection)
            await until(lambda: server.server.server_state.total_requests == 1)
            await until(lambda: server.connections == 0)
            assert not server.server.config.waiting.readers


class TestTooMuch:
    @pytest.mark.parametrize("begin", [b"GET /", b"GET / HTTP/1.1\r\nX: "])
    async def test_headers_without_end(self, begin: bytes) -> None:
        async with serving() as server:
            client = await server.connect()
            client.send(begin + b"x" * (MAX_HEADERS + 1))
            assert (await client.answer())[0] == 431
            assert await client.ended()

    @pytest.mark.parametrize("before", [b"", GET])
    async def test_headers_that_come_at_once(self, before: bytes) -> None:
        """However much is read at once, and whatever came before it."""
        async with serving() as server:
            client = await server.connect()
            client.send(before + b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEADERS + b"\r\n\r\n")
            if before:
                await client.ended()
            else:
                assert (await client.answer())[0] == 431
                assert await client.ended()
            assert server.server.server_state.total_requests == bool(before)

    async def test_large_bodies_are_no_headers(self) -> None:
        async with serving() as server:
            client = await server.connect()
            size = 10 * MAX_HEADERS
            for _ in range(2):
                client.send(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
                client.send(b"x" * size)
                assert await client.answer() == (200, b"%d bytes" % size)

    async def test_what_follows_a_body_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "MAX_REQUEST", 1 << 20)
        async with serving() as server:
            client = await server.connect()
            client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
            client.send(b"X: 1\r\n" * (1 << 18))
            assert await client.ended()

    @pytest.mark.parametrize("times", [10, 4_000])
    async def test_what_is_no_http(self, times: int) -> None:
        async with serving() as server:
            client = await server.connect()
            client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * times)
            assert (await client.answer())[0] == 400


class TestTooMany:
    async def test_who_waited_longest_makes_room(self) -> None:
        async with serving(limit=3) as server:
            first, second, third = [await server.connect() for _ in range(3)]
            second.send(GET)  # has asked since, and so has waited less than the third
            assert (await second.answer())[0] == 200
            fourth, fifth = await server.connect(), await server.connect()
            assert await first.ended()
            assert await third.ended()
            for client in (second, fourth, fifth):
                client.send(GET)
                assert (await client.answer())[0] == 200
            assert server.connections == 3

    async def test_hundreds_who_send_nothing_keep_nobody_out(self) -> None:
        async with serving(limit=100) as server:
            silent = [await server.connect() for _ in range(500)]
            client = await server.connect()
            client.send(GET)
            assert await client.answer() == (200, b"0 bytes")
            assert server.connections <= 100
            assert await silent[0].ended()

    async def test_who_is_being_answered_is_not_sent_away(self) -> None:
        release = asyncio.Event()
        begun = 0

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            nonlocal begun
            begun += 1
            await release.wait()
            await echo(scope, receive, send)

        async with serving(slow, limit=2) as server:
            busy = [await server.connect() for _ in range(2)]
            for client in busy:
                client.send(GET)
            await until(lambda: begun == 2)
            assert (await (await server.connect()).answer())[0] == 503
            release.set()
            assert [(await client.answer())[0] for client in busy] == [200, 200]


class TestStopping:
    async def test_requests_are_finished(self) -> None:
        release, begun = asyncio.Event(), asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            begun.set()
            await release.wait()
            await echo(scope, receive, send)

        async with serving(slow) as server:
            idle, busy = await server.connect(), await server.connect()
            busy.send(GET)
            await begun.wait()
            server.server.should_exit = True
            assert await idle.ended()
            with pytest.raises(ConnectionRefusedError):  # nobody listens any more
                await server.connect()
            release.set()
            assert await busy.answer() == (200, b"0 bytes")
            assert await busy.ended()

    async def test_while_it_drains_it_takes_requests(self) -> None:
        async with serving(drain=60.0) as server:
            server.server.should_exit = True
            await server.stopping.wait()
            client = await server.connect()
            client.send(GET)
            assert await client.answer() == (200, b"0 bytes")
            server.server.force_exit = True  # a second signal: at once
            assert await client.ended()
