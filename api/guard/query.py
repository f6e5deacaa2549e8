"""A query string says only what its route knows, and each thing once: nothing of it is ignored.

FastAPI leaves out what it does not know, and of what is said twice all but the last: a misspelt
filter would be none.
"""

from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

from fastapi import Depends, FastAPI, Query, Request
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams

from api.errors import FieldError, invalid

Model = TypeVar("Model", bound=BaseModel)

# Query strings of which what they say is kept: clients ask with a few, again and again.
_KEPT: Final = 1_024

# By endpoint: the parameters that it knows, and whether each may be said several times.
_known: dict[Callable[..., Any], dict[str, bool]] = {}

# What `reading` made: the parameters of each.
_read: dict[Callable[..., Any], dict[str, bool]] = {}


def reading(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """A dependency that reads the query string as this model, which nobody may change.

    FastAPI's own way takes ten times as long, a tenth of all that a list takes. What it says of the
    parameters is to be had with `described`.
    """
    is_list = {name: _is_list(field.annotation) for name, field in model.model_fields.items()}

    @lru_cache(_KEPT)
    def said(query: bytes) -> Model:
        params = QueryParams(query)
        return model.model_validate(
            {name: params.getlist(name) if is_list.get(name) else params[name] for name in params}
        )

    async def read(request: Request) -> Model:
        try:
            return said(request.scope["query_string"])
        except ValidationError as error:
            wrong = error.errors(include_url=False)
            raise RequestValidationError(
                [{**one, "loc": ("query", *one["loc"])} for one in wrong]
            ) from error

    _read[read] = is_list
    return read


def described(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its query string as this model."""
    app = FastAPI()

    @app.get("/")
    async def endpoint(query: Annotated[model, Query()]) -> None:  # type: ignore[valid-type]
        """Is not called: FastAPI describes its parameters."""

    return {"parameters": app.openapi()["paths"]["/"]["get"]["parameters"]}


async def _check(request: Request) -> None:
    """Raises ProblemError, naming each parameter that is wrong."""
    if not request.scope["query_string"]:
        return
    endpoint = request.scope["endpoint"]
    known = _known.get(endpoint)
    if known is None:
        known = _known[endpoint] = _parameters(request.scope["route"])
    seen: set[str] = set()
    wrong = []
    for name, _ in request.query_params.multi_items():
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            wrong.append(FieldError(field=f"query.{name}", message=f"is not known: {there}"))
        elif name in seen and not known[name]:
            wrong.append(FieldError(field=f"query.{name}", message="is there more than once"))
        seen.add(name)
    if wrong:
        raise invalid(wrong)


CHECK_QUERY: Final = Depends(_check)


def _parameters(route: APIRoute) -> dict[str, bool]:
    fields = get_flat_params(Dependant(query_params=list(_queries(route.dependant))))
    known = {field.alias: _is_list(field.field_info.annotation) for field in fields}
    for it in route.dependant.dependencies:
        if it.call is not None:
            known |= _read.get(it.call, {})
    return known


def _queries(dependant: Dependant) -> Iterator[ModelField]:
    yield from dependant.query_params
    for it in dependant.dependencies:
        yield from _queries(it)


def _is_list(annotation: Any) -> bool:
    """Whether it is a list, or may be one."""
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))
