"""The API keeps what its OpenAPI document says, whatever it is asked: every check there is."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
import redis
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from schemathesis.config._checks import POSITIVE_DATA_ACCEPTANCE_EXPECTED_STATUSES
from starlette.types import Receive, Scope, Send

from api.guard.access import Guard
from api.guard.keyring import KeyRing
from api.guard.keys import KeyStore, new_key
from api.main import create_app, openapi_document
from infra.services import EMBEDDED_DATABASES
from tests.api.conftest import furnish, make_world

EXAMPLES = 4  # of each operation, beside those that are made for each of its constraints

# Operations whose bodies have rules that JSON Schema has no words for: 422 may be right.
BEYOND_SCHEMA = {
    "/api/v1/onboarding/rate": "the movies are distinct",
    "/api/v1/feedback": "only a rating has a value",
    "/api/v1/ratings": "what is rated was rated a day ahead at most",
}


class Current:
    """The app that is asked, without a life of its own: each request would begin and end it."""

    app: FastAPI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.app(scope, receive, send)


def described() -> schemathesis.BaseSchema:
    accepted = [*POSITIVE_DATA_ACCEPTANCE_EXPECTED_STATUSES, "422"]
    config = schemathesis.Config.from_dict(
        {
            "operations": [
                {
                    "include-path": path,
                    "checks": {"positive_data_acceptance": {"expected-statuses": accepted}},
                }
                for path in BEYOND_SCHEMA
            ],
            # It asks twice more for every case, and hundreds of an operation have the same key.
            "phases": {"coverage": {"checks": {"ignored_auth": {"enabled": False}}}},
        }
    )
    schema = schemathesis.openapi.from_dict(openapi_document(), config=config)
    schema.config.update(base_url="http://api")
    schema.app = Current()
    return schema


schema = described()


@pytest.fixture(scope="module")
def headers(redis_server: str) -> Iterator[dict[str, str]]:
    """Of somebody who may ask everything, of an API with a catalogue and a model."""
    url = f"{redis_server}/{int(EMBEDDED_DATABASES) - 1}"  # no test's own
    key, token = new_key("schemathesis", "admin")

    async def prepare() -> FastAPI:
        store = KeyStore(url)
        await store.put(key)
        await store.close()
        world = await make_world(url)
        await furnish(world)
        return create_app(replace(world.services, guard=Guard(KeyRing(KeyStore(url)))))

    schema.app.app = asyncio.run(prepare())
    yield {"Authorization": f"Bearer {token}"}
    with redis.Redis.from_url(url) as client:
        client.flushdb()


@schema.parametrize()
@settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_operation(case: schemathesis.Case, headers: dict[str, str]) -> None:
    if 1 <= len(case.headers.get("Idempotency-Key", "")) <= 255:  # a request of its own each time
        case.headers["Idempotency-Key"] = uuid4().hex
    if case.meta is not None and case.meta.generation.mode.is_positive:
        for given_out in ("cursor", "after"):  # only what an answer had before is good
            case.query.pop(given_out, None)
            if isinstance(case.body, dict):
                case.body.pop(given_out, None)
    case.call_and_validate(headers=headers)
