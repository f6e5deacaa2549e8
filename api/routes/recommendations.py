"""GET /recommendations: what a person may like, and how fresh that is."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.deps import API, Deps, json_bytes
from api.errors import Problem
from api.lists.freshness import LogPosition
from api.schemas.common import MAX_LIMIT, MAX_WAIT, UserId
from api.schemas.recommendations import Recommendations

router = APIRouter(prefix=API, tags=["recommendations"])

DEFAULT_WAIT = 1_000  # ms: with a healthy worker an event is in the state after some 10 ms


@router.get(
    "/recommendations/{user_id}",
    response_model=Recommendations,
    responses={422: {"model": Problem}, 503: {"model": Problem}},
)
async def recommendations(
    services: Deps,
    user_id: Annotated[UserId, Path()],
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 10,
    after: Annotated[
        str | None,
        Query(
            description="wait until the state includes this event of the user: a position as "
            "`POST /ratings` answers it",
            examples=["3:1042"],
        ),
    ] = None,
    wait_ms: Annotated[
        int, Query(ge=0, le=MAX_WAIT, description="how long at most to wait for `after`")
    ] = DEFAULT_WAIT,
) -> Response:
    """Movies for a person, best first, without those they rated.

    Someone unknown gets what is trending. If `after` is not in the state when `wait_ms` have
    passed, the answer is based on the state as it is and says `included: false`.
    """
    position = None if after is None else LogPosition.parse(after)
    found = await services.recommender.recommend(user_id, limit, position, wait_ms)
    return Response(json_bytes(found), media_type="application/json")
