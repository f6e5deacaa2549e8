"""The application: routes, one error model, and a life from connecting to closing."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.params import Depends
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Lifespan

from api import document, errors
from api.deps import API, Services
from api.guard.access import CHECK_SCOPE, GuardRequests
from api.guard.body import LimitBody
from api.guard.query import CHECK_QUERY
from api.observe import ObserveRequests
from api.routes import (
    demo,
    experiments,
    feedback,
    movies,
    onboarding,
    operations,
    predict,
    ratings,
    recommendations,
    several,
    users,
)

# A path of its own before one with a place for anything: that would answer for its methods.
_ROUTES: Final = (
    several,
    recommendations,
    ratings,
    onboarding,
    movies,
    users,
    predict,
    feedback,
    experiments,
    demo,
)

# Bytes: ten times a full batch of ratings.
MAX_BODY: Final = 1 << 20

# What pages of other origins may send, and read of an answer.
_CORS_METHODS: Final = ("GET", "POST", "DELETE")
_CORS_HEADERS: Final = ("Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID")
_CORS_EXPOSED: Final = (
    "X-Request-ID",
    "Server-Timing",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
)


def create_app(services: Services, cors_origins: Sequence[str] = ()) -> FastAPI:
    """The API over `services`, which it closes when it shuts down.

    Args:
        services: what it works with.
        cors_origins: whose pages a browser lets ask, ``*`` for all; a page sends its key itself.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        services.start()
        yield
        await services.close()

    guard = services.guard
    app = _routed(life, [] if guard.keys is None else [CHECK_SCOPE])
    app.state.services = services
    app.add_middleware(LimitBody, limit=MAX_BODY)
    if guard.keys is not None or guard.limits is not None:
        app.add_middleware(GuardRequests, guard=guard, path=API)
    readable: Callable[[ASGIApp], ASGIApp] | None = None
    if cors_origins:
        readable = partial(
            CORSMiddleware,
            allow_origins=cors_origins,
            allow_methods=_CORS_METHODS,
            allow_headers=_CORS_HEADERS,
            expose_headers=_CORS_EXPOSED,
        )
        app.add_middleware(readable)
    app.add_middleware(ObserveRequests, readable=readable)
    return app


def openapi_document() -> dict[str, Any]:
    """What the API says of itself at `/openapi.json`, without an API."""
    return _routed(None, []).openapi()


def _routed(life: Lifespan[FastAPI] | None, checks: Sequence[Depends]) -> FastAPI:
    app = FastAPI(
        title="Freshet",
        version=version("freshet"),
        description="Movie recommendations that include what a person did a moment ago.",
        lifespan=life,
        # `api.observe` does it, each thing once; asked for nothing, FastAPI still looks every time.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        generate_unique_id_function=document.operation_id,
    )
    errors.install(app)
    document.install(app)
    for module in _ROUTES:
        app.include_router(module.router, dependencies=[*checks, CHECK_QUERY])
    app.include_router(operations.router, dependencies=[CHECK_QUERY])
    return app
