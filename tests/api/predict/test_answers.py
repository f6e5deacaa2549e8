"""Predictions over the API: with the planted predictor every answer can be worked out by hand."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from api.lists.freshness import LogPosition
from api.predict import answers, waiting
from api.predict.predictor import predict
from stream.contracts.topics import partition_of
from tests.api.conftest import MOVIES, World, catalogue_movie
from tests.api.doubles import PARTITIONS
from tests.planted_ratings import ERROR, MEAN, RATINGS

USER, OTHER, STRANGER = 7, 10, 13
P_USER = partition_of(USER, PARTITIONS)
NOBODY_KNOWS = 999_999  # a movie
NOW = 1_700_000_000_000  # ms
MARGIN = 0.91 * ERROR  # of an interval of 90%: see `SIZES` there


async def ask(world: World, what: str, **body: Any) -> dict[str, Any]:
    answer = await world.client.post(f"/api/v1/predict/{what}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def rating(world: World, user: int, movie: int, **more: Any) -> dict[str, Any]:
    return await ask(world, "rating", user_id=user, movie_id=movie, **more)


def drawn(total: float, count: int) -> float:
    """A mean that begins from the prior."""
    return (total + RATINGS * MEAN) / (count + RATINGS)


async def test_a_prediction_by_hand(world: World) -> None:
    """Movie 1 has a 5 and a 2 of others. The user gave 4 to movie 2, which has only that."""
    await world.rate(OTHER, 1, stars=5.0)
    await world.rate(STRANGER, 1, stars=2.0)
    position = await world.rate(USER, 2, stars=4.0)
    await world.watcher.refresh()
    found = await rating(world, USER, 1)
    generosity = (4 - drawn(4, 1)) / (1 + RATINGS)
    expected = drawn(7, 2) + generosity
    prediction = found["prediction"]
    assert prediction["stars"] == pytest.approx(expected, abs=1e-4)
    assert prediction["low"] == pytest.approx(expected - MARGIN, abs=1e-4)
    assert prediction["high"] == pytest.approx(expected + MARGIN, abs=1e-4)
    assert prediction["basis"] == {
        "user": "ratings",
        "user_ratings": 1,
        "movie": "learnt",
        "movie_ratings": 2,
    }
    assert prediction["rated"] is None
    assert (found["coverage"], found["calibrated"], found["degraded"]) == (0.9, True, [])
    assert found["model_version"] == "v1"
    assert found["freshness"]["last_event_position"] == position


async def test_a_new_rating_counts_at_once(world: World) -> None:
    await world.rate(OTHER, 2, 3, stars=3.5)
    await world.watcher.refresh()
    before = (await rating(world, USER, 1))["prediction"]["stars"]
    await world.rate(USER, 2, stars=5.0)
    after = (await rating(world, USER, 1))["prediction"]["stars"]
    assert before == pytest.approx(MEAN)
    assert after == pytest.approx(MEAN + (5 - MEAN) / (1 + RATINGS), abs=1e-4)


async def test_what_they_rated_is_predicted_without_their_rating(world: World) -> None:
    await world.rate(OTHER, 1, stars=3.0)
    await world.rate(USER, 2, stars=4.0)
    await world.watcher.refresh()
    before = (await rating(world, USER, 1))["prediction"]
    await world.rate(USER, 1, stars=0.5)
    for looked in (False, True):  # also while the last look is older than the rating
        if looked:
            await world.watcher.refresh()
            after = (await rating(world, USER, 1))["prediction"]
            assert after["stars"] == pytest.approx(before["stars"], abs=1e-4)
            assert after["basis"]["movie_ratings"] == 2
        else:
            after = (await rating(world, USER, 1))["prediction"]
        assert after["rated"] == 0.5
        assert after["basis"]["user_ratings"] == 2


async def test_who_and_what_nobody_knows(world: World) -> None:
    found = (await rating(world, STRANGER, NOBODY_KNOWS))["prediction"]
    assert found["stars"] == MEAN
    assert found["basis"] == {
        "user": "new",
        "user_ratings": 0,
        "movie": "unknown",
        "movie_ratings": 0,
    }


async def test_a_movie_that_came_later_is_known_by_content_and_its_own_ratings(
    world: World,
) -> None:
    later = MOVIES + 5
    body = {"movie_id": later, "title": "Later", "genres": ["Drama"], "year": 1990}
    assert (await world.client.post("/api/v1/movies", json=body)).status_code == 202
    await world.watcher.refresh()
    await world.rate(OTHER, later, stars=5.0)
    await world.watcher.refresh()
    found = (await rating(world, STRANGER, later))["prediction"]
    assert found["stars"] == pytest.approx(drawn(5, 1), abs=1e-4)
    assert (found["basis"]["movie"], found["basis"]["movie_ratings"]) == ("content", 1)


async def test_a_batch_says_what_each_pair_does_alone(world: World) -> None:
    """In the order of the pairs; the same pair twice has the same answer."""
    await world.rate(OTHER, 1, 2, 3, stars=2.0)
    await world.rate(USER, 3, 4, stars=5.0)
    await world.watcher.refresh()
    pairs = [(USER, 1), (STRANGER, 1), (USER, 3), (OTHER, 4), (USER, 1), (OTHER, NOBODY_KNOWS)]
    body = [{"user_id": user, "movie_id": movie} for user, movie in pairs]
    found = await ask(world, "batch", pairs=body, coverage=0.8)
    alone = [(await rating(world, *pair, coverage=0.8))["prediction"] for pair in pairs]
    assert found["predictions"] == alone
    partitions = {partition_of(user, PARTITIONS) for user in (USER, OTHER)}
    assert {int(one.partition(":")[0]) for one in found["positions"]} == partitions


async def test_a_batch_of_long_histories_is_answered_in_portions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three and two ratings: four at a time, or one pair."""
    await world.rate(OTHER, 1, 2, 3, stars=2.0)
    await world.rate(USER, 3, 4, stars=5.0)
    await world.watcher.refresh()
    pairs = [(USER, 3), (USER, 4), (OTHER, 1), (STRANGER, 1), (OTHER, 2), (USER, 9)]
    body = [{"user_id": user, "movie_id": movie} for user, movie in pairs]
    whole = await ask(world, "batch", pairs=body, at=NOW)
    sizes = []

    def counted(serving: Any, states: Any, these: Any, *rest: Any) -> Any:
        sizes.append((len(these.of), sum(map(len, states))))
        return predict(serving, states, these, *rest)

    monkeypatch.setattr(answers, "predict", counted)
    monkeypatch.setattr(answers, "TOGETHER", 4)
    assert await ask(world, "batch", pairs=body, at=NOW) == whole
    assert sizes == [(2, 2), (2, 3), (1, 3), (1, 2)]


async def test_an_interval_is_as_wide_as_it_is_to_be_sure(world: World) -> None:
    widths = []
    for coverage in (0.5, 0.9, 0.99):
        found = (await rating(world, USER, 1, coverage=coverage))["prediction"]
        widths.append(found["high"] - found["low"])
    assert widths == sorted(widths)
    assert widths[0] == pytest.approx(2 * 0.51 * ERROR, abs=1e-3)


async def test_without_a_model_live_means_answer(empty_world: World) -> None:
    """Movie 1 has 5 and 4, movie 2 has 3: 4 stars on average, with a variance of 2/3."""
    world = empty_world
    await world.store.put_movies(catalogue_movie(movie) for movie in (1, 2))
    await world.watcher.refresh()
    answer = await world.client.post(
        "/api/v1/predict/rating", json={"user_id": USER, "movie_id": 1}
    )
    assert answer.status_code == 503
    assert "nothing to predict from" in answer.json()["detail"]

    await world.rate(OTHER, 1, stars=5.0)
    await world.rate(STRANGER, 1, stars=4.0)
    await world.rate(OTHER, 2, stars=3.0)
    await world.watcher.refresh()
    found = await rating(world, USER, 1)
    mean = (9 + 5 * 4) / (2 + 5)
    deviation = (((5 - mean) ** 2 + (4 - mean) ** 2 + 5 * 2 / 3) / 7) ** 0.5
    prediction = found["prediction"]
    assert prediction["stars"] == pytest.approx(mean, abs=1e-4)
    assert prediction["low"] == pytest.approx(mean - 1.6449 * deviation, abs=1e-3)
    assert prediction["high"] == 5
    assert found["degraded"] == ["model_unavailable"]
    assert (found["calibrated"], found["model_version"]) == (False, None)
    assert prediction["basis"]["movie"] == "content"

    generous = await rating(world, OTHER, 2)  # without their 3, what is left is 5 for movie 1
    assert generous["prediction"]["stars"] == pytest.approx(4 + (5 - mean) / (1 + 5), abs=1e-4)
    sensitivity = await ask(world, "sensitivity", user_id=USER, movie_id=1)
    assert (sensitivity["features"], sensitivity["ratings"]) == ([], [])


async def test_where_the_model_fails_live_means_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rate(OTHER, 1, stars=5.0)
    await world.rate(STRANGER, 1, stars=4.0)
    await world.watcher.refresh()
    model = world.watcher.current.model
    assert model is not None
    broken = Mock(side_effect=RuntimeError("told to fail"))
    monkeypatch.setattr(type(model.artifact.predictor), "predict", broken)
    answered = [
        await rating(world, USER, 1),
        await ask(world, "sensitivity", **PAIR),
        await ask(world, "batch", pairs=[PAIR]),
    ]
    for found in answered:
        assert found["degraded"] == ["model_unavailable"]
        assert (found["calibrated"], found["model_version"]) == (False, None)
    one, moved, batch = answered
    assert one["prediction"]["stars"] == 4.5
    assert one["prediction"] == moved["prediction"] == batch["predictions"][0]
    assert (moved["features"], moved["ratings"]) == ([], [])


async def test_a_model_that_fails_for_a_portion_of_a_batch_is_not_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rate(OTHER, 1, stars=5.0)
    await world.watcher.refresh()
    model = world.watcher.current.model
    assert model is not None
    works, calls = type(model.artifact.predictor).predict, []

    def first_fails(*asked: Any) -> Any:
        calls.append(asked)
        if len(calls) == 1:
            raise RuntimeError("told to fail")
        return works(*asked)

    monkeypatch.setattr(type(model.artifact.predictor), "predict", first_fails)
    monkeypatch.setattr(answers, "TOGETHER", 1)
    pairs = [{"user_id": OTHER, "movie_id": movie} for movie in (2, 3)]
    found = await ask(world, "batch", pairs=pairs)
    assert len(calls) == 2
    assert (found["degraded"], found["model_version"]) == (["model_unavailable"], None)


async def test_without_state_the_movie_alone_answers(world: World) -> None:
    await world.rate(OTHER, 1, stars=5.0)
    await world.watcher.refresh()
    world.store.failing = True
    found = await rating(world, OTHER, 1)
    assert found["degraded"] == ["state_unavailable"]
    assert found["prediction"]["basis"]["user"] == "unavailable"
    assert found["prediction"]["stars"] == pytest.approx(drawn(5, 1), abs=1e-4)
    assert found["freshness"]["position"] is None
    batch = await ask(world, "batch", pairs=[{"user_id": OTHER, "movie_id": 1}])
    assert batch["predictions"] == [found["prediction"]]
    assert batch["positions"] == []


async def test_it_waits_until_what_was_just_rated_counts(world: World) -> None:
    await world.rate(OTHER, 2, 3, stars=3.5)
    await world.watcher.refresh()
    world.log.lag = True
    first, last = await world.rate(USER, 2, stars=5.0), await world.rate(OTHER, 1, stars=2.0)
    pairs = [{"user_id": user, "movie_id": 1} for user in (USER, STRANGER, OTHER)]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("rating", {**pairs[0], "after": first}),
        ("sensitivity", {**pairs[0], "after": first}),
        ("batch", {"pairs": pairs, "after": [last, first]}),
    ]
    for what, body in asked:  # they do not come
        found = await ask(world, what, **body, wait_ms=0)
        assert found.get("freshness", found)["included"] is False
    asking = [asyncio.create_task(ask(world, what, **body, wait_ms=10_000)) for what, body in asked]
    done, _ = await asyncio.wait(asking, timeout=0.05)
    assert not done
    await world.log.apply()
    expected = pytest.approx(MEAN + (5 - MEAN) / (1 + RATINGS), abs=1e-4)
    alone, moved, batch = [await task for task in asking]
    for found in (alone, moved):
        assert found["freshness"]["included"] is True
        assert found["prediction"]["stars"] == expected
    assert batch["included"] is True
    assert batch["predictions"][0]["stars"] == expected
    assert batch["predictions"][2]["rated"] == 2.0


async def test_of_each_partition_the_last_event_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []

    async def noted(_: Any, position: LogPosition, wait_ms: int) -> bool:
        waited.append(position)
        assert wait_ms <= 500
        return True

    monkeypatch.setattr(waiting, "wait_for", noted)
    other = next(user for user in range(1, 99) if partition_of(user, PARTITIONS) != P_USER)
    p_other = partition_of(other, PARTITIONS)
    pairs = [PAIR, {"user_id": other, "movie_id": 1}]
    after = [f"{P_USER}:7", f"{p_other}:10", f"{P_USER}:12", f"{P_USER}:9"]
    await ask(world, "batch", pairs=pairs, after=after, wait_ms=500)
    assert sorted(waited) == sorted([(P_USER, 12), (p_other, 10)])


async def test_without_after_nothing_is_said_of_it(world: World) -> None:
    assert (await rating(world, USER, 1))["freshness"]["included"] is None
    assert (await ask(world, "batch", pairs=[PAIR]))["included"] is None
    world.store.failing = True
    found = await rating(world, USER, 1, after=f"{P_USER}:0")
    assert found["freshness"]["included"] is False
    assert found["degraded"] == ["state_unavailable"]
    batch = await ask(world, "batch", pairs=[PAIR], after=[f"{P_USER}:0"])
    assert (batch["included"], batch["degraded"]) == (False, ["state_unavailable"])


PAIR = {"user_id": USER, "movie_id": 1}


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        ("rating", {**PAIR, "user_id": 2**64}, "body.user_id"),
        ("rating", {**PAIR, "user_id": -(2**70)}, "body.user_id"),
        ("rating", {**PAIR, "movie_id": 2**32}, "body.movie_id"),
        ("rating", {**PAIR, "coverage": 1.0}, "body.coverage"),
        ("rating", {**PAIR, "at": -1}, "body.at"),
        ("rating", {**PAIR, "at": 10**30}, "body.at"),
        ("rating", {**PAIR, "stars": 5}, "body.stars"),
        ("rating", {**PAIR, "after": "x"}, "body.after"),
        ("rating", {**PAIR, "after": f"{P_USER + 1}:0"}, "body.after"),
        ("rating", {**PAIR, "wait_ms": 10_001}, "body.wait_ms"),
        ("sensitivity", {**PAIR, "after": f"{P_USER + 1}:0"}, "body.after"),
        ("sensitivity", {"user_id": USER}, "body.movie_id"),
        ("batch", {"pairs": [PAIR], "after": "0:1"}, "body.after"),
        ("batch", {"pairs": [PAIR], "after": [f"{P_USER}:0", "9:9"]}, "body.after[1]"),
        ("batch", {"pairs": []}, "body.pairs"),
        ("batch", {"pairs": [PAIR] * 1_001}, "body.pairs"),
        ("batch", {"pairs": [PAIR, {**PAIR, "movie_id": "1"}]}, "body.pairs[1].movie_id"),
    ],
)
async def test_bad_questions(world: World, what: str, body: dict[str, Any], field: str) -> None:
    answer = await world.client.post(f"/api/v1/predict/{what}", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_full_batch_of_duplicates(world: World) -> None:
    found = await ask(world, "batch", pairs=[PAIR] * 1_000)
    assert len(found["predictions"]) == 1_000
    assert all(one == found["predictions"][0] for one in found["predictions"])
