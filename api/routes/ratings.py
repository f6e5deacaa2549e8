"""POST /ratings: ratings become events in the log."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, Response

from api.deps import API, Deps, IdempotencyKey, json_bytes, respond
from api.errors import Problem
from api.intake.idempotency import Answer
from api.schemas.ratings import Rating, RatingsAccepted, RatingsBody

router = APIRouter(prefix=API, tags=["ratings"])


@router.post(
    "/ratings",
    status_code=HTTPStatus.ACCEPTED,
    response_model=RatingsAccepted,
    responses={status: {"model": Problem} for status in (404, 409, 410, 413, 415, 422, 503)},
)
async def post_ratings(
    services: Deps,
    body: Annotated[RatingsBody, Body()],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Publish one rating, or a batch: all of them or none.

    The answer comes when the broker has them, and names their positions in the log. Give a
    position to `GET /recommendations` as `after` to get recommendations that include it.
    """
    ratings: list[Rating] = body if isinstance(body, list) else [body]
    where = "body[{}].movie_id" if isinstance(body, list) else "body.movie_id"

    async def publish() -> Answer:
        services.ratings.check_movies(ratings, where)
        accepted = await services.ratings.publish(ratings, "api", idempotency_key)
        return Answer(HTTPStatus.ACCEPTED, json_bytes(accepted))

    asked = b"\n".join(json_bytes(rating) for rating in ratings)
    users = {rating.user_id for rating in ratings}
    return respond(
        await services.idempotent.once(idempotency_key, "ratings", asked, users, publish)
    )
