"""The application: routes, one error model, and a life from connecting to closing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI

from api import errors
from api.deps import Services
from api.guard.body import LimitBody
from api.metrics import MeasureRequests
from api.routes import movies, onboarding, operations, ratings, recommendations, users

# Bytes: ten times a full batch of ratings.
MAX_BODY: Final = 1 << 20


def create_app(services: Services) -> FastAPI:
    """The API over `services`, which it closes when it shuts down."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        services.watcher.start()
        yield
        await services.close()

    app = FastAPI(
        title="Freshet",
        version=version("freshet"),
        description="Movie recommendations that include what a person did a moment ago.",
        lifespan=life,
    )
    app.state.services = services
    app.add_middleware(LimitBody, limit=MAX_BODY)
    app.add_middleware(MeasureRequests)
    errors.install(app)
    for module in (recommendations, ratings, onboarding, movies, users, operations):
        app.include_router(module.router)
    return app
