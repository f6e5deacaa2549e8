"""A rating posted through REST is in the next recommendation."""

from tests.planted_model import BY_ID, CATALOGUE
from tests.system import System
from training.index import collection_name


def test_a_rating_is_in_the_next_recommendation(system: System) -> None:
    user = system.user()
    answer = system.recommend(user)
    assert answer["strategy"] == "trending"
    assert answer["freshness"]["included"] is None
    assert answer["freshness"]["last_event_position"] is None

    learnt, rated = {movie.movie_id for movie in CATALOGUE}, set()
    for _ in range(6):
        # What is trending may be too new for the model.
        movie = next(it["movie_id"] for it in answer["items"] if it["movie_id"] in learnt)
        position = system.rate(user, (movie, 4.5))
        answer = system.recommend_after(user, position)
        rated.add(movie)

        assert answer["strategy"] == "two_tower"
        assert answer["degraded"] == []
        assert len(answer["items"]) == 10
        assert rated.isdisjoint(item["movie_id"] for item in answer["items"])
        sources = {item["source"] for item in answer["items"]}
        assert {"two_tower"} <= sources <= {"two_tower", "similar", "trending", "new"}
        assert answer["model_version"] == "genre"
        assert answer["index"] == collection_name("genre")
        freshness = answer["freshness"]
        assert freshness["last_event_position"] == position
        assert offset(freshness["position"]) >= offset(position)
        assert freshness["age_ms"] >= 0
        assert freshness["last_event_time"] == freshness["last_produced_time"]


def offset(position: str) -> int:
    return int(position.split(":")[1])


def test_recommendations_turn_with_the_latest_ratings(system: System) -> None:
    user = system.user()
    for genre in ("Western", "Romance", "Horror"):
        loved = [movie.movie_id for movie in CATALOGUE if movie.genre == genre][:6]
        position = system.rate(user, *((movie, 5.0) for movie in loved))
        items = system.recommend_after(user, position)["items"]
        assert {BY_ID[item["movie_id"]].genre for item in items} == {genre}


def test_items_are_the_catalogues(system: System) -> None:
    user, _ = system.fan()
    for item in system.recommend(user, limit=20)["items"]:
        movie = BY_ID[item["movie_id"]]
        assert (item["title"], item["genres"], item["year"]) == (
            movie.title,
            [movie.genre],
            movie.year,
        )


def test_an_event_that_is_not_there_yet_is_not_claimed(system: System) -> None:
    user = system.user()
    partition, last = system.rate(user, (CATALOGUE[0].movie_id, 3.0)).split(":")
    future = f"{partition}:{int(last) + 1_000_000}"
    answer = system.recommend(user, after=future, wait_ms=1)
    assert answer["freshness"]["included"] is False


def test_a_batch_of_several_people(system: System) -> None:
    users = system.users(3)
    movie = CATALOGUE[0].movie_id
    body = [{"user_id": user, "movie_id": movie, "rating": 3.5} for user in users]
    positions = system.api.post("/api/v1/ratings", json=body).json()["positions"]
    for user in users:
        answer = system.recommend_after(user, positions[str(user)])
        assert answer["freshness"]["last_event_position"] == positions[str(user)]


def test_a_repeated_request_is_one_event(system: System) -> None:
    user = system.user()
    movie, other = CATALOGUE[0].movie_id, CATALOGUE[1].movie_id
    first = system.post(user, (movie, 4.0), key=f"once-{user}")
    again = system.post(user, (movie, 4.0), key=f"once-{user}")
    assert (first.status_code, first.json()) == (202, again.json())
    assert system.post(user, (movie, 2.0), key=f"once-{user}").status_code == 422

    system.recommend_after(user, system.rate(user, (other, 4.0)))
    assert system.applied([user]) == {user: 2}


def test_an_unknown_movie_is_refused_and_nothing_published(system: System) -> None:
    user = system.user()
    known = CATALOGUE[0].movie_id
    answer = system.post(user, (known, 4.0), (4_000_000_000, 4.0))
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["field"] == "body[1].movie_id"

    system.recommend_after(user, system.rate(user, (known, 4.0)))
    assert system.applied([user]) == {user: 1}
