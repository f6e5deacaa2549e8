"""GET /recommendations: the strategy by what is known, what is excluded, and how fresh it is."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lists import retrieval
from api.lists.freshness import LogPosition, UserView
from api.lists.retrieval import retrieve
from api.lists.wanted import Wanted
from api.schemas.recommendations import Recommendations
from api.serving.live import LiveHeats
from api.serving.watcher import Serving
from stream.contracts import keys
from stream.contracts.keys import Position
from stream.contracts.topics import partition_of
from stream.features import UserState
from stream.records import ColdStartVector, UserRecord
from stream.store import Batch
from tests.api.conftest import MOVIES, World, catalogue_movie, items, load, model_event
from tests.api.doubles import PARTITIONS, PlantedArtifact

USER = 42


def ids(answer: dict[str, object]) -> list[int]:
    return [item["movie_id"] for item in answer["items"]]  # type: ignore[attr-defined, index]


def sources(answer: dict[str, object]) -> set[str]:
    return {item["source"] for item in answer["items"]}  # type: ignore[attr-defined, index]


async def test_someone_unknown_gets_what_is_trending(world: World) -> None:
    await world.rate(1, 7, 8)
    await world.rate(2, 8)
    await world.watcher.refresh()
    answer = await world.get(USER, limit=2)
    assert answer["strategy"] == "trending"
    assert answer["degraded"] == []
    assert ids(answer) == [8, 7]
    assert [item["score"] for item in answer["items"]] == pytest.approx([1.0, 0.5], rel=0.01)
    own = ("last_event_position", "last_event_time", "last_produced_time", "age_ms", "included")
    assert [answer["freshness"][field] for field in own] == [None] * len(own)


async def test_trends_are_filled_up_with_popular_movies(world: World) -> None:
    await world.rate(1, 7)
    await world.watcher.refresh()
    answer = await world.get(USER, limit=9)
    assert ids(answer) == [7, 1, 2, 3, 4, 5, 6, 8, 9]
    assert [item["source"] for item in answer["items"]] == ["trending"] + ["popular"] * 8


@pytest.mark.parametrize("ratings", [1, 5])
async def test_the_user_tower_answers_from_the_first_rating_on(world: World, ratings: int) -> None:
    await world.rate(USER, *[10, 20, 30, 40, 200][-ratings:])
    answer = await world.get(USER, limit=4)
    assert answer["strategy"] == "two_tower"
    assert answer["degraded"] == []
    assert sorted(ids(answer)) == [198, 199, 201, 202]  # near the last one
    assert (answer["model_version"], answer["index"]) == ("v1", "movies-v1")


async def test_the_ranker_orders_what_is_equally_near(world: World) -> None:
    """201 follows what was rated, 198 is hot: 199 is as near as the one, 202 as the other."""
    await world.rate(1, 198)
    await world.watcher.refresh()
    await world.rate(USER, 200)
    assert ids(await world.get(USER, limit=4)) == [201, 199, 198, 202]


async def test_scores_say_how_likely(world: World) -> None:
    await world.rate(USER, 200)
    items = (await world.get(USER, limit=20))["items"]
    scores = [item["score"] for item in items]
    assert scores[0] == 1
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores[1:])
    assert {item["source"] for item in items} == {"two_tower"}


async def test_what_becomes_hot_is_in_the_next_look(world: World) -> None:
    await world.rate(USER, 200)
    before = ids(await world.get(USER, limit=4))
    await world.rate(1, before[1])
    assert ids(await world.get(USER, limit=4)) == before
    await world.watcher.refresh()
    assert ids(await world.get(USER, limit=1)) == [before[1]]


async def test_a_rating_changes_the_next_answer(world: World) -> None:
    await world.rate(USER, 10, 20, 30, 40, 200)
    before = await world.get(USER)
    position = await world.rate(USER, 300)
    after = await world.get(USER, after=position)
    assert after["freshness"]["included"] is True
    assert set(ids(after)) <= set(range(290, 312))
    assert not set(ids(after)) & {*ids(before), 300}


async def test_movies_carry_what_the_catalogue_says_now(world: World) -> None:
    await world.rate(USER, 100)
    await world.store.put_movies([catalogue_movie(101, title="Retitled")])
    await world.watcher.refresh()
    items = {item["movie_id"]: item for item in (await world.get(USER))["items"]}
    assert items[101]["title"] == "Retitled"
    assert items[99]["title"] == "Movie 99"
    assert items[99]["genres"] == ["Drama"]
    assert items[99]["year"] == 1939


async def test_the_index_knows_movies_that_the_catalogue_does_not(empty_world: World) -> None:
    world = empty_world
    await world.promote("v1")
    await world.store.put_movies([catalogue_movie(100)])
    await world.watcher.refresh()
    await world.rate(USER, 100)
    assert {item["title"] for item in (await world.get(USER, limit=2))["items"]} == {
        "Movie 99 of v1",
        "Movie 101 of v1",
    }


async def test_someone_who_rated_everything_is_told_nothing_new(world: World) -> None:
    await world.rate(USER, *range(1, MOVIES + 1))
    answer = await world.get(USER)
    assert (answer["strategy"], answer["items"]) == ("two_tower", [])


@given(
    rated=st.lists(st.integers(1, MOVIES + 50), unique=True, max_size=60),
    limit=st.integers(1, 100),
)
async def test_rated_movies_never_come_back(rated: list[int], limit: int) -> None:
    state = UserState(events=len(rated))
    for movie_id in rated:  # ids over MOVIES are known to nobody
        state.movies += movie_id.to_bytes(4, "little")
        state.times += bytes(4)
        state.half_stars += b"\x09"
    model = load(model_event("v1"))
    live = LiveHeats().movies(model.artifact.items)
    serving = Serving(model, {}, live, ((3, 1.0), (2, 0.5)), PARTITIONS)
    if rated and rated[-1] > MOVIES:
        return  # the planted tower needs to know the last one
    found = await retrieve(serving, UserRecord(state), Wanted(limit))
    got = [candidate.movie.movie_id for candidate in found.candidates]
    assert len(set(got)) == len(got) == min(limit, MOVIES - len({*rated} & {*range(1, MOVIES + 1)}))
    assert not set(got) & set(rated)


async def commit_cold_start(world: World, record: UserRecord) -> None:
    partition = partition_of(USER, PARTITIONS)
    before = await world.store.position(partition)
    assert before is not None
    await world.store.commit(
        partition,
        before,
        Position(before.generation, before.topic_id, before.next_offset + 1),
        Batch({USER: record}),
    )


def broken(_: object) -> None:
    raise RuntimeError("it is told to fail")


async def test_a_stored_vector_is_used_only_by_its_own_version(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored vector points to movie 300, the state to 100: who wins shows which was used."""
    monkeypatch.setattr(PlantedArtifact, "user_vectors", lambda self, states: broken(states))
    await world.rate(USER, 100)
    assert (await world.get(USER))["strategy"] == "cold_start"
    partition = partition_of(USER, PARTITIONS)
    _, record = await world.store.read_user(partition, USER)
    assert record is not None
    elsewhere = items("v1").vectors[299].astype("float16")
    record.cold_start = ColdStartVector(keys.version_tag("v1"), elsewhere)
    await commit_cold_start(world, record)
    assert set(ids(await world.get(USER))) <= set(range(290, 311))
    await world.promote("v2")
    assert set(ids(await world.get(USER))) <= set(range(90, 111))


@pytest.mark.parametrize("ratings", [1, 5])
async def test_what_the_model_has_never_seen_gives_trending(world: World, ratings: int) -> None:
    strangers = range(9_000, 9_000 + ratings)
    await world.store.put_movies(catalogue_movie(movie) for movie in strangers)
    await world.watcher.refresh()
    await world.rate(USER, *strangers)
    answer = await world.get(USER)
    assert (answer["strategy"], answer["degraded"]) == ("trending", [])
    assert not set(ids(answer)) & set(strangers)


class TestFreshness:
    async def test_says_up_to_where_the_state_was_applied(self, world: World) -> None:
        position = await world.rate(USER, 1, 2)
        neighbour = next(
            user
            for user in range(1_000)
            if user
            and partition_of(user, PARTITIONS) == partition_of(USER, PARTITIONS)
            and user != USER
        )
        later = await world.rate(neighbour, 3)
        freshness = (await world.get(USER))["freshness"]
        assert freshness["position"] == later
        assert freshness["last_event_position"] == position
        assert freshness["included"] is None
        event = world.log.events[1]
        assert freshness["last_event_time"] == event.event_time
        assert freshness["last_produced_time"] == event.produced_time
        assert 0 <= freshness["age_ms"] <= time.time() * 1000 - event.produced_time

    async def test_waits_until_the_event_is_in_the_state(self, world: World) -> None:
        world.log.lag = True
        position = await world.rate(USER, 100)
        waiting = asyncio.create_task(world.get(USER, after=position, wait_ms=10_000))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        await world.log.apply()
        answer = await waiting
        assert answer["freshness"]["included"] is True
        assert answer["freshness"]["last_event_position"] == position

    @pytest.mark.parametrize("wait_ms", [0, 20])
    async def test_answers_without_it_when_the_wait_is_over(
        self, world: World, wait_ms: int
    ) -> None:
        world.log.lag = True
        position = await world.rate(USER, 100)
        answer = await world.get(USER, after=position, wait_ms=wait_ms)
        assert answer["freshness"]["included"] is False
        assert answer["strategy"] == "trending"

    @pytest.mark.parametrize("offset", [0, 5])
    async def test_another_partition_than_the_users_is_refused(
        self, world: World, offset: int
    ) -> None:
        wrong = (partition_of(USER, PARTITIONS) + 1) % PARTITIONS
        answer = await world.client.get(
            f"/api/v1/recommendations/{USER}", params={"after": f"{wrong}:{offset}"}
        )
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "query.after"

    @pytest.mark.parametrize("text", ["", "1", "1:", ":1", "a:b", "1:-1", "1:2:3", "1:" + "9" * 30])
    async def test_a_position_has_one_form(self, world: World, text: str) -> None:
        answer = await world.client.get(f"/api/v1/recommendations/{USER}", params={"after": text})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "query.after"

    @given(st.integers(0, 999_999_999), st.integers(0, 10**18 - 1))
    def test_a_position_reads_back(self, partition: int, offset: int) -> None:
        position = LogPosition(partition, offset)
        assert LogPosition.parse(str(position)) == position

    def test_nothing_applied_is_null(self) -> None:
        nothing = UserView(3, None, UserRecord(UserState()), None)
        assert nothing.freshness().position is None
        begun = UserView(3, Position(1, "t", 0), UserRecord(UserState()), None)
        assert begun.freshness().position is None


class TestDegrades:
    async def test_without_redis_to_popular_movies(self, world: World) -> None:
        position = await world.rate(USER, 1, 2, 3, 4, 5)
        world.store.failing = True
        answer = await world.get(USER, limit=3, after=position)
        assert answer["strategy"] == "popular"
        assert answer["degraded"] == ["state_unavailable"]
        assert sources(answer) == {"popular"}
        assert ids(answer) == [1, 2, 3]
        assert answer["freshness"]["included"] is False
        assert answer["freshness"]["position"] is None

    async def test_without_a_model_to_trending(self, empty_world: World) -> None:
        world = empty_world
        await world.store.put_movies([catalogue_movie(1), catalogue_movie(2)])
        await world.watcher.refresh()
        await world.rate(1, 1, 2)
        await world.rate(USER, 1)
        await world.watcher.refresh()
        answer = await world.get(USER)
        assert answer["strategy"] == "trending"
        assert answer["degraded"] == ["model_unavailable"]
        assert ids(answer) == [2]
        assert answer["model_version"] is None

    async def test_without_an_index_to_what_the_others_propose(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        await world.rate(1, 300)
        await world.watcher.refresh()
        await world.rate(USER, 1, 2, 3, 4, 5)
        world.index.failing = True
        await world.get(USER)
        answer = await world.get(USER, limit=20)
        assert caplog.text.count("index_unavailable of model v1") == 1
        assert answer["strategy"] == "two_tower"
        assert answer["degraded"] == ["index_unavailable"]
        assert sources(answer) == {"similar", "trending"}
        assert ids(answer)[0] == 6
        assert 300 in ids(answer)
        assert not set(ids(answer)) & {1, 2, 3, 4, 5}

    async def test_without_a_tower_that_works_to_the_pooled_vector(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.rate(USER, 98, 99, 100)
        assert world.watcher.current.model is not None
        monkeypatch.setattr(world.watcher.current.model.artifact, "user_vectors", broken)
        answer = await world.get(USER)
        assert (answer["strategy"], answer["degraded"]) == ("cold_start", ["model_unavailable"])
        assert "cold_start" in sources(answer)
        assert set(ids(answer)) <= set(range(90, 110)) - {98, 99, 100}

    async def test_without_a_ranker_to_the_nearest(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        await world.rate(USER, 200)
        ranked = await world.get(USER, limit=4)
        monkeypatch.setattr(retrieval, "rank", lambda *_: broken(_))
        answer = await world.get(USER, limit=4)
        assert (answer["strategy"], answer["degraded"]) == ("two_tower", ["ranker_unavailable"])
        assert "ranker_unavailable of model v1" in caplog.text
        assert set(ids(answer)) == set(ids(ranked)) == {198, 199, 201, 202}
        assert set(ids(answer)[:2]) == {199, 201}

    async def test_without_index_and_ranker_to_trending(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.rate(USER, 200)
        world.index.failing = True
        monkeypatch.setattr(retrieval, "rank", lambda *_: broken(_))
        answer = await world.get(USER)
        assert answer["strategy"] == "trending"
        assert answer["degraded"] == ["index_unavailable", "ranker_unavailable"]
        assert len(answer["items"]) == 10

    async def test_without_an_index_nobody_describes_what_the_catalogue_lacks(
        self, empty_world: World
    ) -> None:
        world = empty_world
        await world.promote("v1")
        await world.store.put_movies([catalogue_movie(100), catalogue_movie(101)])
        await world.watcher.refresh()
        await world.rate(USER, 100)
        world.index.failing = True
        answer = await world.get(USER)
        assert (ids(answer), answer["degraded"]) == ([101], ["index_unavailable"])

    async def test_with_nothing_at_all_says_so(self, empty_world: World) -> None:
        for failing in (False, True):
            empty_world.store.failing = failing
            answer = await empty_world.client.get(f"/api/v1/recommendations/{USER}")
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:freshet:unavailable"
            assert answer.headers["retry-after"]

    async def test_before_anyone_said_how_many_partitions_there_are(self, world: World) -> None:
        world.store.partition_count = None
        world.watcher.current = Serving(world.watcher.current.model)
        answer = await world.get(USER)
        assert (answer["strategy"], answer["degraded"]) == ("popular", ["state_unavailable"])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("0", "path.user_id"),
        ("-1", "path.user_id"),
        (str(2**53), "path.user_id"),
        ("me", "path.user_id"),
        ("1?limit=0", "query.limit"),
        ("1?limit=101", "query.limit"),
        ("1?wait_ms=10001", "query.wait_ms"),
        ("1?wait_ms=soon", "query.wait_ms"),
    ],
)
async def test_bad_parameters_are_named(world: World, path: str, field: str) -> None:
    answer = await world.client.get(f"/api/v1/recommendations/{path}")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_answers_have_the_documented_form(world: World) -> None:
    await world.rate(USER, 1, 2, 3, 4, 5)
    answer = await world.client.get(f"/api/v1/recommendations/{USER}")
    assert answer.headers["content-type"] == "application/json"
    Recommendations.model_validate_json(answer.content, strict=True)
    assert set(answer.json()) == set(Recommendations.model_fields)
