"""Health, readiness, metrics, and the one error model."""

import importlib
import json
import pkgutil
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import BaseModel

import api
from api.errors import Problem
from api.lists.recommender import Recommender
from api.main import MAX_BODY, create_app
from tests.api.conftest import World, model_event


async def ready(world: World) -> tuple[int, dict[str, Any]]:
    answer = await world.client.get("/readyz")
    return answer.status_code, answer.json()


async def test_alive_even_when_nothing_is_ready(empty_world: World) -> None:
    empty_world.store.failing = empty_world.log.failing = True
    answer = await empty_world.client.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_names_each_thing(world: World) -> None:
    status, body = await ready(world)
    assert status == 200
    assert body["ready"] is True
    assert set(body["checks"]) == {"broker", "redis", "model", "index"}
    assert body["checks"]["model"] == {"ok": True, "detail": "v1"}
    assert "movies-v1: 400 movies" in body["checks"]["index"]["detail"]


@pytest.mark.parametrize("missing", ["broker", "redis", "index"])
async def test_not_ready_names_what_is_missing(world: World, missing: str) -> None:
    {"broker": world.log, "redis": world.store, "index": world.index}[missing].failing = True
    status, body = await ready(world)
    assert status == 503
    assert [name for name, check in body["checks"].items() if not check["ok"]] == [missing]
    assert "told to fail" in body["checks"][missing]["detail"]


async def test_not_ready_without_model_or_state(empty_world: World) -> None:
    status, body = await ready(empty_world)
    assert status == 503
    assert [name for name, check in body["checks"].items() if not check["ok"]] == [
        "model",
        "index",
    ]


async def test_a_model_that_cannot_be_served_is_named(empty_world: World) -> None:
    await empty_world.promote("bad1")
    _, body = await ready(empty_world)
    damaged = "{0} cannot be served: artifacts/{0} is told to be damaged"
    assert body["checks"]["model"] == {"ok": False, "detail": damaged.format("bad1")}
    await empty_world.promote("v1")
    await empty_world.promote("bad2")
    _, body = await ready(empty_world)
    assert body["checks"]["model"] == {"ok": True, "detail": f"v1; {damaged.format('bad2')}"}
    again = msgspec.structs.replace(model_event("v1"), event_id="rollback")
    await empty_world.store.put_model(again)
    await empty_world.watcher.refresh()
    _, body = await ready(empty_world)
    assert body["checks"]["model"] == {"ok": True, "detail": "v1"}


async def test_not_ready_once_told_to_stop(world: World) -> None:
    world.services.stopping.set()
    status, body = await ready(world)
    assert (status, body["ready"]) == (503, False)
    assert [name for name, check in body["checks"].items() if not check["ok"]] == ["process"]


async def health(world: World) -> tuple[str, dict[str, Any]]:
    answer = await world.client.get("/healthz")
    assert answer.status_code == 200
    return answer.json()["status"], answer.json()["checks"]


async def test_health_has_the_state_of_everything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await health(world))[0] == "ok"
    world.log.lag = True
    position = await world.rate(42, 3)
    assert (await health(world))[0] == "ok"  # it may be applied yet
    monkeypatch.setattr("api.intake.applied.PATIENCE", -1.0)
    status, checks = await health(world)
    assert status == "degraded"
    assert checks["worker"]["detail"].startswith(f"{position}, sent 0 s ago, is not applied:")
    await world.log.apply()
    status, checks = await health(world)
    assert (status, checks["worker"]["ok"]) == ("ok", True)
    world.store.failing = world.log.failing = True
    status, checks = await health(world)
    assert status == "degraded"
    assert {name for name, check in checks.items() if not check["ok"]} == {"broker", "redis"}


async def metric(world: World, line: str) -> float:
    text = (await world.client.get("/metrics")).text
    values = [row for row in text.splitlines() if row.startswith(line + " ")]
    return float(values[0].rpartition(" ")[2]) if values else 0.0


async def test_what_happens_is_counted(world: World) -> None:
    names = {
        "rated": 'freshet_api_ratings_total{source="api"}',
        "tower": 'freshet_api_recommendations_total{strategy="two_tower"}',
        "fresh": "freshet_event_to_recommendation_seconds_count",
        "got": 'freshet_api_requests_total{method="GET",'
        'route="/api/v1/recommendations/{user_id}",status="200"}',
        "lost": 'freshet_api_requests_total{method="GET",route="unmatched",status="404"}',
    }
    before = {key: await metric(world, line) for key, line in names.items()}
    position = await world.rate(42, 3)
    await world.get(42)
    await world.get(42, after=position)
    await world.client.get("/nowhere/7")
    after = {key: await metric(world, line) for key, line in names.items()}
    grown = {key: after[key] - before[key] for key in names}
    assert grown == {"rated": 1, "tower": 2, "fresh": 1, "got": 2, "lost": 1}
    assert await metric(world, 'freshet_api_model_info{version="v1"}') == 1.0


async def test_only_the_served_model_is_named(world: World) -> None:
    await world.promote("v2")
    text = (await world.client.get("/metrics")).text
    assert [row for row in text.splitlines() if row.startswith("freshet_api_model_info")] == [
        'freshet_api_model_info{version="v2"} 1.0'
    ]


class TestErrors:
    async def problem(self, answer: httpx.Response) -> Problem:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = Problem.model_validate_json(answer.content)
        assert problem.status == answer.status_code
        assert "Traceback" not in answer.text
        return problem

    async def test_no_such_path(self, world: World) -> None:
        problem = await self.problem(await world.client.get("/nowhere"))
        assert (problem.status, problem.type) == (404, "about:blank")

    async def test_wrong_method(self, world: World) -> None:
        answer = await world.client.get("/api/v1/ratings")
        assert (await self.problem(answer)).status == 405
        assert answer.headers["allow"] == "POST"

    @pytest.mark.parametrize("body", ["{", '{"user_id": NaN}', "[1,", b"\xff\xfe"])
    async def test_broken_json(self, world: World, body: str | bytes) -> None:
        answer = await world.client.post(
            "/api/v1/ratings", content=body, headers={"Content-Type": "application/json"}
        )
        assert (await self.problem(answer)).status in (400, 422)

    async def test_a_form_instead_of_json(self, world: World) -> None:
        answer = await world.client.post("/api/v1/ratings", data={"user_id": "1"})
        problem = await self.problem(answer)
        assert problem.status == 415
        assert "application/json" in problem.detail

    async def test_a_body_far_too_large(self, world: World) -> None:
        answer = await world.client.post(
            "/api/v1/ratings",
            content=b" " * (MAX_BODY + 1),
            headers={"Content-Type": "application/json"},
        )
        assert (await self.problem(answer)).status == 413

    async def test_a_thousand_mistakes_are_not_all_listed(self, world: World) -> None:
        answer = await world.client.post("/api/v1/ratings", json=[{}] * 1000)
        problem = await self.problem(answer)
        assert 0 < len(problem.errors) <= 20

    async def test_a_bug(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        async def broken(*args: object) -> None:
            raise ZeroDivisionError("the secret reason")

        monkeypatch.setattr(Recommender, "recommend", broken)
        answer = await world.client.get("/api/v1/recommendations/1")
        problem = await self.problem(answer)
        assert problem.status == 500
        assert "secret" not in answer.text


class TestDocument:
    @pytest.fixture
    def document(self, world: World) -> dict[str, Any]:
        return create_app(world.services).openapi()

    def test_every_schema_has_an_example_that_is_valid(self, document: dict[str, Any]) -> None:
        models = {
            name: model
            for module in pkgutil.walk_packages(api.__path__, "api.")
            for name, model in vars(importlib.import_module(module.name)).items()
            if isinstance(model, type) and issubclass(model, BaseModel)
        }
        for name, schema in document["components"]["schemas"].items():
            model = models[name]
            assert schema["examples"], name
            for example in schema["examples"]:
                model.model_validate_json(json.dumps(example), strict=True)

    def test_every_error_is_a_problem(self, document: dict[str, Any]) -> None:
        for path, methods in document["paths"].items():
            for operation in methods.values():
                for status, response in operation["responses"].items():
                    if status >= "400" and path.startswith("/api"):
                        schema = response["content"]["application/problem+json"]["schema"]
                        assert schema == {"$ref": "#/components/schemas/Problem"}
                    else:
                        assert response["content"]["application/json"]["schema"]

    async def test_is_served(self, world: World) -> None:
        assert (await world.client.get("/openapi.json")).json()["info"]["title"] == "Freshet"
        assert (await world.client.get("/docs")).status_code == 200
