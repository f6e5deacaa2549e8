"""The one middleware around every request: its id, how long it took, what came of it.

One instead of one for each, because a layer costs more than what it does.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors, metrics
from api.stages import request_id, timings
from stream.contracts import tracing

log = logging.getLogger(__name__)
access = logging.getLogger("freshet.access")

# What clients and proxies may call a request; anything else gets an id of ours.
_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")

# What operators and orchestrators ask every few seconds is not worth a line.
_QUIET: Final = {"/healthz", "/livez", "/readyz", "/metrics"}

# Browsers must not guess types, frame answers, or tell others where they were.
_SECURITY: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]
# Answers are about persons, and are out of date with their next rating.
_NOT_STORED: Final = (b"cache-control", b"no-store")
_HTTPS_ONLY: Final = (b"strict-transport-security", b"max-age=31536000")


class NameRequest(logging.Filter):
    """Gives every record of a request the request's id."""

    def filter(self, record: logging.LogRecord) -> bool:
        named = request_id.get(None)
        if named is not None:
            record.request_id = named
        return True


class ObserveRequests:
    """ASGI middleware: names, times, counts and logs requests, by route rather than by path.

    Whatever goes wrong within becomes a `Problem` here. HEAD is answered as GET is, without a body.

    Args:
        app: what is observed.
        readable: makes an answer one that pages of other origins can read, if any may ask.
    """

    def __init__(self, app: ASGIApp, readable: Callable[[ASGIApp], ASGIApp] | None = None) -> None:
        self._app = app
        self._readable = readable
        # Looking a series up by its labels costs more than counting does.
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        method = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
        state = scope.setdefault("state", {})
        named = _id_of(scope)
        stages: dict[str, float] = {}
        id_token, stages_token = request_id.set(named), timings.set(stages)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                message["headers"] = [*headers, *_headers(scope, named, stages, began, headers)]
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        metrics.IN_FLIGHT.inc()
        with tracing.request(scope["headers"]) as span:
            try:
                await self._app(scope, receive, send_with_headers)
            except Exception as error:
                log.exception("%s %s failed", method, _route(scope))
                if status:  # too late for another answer: the server ends the connection
                    raise
                answer: ASGIApp = errors.unexpected(error).response()
                if self._readable is not None:  # what would have made it so was left by the error
                    answer = self._readable(answer)
                await answer(scope, receive, send_with_headers)
            finally:
                metrics.IN_FLIGHT.dec()
                took = time.perf_counter() - began
                route = _route(scope)
                status = status or int(HTTPStatus.INTERNAL_SERVER_ERROR)
                self._count(method, route, status, took)
                level = logging.DEBUG if route in _QUIET else logging.INFO
                if access.isEnabledFor(level):
                    _log(level, method, route, status, took, stages, state, span)
                if span is not None:
                    span.answered(method, route, status)
                timings.reset(stages_token)
                request_id.reset(id_token)

    def _count(self, method: str, route: str, status: int, took: float) -> None:
        counter = self._counters.get((method, route, status))
        if counter is None:
            counter = metrics.REQUESTS.labels(method, route, status)
            self._counters[method, route, status] = counter
        counter.inc()
        histogram = self._histograms.get(route)
        if histogram is None:
            histogram = self._histograms[route] = metrics.REQUEST_SECONDS.labels(route)
        histogram.observe(took)


def _route(scope: Scope) -> str:
    """Routing sets `route`; what matches none must not make a series for each path."""
    route: str = getattr(scope.get("route"), "path", "unmatched")
    return route


def _id_of(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if _SANE_ID.fullmatch(value):
                return str(value, "ascii")
            break
    return secrets.token_hex(8)


def _headers(
    scope: Scope,
    named: str,
    stages: dict[str, float],
    began: float,
    said: list[tuple[bytes, bytes]],
) -> list[tuple[bytes, bytes]]:
    """What every answer says besides its own; `Server-Timing` is in ms."""
    total = (time.perf_counter() - began) * 1_000
    timing = "".join([f"{name};dur={took:.2f}, " for name, took in stages.items()])
    headers = [
        (b"x-request-id", named.encode()),
        (b"server-timing", f"{timing}total;dur={total:.2f}".encode()),
        *_SECURITY,
    ]
    if not any(name == b"cache-control" for name, _ in said):
        headers.append(_NOT_STORED)
    if scope["scheme"] == "https":
        headers.append(_HTTPS_ONLY)
    for name, value in scope["state"].get("headers", {}).items():
        headers.append((name.lower().encode(), value.encode()))
    return headers


def _log(
    level: int,
    method: str,
    route: str,
    status: int,
    took: float,
    stages: dict[str, float],
    state: dict[str, Any],
    span: Any,
) -> None:
    """One line: the route instead of the path, because that names people."""
    ms = round(took * 1_000, 2)
    extra: dict[str, Any] = {
        "method": method,
        "route": route,
        "status": status,
        "ms": ms,
        "stages": {name: round(stage, 2) for name, stage in stages.items()},
    }
    if "key" in state:
        extra["key"] = state["key"].key_id
    if span is not None:
        extra["trace_id"] = span.trace_id
    access.log(level, "%s %s %d %.2f ms", method, route, status, ms, extra=extra)
