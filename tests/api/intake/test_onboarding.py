"""Onboarding: what someone new is shown, and what becomes of their first ratings."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.intake.onboarding import FIRST_NEW_USER, new_user_id, suggest
from api.schemas.onboarding import Onboarded, SuggestedMovies
from api.serving.watcher import Serving
from stream.contracts.events import MAX_ID
from tests.api.conftest import GENRES, MOVIES, World, catalogue_movie, load, model_event
from tests.api.doubles import PARTITIONS, Store

SUGGESTED = "/api/v1/onboarding/suggested-movies"
RATE = "/api/v1/onboarding/rate"
FIVE = [{"movie_id": movie, "rating": 5.0} for movie in (10, 20, 30, 40, 200)]

CATALOGUE = {id_: catalogue_movie(id_) for id_ in range(1, MOVIES + 1)}


def serving() -> Serving:
    return Serving(load(model_event("v1")), CATALOGUE, (), PARTITIONS)


class TestSuggestions:
    async def test_fifteen_are_five_popular_eight_genres_and_two_eras(self, world: World) -> None:
        answer = await world.client.get(SUGGESTED, params={"seed": 1})
        assert answer.status_code == 200
        movies = SuggestedMovies.model_validate_json(answer.content, strict=True).movies
        assert Counter(movie.kind for movie in movies) == {"popular": 5, "genre": 8, "era": 2}
        assert len({movie.movie_id for movie in movies}) == 15
        for movie in movies:
            if movie.kind == "popular":
                assert movie.movie_id <= 20  # the lower, the more popular
            if movie.kind == "genre":
                assert movie.reason == f"A favourite in {movie.genres[0]}"
        across = [movie.genres[0] for movie in movies if movie.kind == "genre"]
        assert len(set(across)) == 8 < len(GENRES)

    @given(st.integers(0, 2**32))
    def test_eras_are_those_that_the_others_leave_out(self, seed: int) -> None:
        movies = suggest(serving(), 15, seed)
        decades: dict[bool, list[int]] = {True: [], False: []}
        for movie in movies:
            assert movie.year is not None
            decades[movie.kind == "era"].append(movie.year // 10)
            if movie.kind == "era":
                assert movie.reason == f"A favourite of the {movie.year // 10}0s"
        everything = {(1930 + offset) // 10 for offset in range(90)}
        if len(everything - set(decades[False])) >= 2:
            assert not set(decades[True]) & set(decades[False])
        assert len(set(decades[True])) == 2

    @given(st.integers(1, 60), st.integers(0, 2**32))
    def test_any_count_is_met_without_repeats(self, count: int, seed: int) -> None:
        movies = suggest(serving(), count, seed)
        assert len({movie.movie_id for movie in movies}) == len(movies) == count
        kinds = Counter(movie.kind for movie in movies)
        assert kinds["popular"] == round(count / 3)
        assert kinds["era"] == round(count * 2 / 15)

    def test_the_order_is_shuffled_and_a_seed_repeats_it(self) -> None:
        same = [suggest(serving(), 15, 3) for _ in range(2)]
        assert same[0] == same[1]
        others = [suggest(serving(), 15, None) for _ in range(4)]
        assert len({tuple(movie.movie_id for movie in movies) for movies in others}) > 1
        kinds = {tuple(movie.kind for movie in suggest(serving(), 15, seed)) for seed in range(5)}
        assert len(kinds) > 1

    def test_a_small_catalogue_gives_what_it_has(self) -> None:
        few = {id_: catalogue_movie(id_) for id_ in (1, 2, 3)}
        movies = suggest(Serving(load(model_event("v1")), few, (), PARTITIONS), 15, 0)
        assert {movie.movie_id for movie in movies} == {1, 2, 3}

    def test_only_movies_that_can_be_rated_are_suggested(self) -> None:
        part = {id_: catalogue_movie(id_) for id_ in range(2, MOVIES, 2)}
        movies = suggest(Serving(load(model_event("v1")), part, (), PARTITIONS), 15, 0)
        assert len(movies) == 15
        assert all(movie.movie_id % 2 == 0 for movie in movies)

    async def test_without_a_model_trends_are_suggested(self, empty_world: World) -> None:
        world = empty_world
        assert (await world.client.get(SUGGESTED)).status_code == 503
        await world.store.put_movies(CATALOGUE.values())
        await world.watcher.refresh()
        await world.rate(1, 7, 8)
        await world.watcher.refresh()
        movies = (await world.client.get(SUGGESTED)).json()["movies"]
        assert {movie["movie_id"] for movie in movies} == {7, 8}

    @pytest.mark.parametrize("count", [0, 61, "many"])
    async def test_the_count_has_limits(self, world: World, count: Any) -> None:
        answer = await world.client.get(SUGGESTED, params={"count": count})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "query.count"


class TestRate:
    async def test_someone_new_gets_an_id_and_recommendations_from_their_ratings(
        self, world: World
    ) -> None:
        answer = await world.client.post(RATE, json={"ratings": FIVE, "limit": 4})
        assert answer.status_code == 201
        onboarded = Onboarded.model_validate_json(answer.content, strict=True)
        assert FIRST_NEW_USER <= onboarded.user_id <= MAX_ID
        assert {event.source for event in world.log.events} == {"onboarding"}
        assert {event.user_id for event in world.log.events} == {onboarded.user_id}
        found = onboarded.recommendations
        assert found.strategy == "two_tower"
        assert found.freshness.included is True
        assert found.freshness.last_event_position == onboarded.position
        assert sorted(movie.movie_id for movie in found.items) == [198, 199, 201, 202]
        assert (await world.get(onboarded.user_id, limit=4))["items"] == [
            movie.model_dump() for movie in found.items
        ]

    async def test_two_people_get_two_ids(self, world: World) -> None:
        answers = [await world.client.post(RATE, json={"ratings": FIVE}) for _ in range(2)]
        assert len({answer.json()["user_id"] for answer in answers}) == 2

    async def test_sent_again_it_is_the_same_person(self, world: World) -> None:
        headers = {"Idempotency-Key": "a"}
        answers = [
            await world.client.post(RATE, json={"ratings": FIVE}, headers=headers) for _ in range(2)
        ]
        assert answers[0].content == answers[1].content
        assert len(world.log.events) == 5

    async def test_a_key_used_for_ratings_is_another(self, world: World) -> None:
        headers = {"Idempotency-Key": "a"}
        await world.client.post(RATE, json={"ratings": FIVE}, headers=headers)
        rating = {"user_id": 42, "movie_id": 3, "rating": 4.5}
        answer = await world.client.post("/api/v1/ratings", json=rating, headers=headers)
        assert answer.status_code == 202

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"ratings": FIVE[:4]}, "body.ratings"),
            ({"ratings": [*FIVE[:4], FIVE[0]]}, "body.ratings"),
            ({"ratings": [*FIVE[:4], {"movie_id": 3, "rating": 7}]}, "body.ratings[4].rating"),
            ({"ratings": FIVE, "limit": 0}, "body.limit"),
            ({"ratings": FIVE, "user_id": 3}, "body.user_id"),
            ({}, "body.ratings"),
        ],
    )
    async def test_what_is_wrong_is_named(
        self, world: World, body: dict[str, Any], field: str
    ) -> None:
        answer = await world.client.post(RATE, json=body)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        assert world.log.events == []

    async def test_an_unknown_movie_is_named(self, world: World) -> None:
        body = {"ratings": [*FIVE[:4], {"movie_id": 9_001, "rating": 5.0}]}
        answer = await world.client.post(RATE, json=body)
        assert answer.status_code == 404
        assert answer.json()["errors"][0]["field"] == "body.ratings[4].movie_id"

    async def test_without_redis_nobody_is_taken_in(self, world: World) -> None:
        world.store.failing = True
        answer = await world.client.post(RATE, json={"ratings": FIVE})
        assert answer.status_code == 503
        assert world.log.events == []

    async def test_before_any_worker_started_nobody_is_taken_in(self, world: World) -> None:
        current = world.watcher.current
        world.watcher.current = Serving(current.model, current.catalogue)
        answer = await world.client.post(RATE, json={"ratings": FIVE})
        assert answer.status_code == 503


async def test_an_id_in_use_is_not_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([5, 6])
    monkeypatch.setattr("secrets.randbelow", lambda below: next(draws))
    store = Store()
    taken = FIRST_NEW_USER + 5

    async def read_user(partition: int, user_id: int) -> tuple[None, object]:
        return None, "a record" if user_id == taken else None

    monkeypatch.setattr(store, "read_user", read_user)
    assert await new_user_id(store, PARTITIONS) == FIRST_NEW_USER + 6
