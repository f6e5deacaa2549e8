"""Someone new: suggestions, first ratings, and from then on a user like any other."""

from collections import Counter

from tests.planted_model import BY_ID
from tests.system import System


def test_someone_new(system: System) -> None:
    suggested = system.api.get("/api/v1/onboarding/suggested-movies").json()["movies"]
    assert Counter(movie["kind"] for movie in suggested) == {"popular": 5, "genre": 8, "era": 2}
    assert len({movie["movie_id"] for movie in suggested}) == 15
    assert all(movie["reason"] for movie in suggested)

    loved = suggested[0]["genres"]
    ratings = [
        {"movie_id": movie["movie_id"], "rating": 5.0 if movie["genres"] == loved else 1.0}
        for movie in sorted(suggested, key=lambda movie: movie["genres"] == loved)  # and last
    ]
    answer = system.api.post("/api/v1/onboarding/rate", json={"ratings": ratings})
    assert answer.status_code == 201
    newcomer = answer.json()
    assert 0 < newcomer["profile_strength"] <= 1
    first = newcomer["recommendations"]
    assert first["strategy"] == "two_tower"
    assert first["freshness"]["included"] is True
    assert {BY_ID[item["movie_id"]].genre for item in first["items"]} == set(loved)

    later = system.recommend(newcomer["user_id"])
    assert later["items"] == first["items"]
    rated = {rating["movie_id"] for rating in ratings}
    assert rated.isdisjoint(item["movie_id"] for item in later["items"])
    system.assert_applied({newcomer["user_id"]: 15})
