"""A bound on the size of a request's body, in the one error model."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import metrics


class LimitBody:
    """ASGI middleware: stops reading a body that is larger than `limit` bytes.

    FastAPI's own `max_body_size` answers in plain text, past the exception handlers.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def receive_some() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                metrics.REFUSED.labels("too_large").inc()
                raise HTTPException(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {self._limit} bytes"
                )
            return message

        await self._app(scope, receive_some if scope["type"] == "http" else receive, send)
