"""DELETE /users: a person is forgotten."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.deps import API, Deps, json_bytes
from api.errors import Problem
from api.intake.forgetting import Forgotten
from api.schemas.common import MAX_WAIT, UserId

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
    """Forget a person: ratings, features, vector, and the answers kept for repeated requests.

    The wish is in the log when the answer comes, and so will be kept: 200 where the live state has
    applied it, 202 where a worker still has to. The archive and with it the next training set
    follow. Somebody unknown may be forgotten, and anybody again; who rates afterwards is new.
    """
    forgotten = await services.forgetting.forget(user_id, wait_ms)
    status = HTTPStatus.OK if forgotten.applied else HTTPStatus.ACCEPTED
    return Response(json_bytes(forgotten), status_code=status, media_type="application/json")
