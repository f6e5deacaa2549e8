"""Onboarding: movies to rate for a start, and the first recommendations."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.deps import API, Deps, IdempotencyKey, Services, json_bytes, respond
from api.errors import Problem, unavailable
from api.intake.idempotency import Answer
from api.intake.onboarding import new_user_id, suggest
from api.lists.asked import Asked
from api.lists.freshness import LogPosition
from api.lists.profile import strength_of
from api.lists.wanted import Wanted
from api.schemas.onboarding import Onboarded, Onboarding, SuggestedMovies
from api.schemas.ratings import Rating

router = APIRouter(prefix=f"{API}/onboarding", tags=["onboarding"])

MAX_SUGGESTIONS = 60

# ms to wait for the first ratings to be in the state: a newcomer sees the answer as one page load.
WAIT = 3_000


@router.get(
    "/suggested-movies",
    response_model=SuggestedMovies,
    responses={422: {"model": Problem}, 503: {"model": Problem}},
)
async def suggested_movies(
    services: Deps,
    count: Annotated[int, Query(ge=1, le=MAX_SUGGESTIONS)] = 15,
    seed: Annotated[
        int | None, Query(description="draws the same movies again while the same model serves")
    ] = None,
) -> Response:
    """Well-known movies for someone new: popular ones, different genres, other eras."""
    movies = suggest(services.watcher.current, count, seed)
    if not movies:
        raise unavailable("no movies are known yet: there is no model, and nothing is trending")
    return Response(json_bytes(SuggestedMovies(movies=movies)), media_type="application/json")


@router.post(
    "/rate",
    status_code=HTTPStatus.CREATED,
    response_model=Onboarded,
    responses={status: {"model": Problem} for status in (404, 409, 410, 413, 415, 422, 503)},
)
async def rate(
    services: Deps, body: Onboarding, idempotency_key: IdempotencyKey = None
) -> Response:
    """Take in someone new with their first ratings.

    The ratings are published as events like any other; the answer waits until they are in the
    state, and says in `recommendations.freshness.included` if that took too long.
    """

    async def onboard() -> Answer:
        services.ratings.check_movies(body.ratings, "body.ratings[{}].movie_id")
        onboarded = await _onboard(services, body)
        return Answer(HTTPStatus.CREATED, json_bytes(onboarded), users=(onboarded.user_id,))

    answer = await services.idempotent.once(
        idempotency_key, "onboarding", json_bytes(body), (), onboard
    )
    return respond(answer)


async def _onboard(services: Services, body: Onboarding) -> Onboarded:
    partitions = services.watcher.current.partitions
    if partitions is None:
        raise unavailable("no worker has said yet how many partitions there are: start one")
    user_id = await new_user_id(services.store, partitions)
    ratings = [Rating(user_id=user_id, **rating.model_dump()) for rating in body.ratings]
    accepted = await services.ratings.publish(ratings, "onboarding")
    position = accepted.positions[str(user_id)]
    return Onboarded(
        user_id=user_id,
        position=position,
        profile_strength=strength_of(
            [rating.movie_id for rating in body.ratings],
            [rating.rating for rating in body.ratings],
            services.watcher.current,
        ),
        recommendations=await services.recommender.recommend(
            user_id, Asked(Wanted(body.limit), LogPosition.parse(position), WAIT)
        ),
    )
