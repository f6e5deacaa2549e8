"""What operators and orchestrators ask: alive, ready, well, metrics."""

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from api.deps import Deps, Services, json_bytes
from api.schemas.common import answer_config
from stream.contracts.errors import FreshetError, IndexUnavailable

router = APIRouter(tags=["operations"])


class Check(BaseModel):
    """One thing the API depends on."""

    model_config = answer_config({"ok": True, "detail": "20260715-101500-3f2a"})

    ok: bool
    detail: str


class Readiness(BaseModel):
    """What the API depends on, and whether all of it is there."""

    model_config = answer_config(
        {
            "ready": False,
            "checks": {
                "broker": {"ok": True, "detail": "answers"},
                "redis": {"ok": True, "detail": "8 partitions"},
                "model": {"ok": False, "detail": "none is promoted yet: run `freshet train`"},
                "index": {"ok": False, "detail": "there is no model"},
            },
        }
    )

    ready: bool
    checks: dict[str, Check]


class Liveness(BaseModel):
    """The process is alive."""

    model_config = answer_config({"status": "ok"})

    status: Literal["ok"] = "ok"


class Health(BaseModel):
    """The state of everything that answers depend on, and whether all of it is well."""

    model_config = answer_config(
        {
            "status": "degraded",
            "checks": {
                "redis": {"ok": True, "detail": "8 partitions, 9742 movies"},
                "worker": {"ok": False, "detail": "3:1042, sent 12 s ago, is not applied"},
            },
        }
    )

    status: Literal["ok", "degraded"]
    checks: dict[str, Check]


@router.get("/livez", response_model=Liveness)
async def livez() -> Response:
    """The process answers. To be started again where it does not; asks nothing of others."""
    return Response(json_bytes(Liveness()), media_type="application/json")


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(services: Deps) -> Response:
    """Whether requests should come here: broker, Redis, model and index are there.

    Not any more once the process was told to stop, while it still answers.
    """
    checks = await _checks(services)
    if services.stopping.is_set():
        checks["process"] = Check(ok=False, detail="it is about to stop")
    ready = all(check.ok for check in checks.values())
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    body = json_bytes(Readiness(ready=ready, checks=checks))
    return Response(body, status_code=status, media_type="application/json")


@router.get("/healthz", response_model=Health)
async def healthz(services: Deps) -> Response:
    """The state of each thing that answers depend on, the workers included; 200 in any case.

    Another process in this one's place would not make it better: only `/livez` and `/readyz` are to
    be acted upon.
    """
    checks = await _checks(services)
    checks["worker"] = await _check(services.applied.check(services.store))
    well = all(check.ok for check in checks.values())
    body = json_bytes(Health(status="ok" if well else "degraded", checks=checks))
    return Response(body, media_type="application/json")


@router.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _checks(services: Services) -> dict[str, Check]:
    """What every answer is made of."""
    names = ("broker", "redis", "model", "index")
    results = await asyncio.gather(
        _check(_broker(services)),
        _check(_redis(services)),
        _check(_model(services)),
        _check(_index(services)),
    )
    return dict(zip(names, results, strict=True))


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
    model, refused = services.watcher.current.model, services.watcher.refused
    if model is None:
        raise FreshetError(refused or "none is served: train and promote one")
    return f"{model.event.version}; {refused}" if refused else model.event.version


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
