"""A worker's HTTP port: `/metrics` for Prometheus and `/readyz` for whoever started it."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import TimeoutError as NoAnswer
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from threading import Thread
from typing import Final, Self

from prometheus_client import CollectorRegistry, MetricsHandler

from stream.contracts.errors import ConfigurationError, Unavailable

# Seconds in which the event loop must say if it is ready: it is busy for one batch at most.
TIMEOUT: Final = 5.0


class HealthServer:
    """Answers from threads of its own, so that it does while the event loop is busy.

    Use as a context manager within a running event loop.

    Attributes:
        port: where it listens.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        check: Callable[[], Awaitable[None]],
    ) -> None:
        """
        Args:
            host: the address to bind.
            port: 0 for any free one.
            registry: what `/metrics` shows.
            check: raises Unavailable where the worker is not ready; called in the event loop.

        Raises ConfigurationError where nothing can listen there, as where the port is taken.
        """
        loop = asyncio.get_running_loop()

        async def problem() -> str | None:
            try:
                await check()
            except Unavailable as error:
                return str(error)
            return None

        class Handler(MetricsHandler):
            def do_GET(self) -> None:  # noqa: N802 - http.server's name
                if self.path != "/readyz":
                    super().do_GET()
                    return
                asked = asyncio.run_coroutine_threadsafe(problem(), loop)
                try:
                    said = asked.result(TIMEOUT)
                except NoAnswer:
                    asked.cancel()
                    said = f"the event loop does not answer within {TIMEOUT:g} s"
                status = HTTPStatus.OK if said is None else HTTPStatus.SERVICE_UNAVAILABLE
                body = f"{said or 'ready'}\n".encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        Handler.registry = registry
        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {host}:{port} for metrics and readiness: {error}. Choose "
                "another with FRESHET_WORKER_METRICS_PORT or FRESHET_ARCHIVE_METRICS_PORT; 0 is "
                "any free one"
            ) from error
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, name="health", daemon=True)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Not shutdown(), which waits up to half a second: the threads end with the process.
        self._server.server_close()
