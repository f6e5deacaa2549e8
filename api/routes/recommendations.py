"""GET /recommendations: what a person may like, and how fresh that is."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from api.deps import API, Deps, json_bytes
from api.errors import Problem
from api.guard.query import described, reading
from api.lists.asked import Asked
from api.lists.freshness import LogPosition
from api.lists.wanted import Wanted
from api.schemas.common import UserId
from api.schemas.query import RecommendationQuery
from api.schemas.recommendations import Recommendations

router = APIRouter(prefix=API, tags=["recommendations"])


@router.get(
    "/recommendations/{user_id}",
    response_model=Recommendations,
    responses={
        410: {"model": Problem, "description": "The cursor has expired: begin again without it"},
        422: {"model": Problem},
        503: {"model": Problem},
    },
    openapi_extra=described(RecommendationQuery),
)
async def recommendations(
    services: Deps,
    user_id: Annotated[UserId, Path()],
    query: Annotated[RecommendationQuery, Depends(reading(RecommendationQuery))],
) -> Response:
    """Movies for a person, best first, without those they rated.

    Someone unknown gets what is trending. If `after` is not in the state when `wait_ms` have
    passed, the answer is based on the state as it is and says `included: false`.

    `next_cursor` leads on, up to 500 movies. No page repeats a movie or leaves one out, whatever is
    rated or promoted meanwhile: the second page ranks the rest of the list, which is kept for ten
    minutes. Only what the person has rated since then is left out.

    Filters that nothing meets are no error: `items` is empty, and `empty_because` says why.
    """
    asked = Asked(
        wanted=Wanted(query.limit, query.to_filter(), query.diversity, query.novelty),
        after=None if query.after is None else LogPosition.parse(query.after),
        wait_ms=query.wait_ms,
        timeout_ms=query.timeout_ms,
        cursor=query.cursor,
        use_cache=query.use_cache,
        explain=query.explain,
    )
    found = await services.recommender.recommend(user_id, asked)
    return Response(json_bytes(found), media_type="application/json")
