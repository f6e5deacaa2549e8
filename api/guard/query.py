"""A query string says only what its route knows, and each thing once: nothing of it is ignored.

FastAPI leaves out what it does not know, and of what is said twice all but the last: a misspelt
filter would be none.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, get_args, get_origin

from fastapi import Depends, Request
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute

from api.errors import FieldError, invalid

# By endpoint: the parameters that it knows, and whether each may be said several times.
_known: dict[Callable[..., Any], dict[str, bool]] = {}


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
    return {field.alias: _is_list(field.field_info.annotation) for field in fields}


def _queries(dependant: Dependant) -> Iterator[ModelField]:
    yield from dependant.query_params
    for it in dependant.dependencies:
        yield from _queries(it)


def _is_list(annotation: Any) -> bool:
    """Whether it is a list, or may be one."""
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))
