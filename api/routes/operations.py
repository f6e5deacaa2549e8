"""What operators and orchestrators ask: alive, ready, metrics."""

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.deps import Deps, Services, json_bytes
from api.schemas import Check, Health, Readiness
from stream.contracts.errors import FreshetError, IndexUnavailable

router = APIRouter(tags=["operations"])


@router.get("/healthz", response_model=Health)
async def healthz() -> Response:
    """The process answers."""
    return Response(json_bytes(Health()), media_type="application/json")


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(services: Deps) -> Response:
    """Whether broker, Redis, model and index are there, and what is wrong with each that is not."""
    names = ("broker", "redis", "model", "index")
    results = await asyncio.gather(
        _check(_broker(services)),
        _check(_redis(services)),
        _check(_model(services)),
        _check(_index(services)),
    )
    readiness = Readiness(
        ready=all(check.ok for check in results), checks=dict(zip(names, results, strict=True))
    )
    status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(json_bytes(readiness), status_code=status, media_type="application/json")


@router.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _check(detail: Awaitable[str]) -> Check:
    try:
        return Check(ok=True, detail=await detail)
    except FreshetError as error:
        return Check(ok=False, detail=str(error))


async def _broker(services: Services) -> str:
    await services.publisher.check()
    return "answers"


async def _redis(services: Services) -> str:
    await services.store.ping()
    partitions = services.watcher.current.partitions
    if partitions is None:
        raise FreshetError("it has no state yet: start a worker")
    return f"{partitions} partitions, {len(services.watcher.current.catalogue)} movies"


async def _model(services: Services) -> str:
    model = services.watcher.current.model
    if model is None:
        raise FreshetError("none is served: train and promote one, or see the log of the API")
    return model.event.version


async def _index(services: Services) -> str:
    model = services.watcher.current.model
    if model is None:
        raise IndexUnavailable("there is none without a model")
    with model.use():
        count = (
            model.index.count()
            if model.index.in_process
            else await asyncio.to_thread(model.index.count)
        )
    return f"{model.event.collection}: {count} movies"
