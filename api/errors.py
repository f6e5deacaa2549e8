"""One error model for everything that goes wrong: `Problem`, as RFC 9457 describes."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from api.schemas.common import answer_config
from api.stages import request_id
from stream.contracts.errors import FreshetError, Unavailable

MEDIA_TYPE: Final = "application/problem+json"

RETRY_AFTER: Final = 1  # s: what is unavailable is mostly back, or replaced, within seconds

# Field errors an answer lists; a batch of a thousand may have as many.
MAX_ERRORS: Final = 20


class FieldError(BaseModel):
    """What is wrong with one part of a request; `field` is its path, such as ``body[2].rating``."""

    model_config = answer_config({"field": "body.rating", "message": "Input should be at most 5"})

    field: str
    message: str


class Problem(BaseModel):
    """Why a request failed (RFC 9457).

    `type` is a stable name of the kind of problem, ``about:blank`` where the status says it all;
    `instance` names this request, as `X-Request-ID` and the API's log do.
    """

    model_config = answer_config(
        {
            "type": "urn:freshet:invalid-request",
            "title": "The request is not valid",
            "status": 422,
            "detail": "body.rating: Input should be less than or equal to 5",
            "instance": "urn:freshet:request:4f6c1a0b9d2e7385",
            "errors": [
                {"field": "body.rating", "message": "Input should be less than or equal to 5"}
            ],
        }
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: list[FieldError] = []


class ProblemError(Exception):
    """Ends a request with this problem.

    Args:
        status: of the answer.
        kind: the problem's own name; None where the status says it all.
        title: the same for every problem of the kind.
        detail: what was wrong this time, and what to do.
        errors: the parts of the request that are wrong.
        headers: of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        kind: str | None,
        title: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(
            type=f"urn:freshet:{kind}" if kind else "about:blank",
            title=title,
            status=status,
            detail=detail,
            errors=list(errors[:MAX_ERRORS]),
        )
        self.headers = headers

    def response(self) -> Response:
        named = request_id.get(None)
        if named is not None:
            self.problem.instance = f"urn:freshet:request:{named}"
        return Response(
            self.problem.model_dump_json(),
            status_code=self.problem.status,
            headers=self.headers,
            media_type=MEDIA_TYPE,
        )


def invalid(errors: Sequence[FieldError]) -> ProblemError:
    """The request breaks its schema."""
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid-request",
        "The request is not valid",
        "; ".join(f"{error.field}: {error.message}" for error in errors[:3]),
        errors,
    )


def unavailable(detail: str) -> ProblemError:
    """A service that the request needs does not answer."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "A service did not answer in time",
        detail,
        headers={"Retry-After": str(RETRY_AFTER)},
    )


def unexpected(error: Exception) -> ProblemError:
    """Whatever nobody has foreseen: what it was is for the log, unless it is an error of ours."""
    return ProblemError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal-error",
        "Something went wrong here",
        str(error) if isinstance(error, FreshetError) else "the error is in the log of the API",
    )


def install(app: FastAPI) -> None:
    """Have `app` answer every error in the one model."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Unavailable, _unavailable)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.response()


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes):  # it was not read, for its type is another one
        return ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The body is not JSON",
            "send the body as JSON with `Content-Type: application/json`",
        ).response()
    return invalid([_field_error(item) for item in error.errors()]).response()


def _field_error(item: Mapping[str, Any]) -> FieldError:
    """What pydantic says of a field; of a body that is no JSON, FastAPI, with the place in it."""
    if item["type"] == "json_invalid":
        reason, at = item["ctx"]["error"], item["loc"][1]
        return FieldError(field="body", message=f"is no JSON: {reason} (character {at})")
    message = str(item["msg"]).removeprefix("Value error, ")
    return FieldError(field=_path(item["loc"]), message=message)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    return ProblemError(status, None, status.phrase, error.detail, headers=error.headers).response()


async def _unavailable(_: Request, error: Exception) -> Response:
    return unavailable(str(error)).response()


def _path(location: Sequence[int | str]) -> str:
    """``("body", "batch", 2, "rating")`` as ``body[2].rating``."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in ("one", "batch"):  # which alternative of a body it is
            path += f".{part}" if path else part
    return path
