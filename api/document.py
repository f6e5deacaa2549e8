"""The OpenAPI document: what FastAPI finds in the routes, and what all of them have in common."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from api.deps import API
from api.errors import MEDIA_TYPE
from api.guard.access import scope_of
from api.guard.keys import Scope

_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}

_KEY: Final = "ApiKey"
_KEYS: Final = {
    _KEY: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, which `freshet keys create` makes. An API that only this "
        "machine reaches asks for none, unless it is told to. Scopes: `read`, `write`, which "
        "includes it, and `admin`, which includes both.",
    }
}

# What any request below /api may be answered, whatever its route, and any that has a body.
_ANY: Final = {
    "401": "No valid API key",
    "403": "The API key's scope does not allow this",
    "429": "Too many requests",
}
_ANY_BODY: Final = {
    "400": "The body cannot be read",
    "413": "The body is too large",
    "415": "The body is not JSON",
}

_TAGS: Final = {
    "recommendations": "Lists for a person, a group, a taste, or somebody else.",
    "ratings": "What people rated becomes events in the log.",
    "predictions": "How many stars somebody would give a movie, and what that depends on.",
    "onboarding": "Somebody new: movies to rate, and a first list.",
    "movies": "The catalogue: search, similar movies, what is trending, new movies.",
    "users": "What is known of a person, and forgetting it.",
    "experiments": "Variants against each other, and what people did with what they were shown.",
    "demo": "People to show the service with, of whatever data is loaded.",
    "operations": "What operators and orchestrators ask; needs no key.",
}


def operation_id(route: APIRoute) -> str:
    """The endpoint's name: what generated clients call their methods."""
    return route.name


def install(app: FastAPI) -> None:
    """Have `app` describe itself with this document."""
    app.openapi_tags = [{"name": name, "description": said} for name, said in _TAGS.items()]
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        document["components"]["securitySchemes"] = _KEYS
        for route in iter_route_contexts(app.routes):
            for method in route.methods or ():
                operation = document["paths"].get(route.path_format, {}).get(method.lower())
                if operation is not None and route.endpoint is not None:
                    _complete(operation, str(route.path_format), scope_of(route.endpoint, method))
    return app.openapi_schema


def _complete(operation: dict[str, Any], path: str, scope: Scope) -> None:
    """What FastAPI does not know: errors' media type, and what the middlewares may answer."""
    responses = operation["responses"]
    if path.startswith(API):
        operation["security"] = [{_KEY: [scope]}]
        common = _ANY | (_ANY_BODY if "requestBody" in operation else {})
        for status, said in common.items():
            problem = {"description": said, "content": {"application/json": {"schema": _PROBLEM}}}
            responses.setdefault(status, problem)
    for parameter in operation.get("parameters", ()):
        _never_null(parameter["schema"])
    for response in responses.values():
        content = response.get("content", {})
        if content.get("application/json", {}).get("schema") == _PROBLEM:
            content[MEDIA_TYPE] = content.pop("application/json")
    operation["responses"] = dict(sorted(responses.items()))


def _never_null(schema: dict[str, Any]) -> None:
    """What is optional may be left out of a query string, which has no null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema |= kinds[0]
