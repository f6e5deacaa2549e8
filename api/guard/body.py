"""A bound on the size of a request's body, in the one error model."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import metrics


class LimitBody:
    """ASGI middleware: does not read a body that is larger than `limit` bytes, or says it is.

    FastAPI's own `max_body_size` answers in plain text, past the exception handlers.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def receive_some() -> Message:
            nonlocal read
            if not read and _length(scope) > self._limit:
                raise self._refusal()
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise self._refusal()
            return message

        await self._app(scope, receive_some if scope["type"] == "http" else receive, send)

    def _refusal(self) -> HTTPException:
        metrics.REFUSED.labels("too_large").inc()
        return HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {self._limit} bytes"
        )


def _length(scope: Scope) -> int:
    """How many bytes the client says it sends, 0 where it does not."""
    said = dict(scope["headers"]).get(b"content-length", b"")
    return int(said) if said.isdigit() else 0
