"""A query string is read as FastAPI reads it, and described as FastAPI describes it."""

from typing import Annotated, Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import Depends, FastAPI, Query
from hypothesis import given
from hypothesis import strategies as st

from api.guard.query import described, reading
from api.schemas.query import RecommendationQuery

APP = FastAPI()


@APP.get("/theirs")
async def theirs(query: Annotated[RecommendationQuery, Query()]) -> Any:
    return [query.model_dump(), sorted(query.model_fields_set)]


@APP.get("/ours", openapi_extra=described(RecommendationQuery))
async def ours(
    query: Annotated[RecommendationQuery, Depends(reading(RecommendationQuery))],
) -> Any:
    return [query.model_dump(), sorted(query.model_fields_set)]


CLIENT = httpx.AsyncClient(transport=httpx.ASGITransport(APP), base_url="http://api")

NAMES = st.sampled_from([*RecommendationQuery.model_fields, "unknown", ""])
VALUES = st.sampled_from(["", "1", "-1", "10", "0.5", "true", "War", "ä b", "1e400", "x" * 70])


def answer(of: httpx.Response) -> tuple[int, Any]:
    """But for what an unknown parameter said: no problem tells it."""
    body = of.json()
    if of.status_code == 422:
        for error in body["detail"]:
            if error["type"] == "extra_forbidden":
                del error["input"]
    return of.status_code, body


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4))
async def test_whatever_is_said(said: list[tuple[str, str]]) -> None:
    """Twice, as what was read before is at hand."""
    query = urlencode(said)
    theirs = await CLIENT.get(f"/theirs?{query}")
    for _ in range(2):
        ours = await CLIENT.get(f"/ours?{query}")
        assert answer(ours) == answer(theirs)


@pytest.mark.parametrize("query", ["genres_any=War&genres_any=Drama&limit=3", "limit=a&novelty=2"])
async def test_lists_and_errors(query: str) -> None:
    ours, theirs = await CLIENT.get(f"/ours?{query}"), await CLIENT.get(f"/theirs?{query}")
    assert answer(ours) == answer(theirs)
    assert ours.status_code == (422 if "novelty" in query else 200)


def test_the_description_is_the_same() -> None:
    paths = APP.openapi()["paths"]
    assert paths["/ours"]["get"]["parameters"] == paths["/theirs"]["get"]["parameters"]
    assert len(paths["/ours"]["get"]["parameters"]) == len(RecommendationQuery.model_fields)
