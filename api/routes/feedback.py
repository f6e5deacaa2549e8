"""POST /feedback: what people do with the movies of a list."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, Response

from api.deps import API, Deps, IdempotencyKey, json_bytes, respond
from api.errors import Problem
from api.intake.idempotency import Answer
from api.schemas.feedback import Feedback, FeedbackAccepted, FeedbackBody

router = APIRouter(prefix=API, tags=["experiments"])


@router.post(
    "/feedback",
    status_code=HTTPStatus.ACCEPTED,
    response_model=FeedbackAccepted,
    responses={status: {"model": Problem} for status in (404, 409, 410, 413, 415, 422, 503)},
)
async def post_feedback(
    services: Deps,
    body: Annotated[FeedbackBody, Body()],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Publish one click, watch, skip or rating of a movie that was shown, or a batch of them.

    It counts for the list that `impression_id` names, and the experiments that made it, if it comes
    within a day; what is repeated counts once. A rating is a rating besides, as of `POST /ratings`.
    """
    feedback: list[Feedback] = body if isinstance(body, list) else [body]
    where = "body[{}].movie_id" if isinstance(body, list) else "body.movie_id"

    async def publish() -> Answer:
        accepted = await services.feedback.publish(feedback, where, idempotency_key)
        return Answer(HTTPStatus.ACCEPTED, json_bytes(accepted))

    asked = b"\n".join(json_bytes(it) for it in feedback)
    users = {it.user_id for it in feedback}
    return respond(
        await services.idempotent.once(idempotency_key, "feedback", asked, users, publish)
    )
