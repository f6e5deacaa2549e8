"""Who may change the catalogue: whoever knows the token, where one is set."""

import secrets
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.deps import Deps
from api.errors import ProblemError

_bearer: Final = HTTPBearer(
    auto_error=False, description="FRESHET_API_ADMIN_TOKEN, where the API has one"
)


async def _check(
    services: Deps, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    token = services.admin_token
    if token is None:
        return
    if given is None or not secrets.compare_digest(given.credentials.encode(), token.encode()):
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED,
            "admin-only",
            "This is for administrators",
            "send `Authorization: Bearer <FRESHET_API_ADMIN_TOKEN>`",
            headers={"WWW-Authenticate": "Bearer"},
        )


ADMIN: Final = Depends(_check)
