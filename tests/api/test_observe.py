"""What every answer says besides its own, and what is logged and counted of a request."""

import logging
from dataclasses import replace

import httpx
import pytest

from api.lists.recommender import Recommender
from api.main import create_app, openapi_document
from api.observe import NameRequest
from tests.api.conftest import World

PATH = "/api/v1/recommendations/42"
ROUTE = "/api/v1/recommendations/{user_id}"


class TestNames:
    async def test_a_name_is_kept(self, world: World) -> None:
        answer = await world.client.get(PATH, headers={"X-Request-ID": "checkout-7:1"})
        assert answer.headers.get_list("X-Request-ID") == ["checkout-7:1"]

    @pytest.mark.parametrize("given", [None, "", "a b", "x" * 129, "ü", "a\tb", '"><script>'])
    async def test_one_that_is_none_is_not(self, world: World, given: str | None) -> None:
        headers = {} if given is None else {b"X-Request-ID": given.encode()}
        first = await world.client.get(PATH, headers=headers)
        second = await world.client.get(PATH, headers=headers)
        names = [answer.headers["X-Request-ID"] for answer in (first, second)]
        assert all(len(name) == 16 for name in names)
        assert names[0] != names[1] != given

    async def test_a_problem_is_an_instance(self, world: World) -> None:
        answer = await world.client.get("/nowhere", headers={"X-Request-ID": "mine"})
        assert answer.json()["instance"] == "urn:freshet:request:mine"


class TestHeaders:
    async def test_what_took_how_long(self, world: World) -> None:
        await world.rate(42, 3)
        answer = await world.client.get(PATH)
        parts = [part.split(";dur=") for part in answer.headers["Server-Timing"].split(", ")]
        took = {name: float(ms) for name, ms in parts}
        assert took.keys() >= {"state", "rank", "total"}
        assert took["total"] >= max(took.values())

    @pytest.mark.parametrize("path", [PATH, "/nowhere", "/livez", "/docs", "/api/v1/ratings"])
    async def test_browsers_are_told_to_be_careful(self, world: World, path: str) -> None:
        headers = (await world.client.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers.get_list("Cache-Control") == ["no-store"]
        assert "Strict-Transport-Security" not in headers

    async def test_over_tls_browsers_are_told_to_stay_there(self, world: World) -> None:
        answer = await world.client.get("https://api/livez")
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=")

    async def test_head_is_get_without_a_body(self, world: World) -> None:
        for path in (PATH, "/livez", "/nowhere"):
            head, get = await world.client.head(path), await world.client.get(path)
            assert head.status_code == get.status_code
            assert head.headers["Content-Type"] == get.headers["Content-Type"]
            assert head.content == b""


class TestLog:
    def access(self, caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "freshet.access"]

    async def test_one_line_without_whom_it_was_about(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        caplog.handler.addFilter(NameRequest())
        secret = {"Authorization": "Bearer the-secret", "X-Request-ID": "mine"}
        await world.client.get(PATH, params={"limit": 7}, headers=secret)
        [record] = self.access(caplog)
        said = vars(record)
        assert (said["method"], said["route"], said["status"]) == ("GET", ROUTE, 200)
        assert said["request_id"] == "mine"
        assert said["ms"] > 0
        assert said["stages"].keys() >= {"state"}
        assert "42" not in record.getMessage()
        assert "the-secret" not in str(said)

    async def test_probes_are_not_told(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        for path in ("/livez", "/readyz", "/healthz", "/metrics"):
            await world.client.get(path)
        assert self.access(caplog) == []

    async def test_a_bug_is_told_with_its_traceback_once(
        self, world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*args: object, **options: object) -> None:
            raise ZeroDivisionError("the secret reason")

        monkeypatch.setattr(Recommender, "recommend", broken)
        answer = await world.client.get(PATH, headers={"X-Request-ID": "mine"})
        assert answer.status_code == 500
        assert answer.json()["instance"] == "urn:freshet:request:mine"
        assert answer.headers["X-Request-ID"] == "mine"
        [failure] = [record for record in caplog.records if record.exc_info]
        assert failure.exc_info is not None
        assert isinstance(failure.exc_info[1], ZeroDivisionError)


class TestOrigins:
    async def ask(self, world: World, origins: list[str], origin: str) -> httpx.Response:
        app = create_app(world.services, origins)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            preflight = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "Authorization,Content-Type,Idempotency-Key",
            }
            return await client.options("/api/v1/ratings", headers=preflight)

    async def test_those_that_are_named_may_ask(self, world: World) -> None:
        answer = await self.ask(world, ["https://shop.example"], "https://shop.example")
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert "idempotency-key" in answer.headers["Access-Control-Allow-Headers"].lower()
        methods = {method.upper() for it in openapi_document()["paths"].values() for method in it}
        assert set(answer.headers["Access-Control-Allow-Methods"].split(", ")) == methods
        assert answer.headers["X-Request-ID"]

    async def test_no_other(self, world: World) -> None:
        answer = await self.ask(world, ["https://shop.example"], "https://evil.example")
        assert answer.status_code == 400
        assert "Access-Control-Allow-Origin" not in answer.headers

    async def test_by_default_nobody(self, world: World) -> None:
        answer = await self.ask(world, [], "https://shop.example")
        assert answer.status_code == 405
        assert "Access-Control-Allow-Origin" not in answer.headers

    async def test_answers_may_be_read(self, world: World) -> None:
        app = create_app(replace(world.services), ["*"])
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            answer = await client.get(PATH, headers={"Origin": "https://any.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "RateLimit" in answer.headers["Access-Control-Expose-Headers"]

    async def test_what_went_wrong_may_be_read_too(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*args: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(Recommender, "recommend", broken)
        app = create_app(world.services, ["https://shop.example"])
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            answers = {
                origin: await client.get(PATH, headers={"Origin": origin})
                for origin in ("https://shop.example", "https://evil.example")
            }
        allowed = [it.headers.get("Access-Control-Allow-Origin") for it in answers.values()]
        assert allowed == ["https://shop.example", None]
        for answer in answers.values():
            assert answer.status_code == 500
            assert len(answer.headers.get_list("X-Request-ID")) == 1
