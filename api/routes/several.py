"""Lists that are not for one known person: for a group, for somebody else, for a taste."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Path, Query, Response

from api.deps import API, Deps, json_bytes
from api.errors import Problem
from api.guard.access import needs
from api.lists.gift import for_somebody
from api.lists.group import for_group
from api.lists.tasted import for_taste
from api.schemas.common import UserId
from api.schemas.several import (
    GiftQuery,
    GiftRecommendations,
    GroupRecommendations,
    GroupRequest,
)
from api.schemas.taste import TasteProfile, TasteRecommendations
from stream.contracts.experiments import GIFT, GROUP

router = APIRouter(prefix=f"{API}/recommendations", tags=["recommendations"])


@router.post(
    "/taste-profile",
    response_model=TasteRecommendations,
    responses={status: {"model": Problem} for status in (422, 503)},
)
@needs("read")
async def taste_profile(services: Deps, body: Annotated[TasteProfile, Body()]) -> Response:
    """Movies for a taste that somebody describes, whoever they are; nothing is kept of it."""
    async with services.heavy.request():
        found = await for_taste(services.watcher.current, body)
    return Response(json_bytes(found), media_type="application/json")


@router.post(
    "/group",
    response_model=GroupRecommendations,
    responses={status: {"model": Problem} for status in (422, 503)},
)
@needs("read")
async def group(services: Deps, body: Annotated[GroupRequest, Body()]) -> Response:
    """Movies for two to ten people who watch together, none of which any of them has rated."""
    async with services.heavy.request():
        found = await for_group(services.store, services.watcher.current, body)
    for user_id in body.user_ids:
        services.exposures.shown(user_id, found, GROUP)
    return Response(json_bytes(found), media_type="application/json")


@router.get(
    "/gift/{user_id}",
    response_model=GiftRecommendations,
    responses={status: {"model": Problem} for status in (422, 503)},
)
async def gift(
    services: Deps,
    user_id: Annotated[UserId, Path(description="who gives the list")],
    query: Annotated[GiftQuery, Query()],
) -> Response:
    """Movies to give to somebody: what they would like and have not seen, but for the obvious."""
    async with services.heavy.request():
        found = await for_somebody(services.store, services.watcher.current, user_id, query)
    services.exposures.shown(user_id, found, GIFT)
    return Response(json_bytes(found), media_type="application/json")


@router.get("/taste-profile", include_in_schema=False)
@router.get("/group", include_in_schema=False)
async def only_post() -> Response:
    """Without it these names would be taken for somebody's id."""
    raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})
