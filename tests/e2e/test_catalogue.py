"""A movie that the catalogue does not know yet: kept in the state, and used once it is known."""

import time
from typing import Any

from stream.contracts.events import encode
from tests.planted_model import Movie
from tests.system import Outgoing, System, eventually, rating


def test_a_movie_that_is_rated_before_it_is_known(system: System) -> None:
    newest = system.user()  # an id nobody has is as good for a movie
    movie = Movie(1_000_000 + newest, "Late Arrival", "Drama", 2005)
    before = system.metric("freshet_unknown_movies_total")
    fans = system.users(80)
    now = int(time.time() * 1000)
    events = [rating(user, movie.movie_id, 5.0, now) for user in fans]
    system.produce(
        system.topics.ratings,
        *(Outgoing(b"%d" % event.user_id, encode(event)) for event in events),
    )

    system.assert_applied(dict.fromkeys(fans, 1))
    records = system.records(fans)
    assert {int(it.state.movie_ids()[0]) for it in records.values()} == {movie.movie_id}
    assert system.metric("freshet_unknown_movies_total") == before + len(fans)
    stranger = system.user()
    assert system.post(stranger, (movie.movie_id, 4.0)).status_code == 404
    assert movie.movie_id not in trending(system, stranger)

    system.publish_movies([movie])

    eventually(lambda: movie.movie_id in trending(system, stranger))
    position = system.rate(stranger, (movie.movie_id, 4.0))
    system.recommend_after(stranger, position)


def test_a_movie_is_recommended_before_anybody_rated_it(system: System) -> None:
    """By its content, by the model that is served and from the first answer of the next one on."""
    fan, _ = system.fan()
    movie = Movie(2_000_000 + system.user(), "First Night", "Horror", 1974)

    system.add_movie(movie)

    eventually(lambda: movie.movie_id in recommended(system, fan))
    try:
        system.promote("decade")
        answer = eventually(
            lambda: system.recommend(fan, limit=100),
            lambda answer: answer["model_version"] == "decade",
        )
        assert movie.movie_id in [item["movie_id"] for item in answer["items"]]
    finally:
        system.promote("genre")
        eventually(lambda: system.recommend(fan)["model_version"], "genre".__eq__)
    position = system.rate(fan, (movie.movie_id, 4.5))
    answer = system.recommend_after(fan, position, limit=100)
    assert movie.movie_id not in [item["movie_id"] for item in answer["items"]]


def test_a_movie_is_in_the_list_of_who_asks_for_its_tag(system: System) -> None:
    """Said by whoever added it, and through log and state to another request."""
    movie = Movie(3_000_000 + system.user(), "Slow Burn", "Drama", 1991)
    tag = f"heist {movie.movie_id}"

    system.add_movie(movie, "slow", tag.title())

    found = eventually(lambda: taste(system, tag), lambda found: not found["ignored"])
    assert movie.movie_id in [item["movie_id"] for item in found["items"] if item["stated"] == 5]
    assert system.api.get(f"/api/v1/movies/{movie.movie_id}").json()["tags"] == [
        "slow",
        tag.title(),
    ]


def taste(system: System, tag: str) -> dict[str, Any]:
    answer = system.api.post("/api/v1/recommendations/taste-profile", json={"tags": {tag: 1.0}})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def recommended(system: System, user: int) -> list[int]:
    return [item["movie_id"] for item in system.recommend(user, limit=100)["items"]]


def trending(system: System, stranger: int) -> list[int]:
    return [item["movie_id"] for item in system.recommend(stranger, limit=100)["items"]]
