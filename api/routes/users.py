"""What is known of a person, and how they are forgotten."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.deps import API, Deps, Services, json_bytes
from api.errors import Problem, unavailable
from api.intake.forgetting import Forgotten
from api.lists.freshness import UserView, view_user
from api.people.history import Place, history_of
from api.people.portrait import portrait
from api.schemas.common import MAX_WAIT, UserId
from api.schemas.users import MAX_HISTORY, History, UserProfile

router = APIRouter(prefix=API, tags=["users"])

DEFAULT_WAIT = 3_000  # ms: with a healthy worker it takes some 10 ms


@router.delete(
    "/users/{user_id}",
    response_model=Forgotten,
    responses={
        202: {"model": Forgotten, "description": "In the log, and not applied in time"},
        422: {"model": Problem},
        503: {"model": Problem},
    },
)
async def forget(
    services: Deps,
    user_id: Annotated[UserId, Path()],
    wait_ms: Annotated[
        int, Query(ge=0, le=MAX_WAIT, description="how long at most to wait until it is applied")
    ] = DEFAULT_WAIT,
) -> Response:
    """Forget a person: ratings, features, vector, and the answers and lists kept for them.

    The wish is in the log when the answer comes, and so will be kept: 200 where the live state has
    applied it, 202 where a worker still has to. The archive and with it the next training set
    follow. Somebody unknown may be forgotten, and anybody again; who rates afterwards is new.
    """
    forgotten = await services.forgetting.forget(user_id, wait_ms)
    status = HTTPStatus.OK if forgotten.applied else HTTPStatus.ACCEPTED
    return Response(json_bytes(forgotten), status_code=status, media_type="application/json")


@router.get(
    "/users/{user_id}/history",
    response_model=History,
    responses={422: {"model": Problem}, 503: {"model": Problem}},
)
async def history(
    services: Deps,
    user_id: Annotated[UserId, Path()],
    limit: Annotated[int, Query(ge=1, le=MAX_HISTORY)] = 50,
    cursor: Annotated[
        str | None,
        Query(description="`next_cursor` of the page before", examples=["1752537600:318"]),
    ] = None,
) -> Response:
    """What a person has rated, the latest first. Somebody unknown has rated nothing."""
    after = None if cursor is None else Place.parse(cursor)
    view = await _view(services, user_id)
    page = history_of(user_id, view, services.watcher.current, limit, after)
    return Response(json_bytes(page), media_type="application/json")


@router.get(
    "/users/{user_id}/profile",
    response_model=UserProfile,
    responses={422: {"model": Problem}, 503: {"model": Problem}},
)
async def profile(services: Deps, user_id: Annotated[UserId, Path()]) -> Response:
    """What is known of a person by now, and what the served model makes of it.

    Somebody unknown has an empty one that says what to do.
    """
    view = await _view(services, user_id)
    found = portrait(user_id, view, services.watcher.current)
    return Response(json_bytes(found), media_type="application/json")


async def _view(services: Services, user_id: int) -> UserView:
    partitions = services.watcher.current.partitions
    if partitions is None:
        raise unavailable("no worker has said yet how many partitions there are: start one")
    return await view_user(services.store, partitions, user_id, None, 0)
