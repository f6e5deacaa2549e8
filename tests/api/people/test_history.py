"""GET /users/{id}/history: the latest first, on pages that neither repeat nor skip."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lists.freshness import UserView
from api.people.history import Place, history_of
from api.serving.watcher import Serving
from stream.features import UserState
from stream.records import UserRecord
from tests.api.conftest import World

USER = 42
ANY_TIME = 1_000_000_000


async def page(world: World, user_id: int = USER, **params: Any) -> dict[str, Any]:
    answer = await world.client.get(f"/api/v1/users/{user_id}/history", params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_page_tells_what_the_movies_are(world: World) -> None:
    await world.rate(USER, 7, stars=2.5)
    body = await page(world)
    assert body["total"] == 1
    [item] = body["items"]
    assert (item["movie_id"], item["title"], item["rating"]) == (7, "Movie 7", 2.5)
    assert body["freshness"]["last_event_position"] is not None
    assert body["next_cursor"] is None


async def test_somebody_unknown_has_rated_nothing(world: World) -> None:
    body = await page(world)
    assert (body["total"], body["items"], body["next_cursor"]) == (0, [], None)


@pytest.mark.parametrize("cursor", ["", "1", "1:2:3", "-1:2", "a:b", "99999999999:1", "١:٢"])
async def test_a_cursor_of_something_else_is_refused(world: World, cursor: str) -> None:
    answer = await world.client.get(f"/api/v1/users/{USER}/history", params={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "query.cursor"


async def test_without_redis_it_is_said(world: World) -> None:
    world.store.failing = True
    answer = await world.client.get(f"/api/v1/users/{USER}/history")
    assert answer.status_code == 503


def view(rated: dict[int, int]) -> UserView:
    """Of someone who rated these movies at these times."""
    state = UserState()
    for movie_id, seconds in rated.items():
        state.movies += movie_id.to_bytes(4, "little")
        state.times += seconds.to_bytes(4, "little")
        state.half_stars += bytes([8])
    return UserView(0, None, UserRecord(state), None)


@given(
    st.dictionaries(st.integers(1, 60), st.integers(ANY_TIME, ANY_TIME + 20), max_size=25),
    st.integers(1, 7),
    st.dictionaries(st.integers(1, 60), st.integers(ANY_TIME + 21, ANY_TIME + 40), max_size=5),
    st.integers(1, 4),
)
def test_pages_have_everything_once_whatever_comes_between(
    rated: dict[int, int], limit: int, later: dict[int, int], comes_after: int
) -> None:
    """Of what is not rated anew, every movie is on one page, in order of time."""
    now, shown, after = rated, [], None
    for number in range(1, 100):
        if number == comes_after:
            now = {id_: at for id_, at in rated.items() if id_ not in later} | later
        found = history_of(USER, view(now), Serving(), limit, after)
        shown += [(item.rated_at, item.movie_id) for item in found.items]
        if found.next_cursor is None:
            break
        after = Place.parse(found.next_cursor)
    assert shown == sorted(shown, reverse=True)
    assert len(shown) == len(set(shown))
    untouched = {id_ for id_ in rated if id_ not in later}
    assert untouched <= {movie_id for _, movie_id in shown}
