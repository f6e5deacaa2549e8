"""POST /movies: a movie enters the catalogue, or changes."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, Response

from api.deps import API, Deps, IdempotencyKey, json_bytes, respond
from api.errors import Problem
from api.guard.access import needs
from api.intake.idempotency import Answer
from api.schemas.movies import MovieAccepted, NewMovie

router = APIRouter(prefix=API, tags=["movies"])


@router.post(
    "/movies",
    status_code=HTTPStatus.ACCEPTED,
    response_model=MovieAccepted,
    responses={status: {"model": Problem} for status in (409, 410, 422, 503)},
)
@needs("admin")
async def post_movie(
    services: Deps,
    body: Annotated[NewMovie, Body()],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Publish a movie; one whose id is known takes the place of what was known of it.

    The answer comes when the broker has it. Within a second it can be rated and is recommended by
    its genres and year, before anybody has rated it.
    """

    async def publish() -> Answer:
        accepted = await services.movies.publish(body, idempotency_key)
        return Answer(HTTPStatus.ACCEPTED, json_bytes(accepted))

    asked = json_bytes(body)
    return respond(await services.idempotent.once(idempotency_key, "movies", asked, (), publish))
