"""Who may ask what, and how often. What operators and orchestrators ask needs no key.

A request that only reads needs the scope `read`, any other one `write`; an endpoint that wants
another scope says so with `needs`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

from fastapi import Depends, Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as ASGIScope

from api import metrics
from api.errors import ProblemError
from api.guard.keyring import KeyRing
from api.guard.keys import ApiKey, Scope
from api.guard.limits import RateLimits

_READING: Final = {"GET", "HEAD", "OPTIONS"}

_SCOPE: Final = "needs_scope"  # the attribute of an endpoint that `needs` sets

E = TypeVar("E", bound=Callable[..., Any])


def needs(scope: Scope) -> Callable[[E], E]:
    """Marks an endpoint that takes another scope than its method suggests; goes below the route."""

    def mark(endpoint: E) -> E:
        setattr(endpoint, _SCOPE, scope)
        return endpoint

    return mark


def scope_of(endpoint: Callable[..., Any], method: str) -> Scope:
    """What a key must be allowed for a request."""
    scope: Scope = getattr(endpoint, _SCOPE, "read" if method in _READING else "write")
    return scope


@dataclass(frozen=True)
class Guard:
    """What requests are held against.

    Attributes:
        keys: those that are valid; None: nobody is asked for one.
        limits: how many requests they may make; None: without bound.
    """

    keys: KeyRing | None = None
    limits: RateLimits | None = None

    async def admit(self, scope: ASGIScope) -> None:
        """Returns where the request may pass, and notes in its `state` what it learnt.

        Raises ProblemError: 401 without a valid key, 429 where there were too many requests.
        """
        key = None if self.keys is None else await self.keys.find(_token(scope["headers"]))
        if key is not None:
            scope["state"]["key"] = key
            metrics.KEY_REQUESTS.labels(key.key_id).inc()
        if self.limits is not None:
            await self._take(self.limits, key, scope)
        if self.keys is not None and key is None:
            metrics.REFUSED.labels("unauthenticated").inc()
            raise _unauthenticated()

    def start(self) -> None:
        if self.keys is not None:
            self.keys.start()

    async def close(self) -> None:
        if self.keys is not None:
            await self.keys.close()
        if self.limits is not None:
            await self.limits.close()

    async def _take(self, limits: RateLimits, key: ApiKey | None, scope: ASGIScope) -> None:
        address = scope["client"][0] if scope.get("client") else ""
        taken = await limits.take(key, address)
        if taken is None:
            return
        scope["state"]["headers"] = taken.headers
        if not taken.allowed:
            metrics.REFUSED.labels("rate_limited").inc()
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "rate-limited",
                "There were too many requests",
                f"try again in {taken.retry_after} s, and more slowly",
                headers={"Retry-After": str(taken.retry_after)},
            )


OPEN: Final = Guard()


class GuardRequests:
    """ASGI middleware: before anything of a request below `path` is read, may it pass?"""

    def __init__(self, app: ASGIApp, guard: Guard, path: str) -> None:
        self._app = app
        self._guard = guard
        self._path = path

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(self._path):
            try:
                await self._guard.admit(scope)
            except ProblemError as problem:
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _check_scope(request: Request) -> None:
    key: ApiKey = request.state.key
    scope = scope_of(request.scope["endpoint"], request.method)
    if not key.may(scope):
        metrics.REFUSED.labels("forbidden").inc()
        raise _forbidden(key, scope)


# For routes behind `GuardRequests` with keys.
CHECK_SCOPE: Final = Depends(_check_scope)


def _token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """What a request gives as its bearer token; '' where it gives none."""
    for name, value in headers:
        if name == b"authorization":
            kind, _, token = value.partition(b" ")
            return str(token.strip(), "latin-1") if kind.lower() == b"bearer" else ""
    return ""


def _unauthenticated() -> ProblemError:
    return ProblemError(
        HTTPStatus.UNAUTHORIZED,
        "unauthenticated",
        "A valid API key is needed",
        "send `Authorization: Bearer <key>` with a key that is neither revoked nor expired: "
        "`freshet keys create` makes one",
        headers={"WWW-Authenticate": 'Bearer realm="freshet"'},
    )


def _forbidden(key: ApiKey, scope: Scope) -> ProblemError:
    return ProblemError(
        HTTPStatus.FORBIDDEN,
        "scope",
        "The API key does not allow this",
        f"this needs the scope {scope}, and key {key.key_id} has {key.scope}",
        headers={
            "WWW-Authenticate": f'Bearer realm="freshet", error="insufficient_scope", '
            f'scope="{scope}"'
        },
    )
