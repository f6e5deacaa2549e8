"""POST /predict: how many stars somebody would give a movie, and what that depends on."""

from typing import Annotated

from fastapi import APIRouter, Body, Response

from api.deps import API, Deps, json_bytes
from api.errors import Problem
from api.guard.access import needs
from api.predict.answers import predict_batch, predict_rating
from api.predict.sensitivity import predict_sensitivity
from api.predict.waiting import wait
from api.schemas.predictions import (
    BatchPredicted,
    BatchQuestion,
    RatingPredicted,
    RatingQuestion,
    SensitivityPredicted,
)

router = APIRouter(prefix=f"{API}/predict", tags=["predictions"])


@router.post(
    "/rating",
    response_model=RatingPredicted,
    responses={status: {"model": Problem} for status in (422, 503)},
)
@needs("read")
async def predict(services: Deps, body: Annotated[RatingQuestion, Body()]) -> Response:
    """How many stars a person would give a movie, with an interval.

    Of every ten ratings, nine are in intervals of 90%. Somebody or a movie that nobody knows gets a
    prediction from what there is, with an interval that is as wide as that takes. If `after` is not
    in the state when `wait_ms` have passed, `freshness` says `included: false`.
    """
    after = await wait(services.store, services.watcher.current.partitions, body)
    found = await predict_rating(services.store, services.watcher.current, body, after)
    return Response(json_bytes(found), media_type="application/json")


@router.post(
    "/batch",
    response_model=BatchPredicted,
    responses={status: {"model": Problem} for status in (422, 503)},
)
@needs("read")
async def predict_many(services: Deps, body: Annotated[BatchQuestion, Body()]) -> Response:
    """The same of up to a thousand pairs of people and movies, answered in their order."""
    after = await wait(services.store, services.watcher.current.partitions, body)
    async with services.heavy.request():
        found = await predict_batch(services.store, services.watcher.current, body, after)
    return Response(found, media_type="application/json")


@router.post(
    "/sensitivity",
    response_model=SensitivityPredicted,
    responses={status: {"model": Problem} for status in (422, 503)},
)
@needs("read")
async def sensitivity(services: Deps, body: Annotated[RatingQuestion, Body()]) -> Response:
    """How a prediction moves with each feature and with each of the person's ratings.

    A feature is made typical, and given other values; a rating is left out, and made a star higher
    and lower. Each time all is predicted anew.
    """
    after = await wait(services.store, services.watcher.current.partitions, body)
    async with services.heavy.request():
        found = await predict_sensitivity(services.store, services.watcher.current, body, after)
    return Response(json_bytes(found), media_type="application/json")
