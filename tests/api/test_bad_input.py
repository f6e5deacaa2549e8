"""Whatever is sent: a problem that says what is wrong, never a 500, and the next request is served.

What Schemathesis does not make up; what concerns connections is in tests/infra/test_connections.py.
"""

from collections.abc import AsyncIterator

import httpx
import pytest

from api.errors import MEDIA_TYPE, Problem
from api.main import MAX_BODY, openapi_document
from api.schemas.ratings import MAX_BATCH
from stream.contracts.events import MAX_ID
from tests.api.conftest import World

RATING = {"user_id": 42, "movie_id": 3, "rating": 4.0}
JSON = {"Content-Type": "application/json"}

DOCUMENT = openapi_document()
WITH_BODY = [
    (method, path)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if "requestBody" in operation
]


def problem(answer: httpx.Response, *statuses: int) -> Problem:
    assert answer.status_code in statuses, (answer.status_code, answer.text[:500])
    assert answer.headers["content-type"] == MEDIA_TYPE
    found = Problem.model_validate_json(answer.content)
    assert found.status == answer.status_code
    assert found.detail
    assert "Traceback" not in answer.text
    return found


async def chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


class TestBodies:
    """Of every operation that takes one."""

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b'"text"',
            b"42",
            b"[]",
            b"{}",
            b"{",
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"\xff\xfe\x00",
            b'"\xed\xa0\x80"',  # half of a pair, in UTF-8
            b"\x00" * 100,
            b"NaN",
            b'{"user_id": 1e400}',
            b'{"user_id": Infinity}',
            b"[" + b"1," * 50_000 + b"1]",
            b'{"a": 1, "a": 2}',
            b"9" * 10_000,
        ],
        ids=lambda body: repr(body[:12]),
    )
    async def test_that_are_none(self, world: World, body: bytes) -> None:
        for method, path in WITH_BODY:
            answer = await world.client.request(method, path, content=body, headers=JSON)
            if (answer.status_code, body) == (200, b"{}"):  # where everything has a default
                continue
            problem(answer, 400, 404, 422)

    @pytest.mark.parametrize(
        "kind",
        [
            "",
            "text/plain",
            "text/json",
            "application/jsonx",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "ü",
        ],
    )
    async def test_of_another_kind(self, world: World, kind: str) -> None:
        headers = {b"Content-Type": kind.encode()}
        for method, path in WITH_BODY:
            answer = await world.client.request(method, path, content=b"a=1", headers=headers)
            problem(answer, 415)

    async def test_what_is_no_json_says_where(self, world: World) -> None:
        answer = await world.client.post(
            "/api/v1/ratings", content=b'{"user_id": 42,', headers=JSON
        )
        [wrong] = problem(answer, 422).errors
        assert wrong.field == "body"
        assert wrong.message.startswith("is no JSON: Expecting property name")
        assert wrong.message.endswith("(character 15)")

    async def test_our_own_reasons_stand_alone(self, world: World) -> None:
        click = {"user_id": 42, "impression_id": "x", "movie_id": 3, "kind": "click", "value": 1}
        [wrong] = problem(await world.client.post("/api/v1/feedback", json=click), 422).errors
        assert wrong.message == "a click has no value"

    @pytest.mark.parametrize("size", [MAX_BODY + 1, 1 << 16])
    async def test_too_large_in_chunks_without_a_length(self, world: World, size: int) -> None:
        for method, path in WITH_BODY:
            answer = await world.client.request(
                method, path, content=chunks(b" " * (MAX_BODY + 1), size), headers=JSON
            )
            problem(answer, 413)

    async def test_too_large_by_its_own_account_is_not_waited_for(self, world: World) -> None:
        async def never() -> AsyncIterator[bytes]:
            raise AssertionError("is read")
            yield b""

        headers = {**JSON, "Content-Length": str(MAX_BODY + 1)}
        for method, path in WITH_BODY:
            answer = await world.client.request(method, path, content=never(), headers=headers)
            problem(answer, 413)

    async def test_in_chunks_is_as_good(self, world: World) -> None:
        body = chunks(b'{"user_id": 42, "movie_id": 3, "rating": 4.0}', 5)
        answer = await world.client.post("/api/v1/ratings", content=body, headers=JSON)
        assert answer.status_code == 202


class TestNumbers:
    @pytest.mark.parametrize(
        "value", [0, -1, MAX_ID + 1, 2**63, 2**64, 10**400, 1.5, True, "42", None, [42], {}]
    )
    async def test_ids_in_bodies(self, world: World, value: object) -> None:
        for name in ("user_id", "movie_id"):
            answer = await world.client.post("/api/v1/ratings", json={**RATING, name: value})
            assert problem(answer, 422).errors[0].field == f"body.{name}"
        assert world.log.events == []

    @pytest.mark.parametrize(
        "value",
        ["0", "-1", str(MAX_ID + 1), str(2**64), "9" * 5_000, "1.5", "１２", "1e3", "%00", "nan"],
    )
    async def test_ids_in_paths(self, world: World, value: str) -> None:
        for path in ("recommendations/{}", "movies/{}", "users/{}/profile", "users/{}/history"):
            problem(await world.client.get(f"/api/v1/{path.format(value)}"), 404, 422)

    @pytest.mark.parametrize(
        "stars", ["NaN", "Infinity", "-Infinity", "1e400", "0.25", "5.5", "-1"]
    )
    async def test_stars(self, world: World, stars: str) -> None:
        body = b'{"user_id": 42, "movie_id": 3, "rating": %s}' % stars.encode()
        answer = await world.client.post("/api/v1/ratings", content=body, headers=JSON)
        assert problem(answer, 422).errors[0].field == "body.rating"

    async def test_whole_numbers_may_be_written_with_a_point(self, world: World) -> None:
        body = b'{"user_id": 42.0, "movie_id": 3.0, "rating": 4}'
        answer = await world.client.post("/api/v1/ratings", content=body, headers=JSON)
        assert answer.json()["positions"].keys() == {"42"}


class TestBatches:
    async def test_of_nothing(self, world: World) -> None:
        problem(await world.client.post("/api/v1/ratings", json=[]), 422)

    async def test_of_too_many(self, world: World) -> None:
        answer = await world.client.post("/api/v1/ratings", json=[RATING] * (MAX_BATCH + 1))
        assert str(MAX_BATCH) in problem(answer, 422).detail
        assert world.log.events == []

    async def test_of_the_same_again_and_again(self, world: World) -> None:
        """The last one counts, as if they had been sent one after the other."""
        stars = [1.0, 5.0, 2.0, 4.5]
        batch = [{**RATING, "rating": it} for it in stars]
        answer = await world.client.post("/api/v1/ratings", json=batch)
        assert answer.status_code == 202
        assert [event.rating for event in world.log.events] == stars
        history = (await world.client.get("/api/v1/users/42/history")).json()
        assert [(it["movie_id"], it["rating"]) for it in history["items"]] == [(3, 4.5)]

    async def test_with_one_that_is_wrong_publish_nothing(self, world: World) -> None:
        for wrong, status in (({"rating": 9}, 422), ({"movie_id": 999_999}, 404)):
            batch = [RATING, {**RATING, **wrong}]
            answer = await world.client.post("/api/v1/ratings", json=batch)
            assert problem(answer, status).errors[0].field.startswith("body[1].")
        assert world.log.events == []


class TestTexts:
    TEXTS = ("\x00", "\u202eevil", "a\nb", "🦀" * 50, "\ufeff", "ﷺ", "i\u0307", "<script>", "%s{0}")

    @pytest.mark.parametrize("text", TEXTS)
    async def test_in_titles(self, world: World, text: str) -> None:
        movie = {"movie_id": 401, "title": f"x{text}", "genres": ["Drama"]}
        answer = await world.client.post("/api/v1/movies", json=movie)
        if answer.status_code == 202:
            assert answer.json()["title"] == f"x{text}"
            await world.watcher.refresh()
            assert (await world.client.get("/api/v1/movies/401")).json()["title"] == f"x{text}"
        else:
            problem(answer, 422)

    async def test_half_of_a_pair(self, world: World) -> None:
        body = rb'{"movie_id": 401, "title": "\ud800", "genres": []}'
        answer = await world.client.post("/api/v1/movies", content=body, headers=JSON)
        problem(answer, 422)

    @pytest.mark.parametrize("text", TEXTS)
    async def test_in_searches(self, world: World, text: str) -> None:
        answer = await world.client.get("/api/v1/movies/search", params={"q": text})
        if answer.status_code != 200:
            problem(answer, 422)

    @pytest.mark.parametrize("key", ["", " ", "x" * 256, "\x7f", "ü"])
    async def test_in_idempotency_keys(self, world: World, key: str) -> None:
        headers = {b"Idempotency-Key": key.encode()}
        answer = await world.client.post("/api/v1/ratings", json=RATING, headers=headers)
        if answer.status_code != 202:
            problem(answer, 422)


class TestQueries:
    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=1&limit=2", "query.limit"),
            ("limt=1", "query.limt"),
            ("limit=", "query.limit"),
            ("limit=10%00", "query.limit"),
            ("limit=1e1", "query.limit"),
            ("%FF=1", "query.\ufffd"),
            ("=1", "query."),
            ("after=3", "query.after"),
            ("after=" + "9" * 5_000 + ":1", "query.after"),
            ("wait_ms=-1", "query.wait_ms"),
        ],
    )
    async def test_what_is_wrong_is_named(self, world: World, query: str, field: str) -> None:
        answer = await world.client.get(f"/api/v1/recommendations/42?{query}")
        assert problem(answer, 422).errors[0].field == field

    async def test_lists_may_be_repeated(self, world: World) -> None:
        query = "exclude_ids=1&exclude_ids=2&genres_any=Drama&genres_any=War"
        answer = await world.client.get(f"/api/v1/recommendations/42?{query}")
        assert answer.status_code == 200


class TestMethods:
    @pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PATCH", "CONNECT", "BREW"])
    async def test_that_there_are_not(self, world: World, method: str) -> None:
        for path, operations in DOCUMENT["paths"].items():
            answer = await world.client.request(method, path.replace("{", "1").replace("}", ""))
            problem(answer, 405)
            assert set(answer.headers["allow"].split(", ")) <= {it.upper() for it in operations}

    async def test_head_of_what_is_only_posted(self, world: World) -> None:
        assert (await world.client.head("/api/v1/ratings")).status_code == 405
