"""What moved a movie up: by really leaving it out, and told in words that name it."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from api import metrics
from api.lists.explain import LATEST, MEANINGS, evidence, of_everybody, strongest
from api.lists.explained import explanations
from api.lists.scoring import features_of
from api.schemas.explanations import Explanation
from api.schemas.recommendations import Source
from api.serving.live import LiveHeats, LiveMovies
from api.serving.watcher import Serving
from stream.features import UserState
from stream.left_out import keeping
from tests.api.conftest import MOVIES, World, catalogue_movie, load, model_event
from tests.api.doubles import PARTITIONS
from training.ranker import amounts
from training.ranking import Links
from training.standing import standing_of

MODEL = load(model_event("v1"))
REPERTOIRE = MODEL.repertoire
LIVE = LiveHeats().movies(REPERTOIRE.items)
HOT = 300


def hot(*rows: int) -> LiveMovies:
    """The movies with heat in these rows alone."""
    heat = np.zeros(MOVIES, np.float32)
    heat[list(rows)] = 1
    return replace(LIVE, features=dict.fromkeys(LIVE.features, heat))


def state_of(movies: Sequence[int], half_stars: int = 10) -> UserState:
    return UserState(
        np.array(movies, "<u4").tobytes(),
        bytes(4 * len(movies)),
        bytes([half_stars] * len(movies)),
        events=len(movies),
    )


def utilities(state: UserState, rows: np.ndarray) -> np.ndarray:
    features = features_of(MODEL.artifact, REPERTOIRE, LIVE, [state], rows)
    return MODEL.artifact.ranking.utilities(features)[0]


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, MOVIES), min_size=2, max_size=12, unique=True),
    st.lists(st.integers(0, MOVIES - 1), min_size=1, max_size=5),
)
def test_a_contribution_is_what_the_utility_lacks_without_the_rating(
    movies: list[int], listed: list[int]
) -> None:
    state, rows = state_of(movies), np.array(listed)
    found = evidence(MODEL.artifact, REPERTOIRE, LIVE, state, rows, {})
    for at, contributions in zip(found.rated, found.ratings, strict=True):
        without = state_of(movies[:at] + movies[at + 1 :])
        lacking = utilities(state, rows) - utilities(without, rows)
        assert contributions == pytest.approx(lacking, abs=1e-3)


def test_a_whole_genre_is_left_out_together() -> None:
    state, rows = state_of([7, 8, 9]), np.array([7, 8])
    both = np.array([True, False, True])
    found = evidence(MODEL.artifact, REPERTOIRE, LIVE, state, rows, {"Drama": both})
    expected = utilities(state, rows) - utilities(state_of([8]), rows)
    assert found.genres["Drama"] == pytest.approx(expected, abs=1e-3)
    assert found.of_genre == {"Drama": 2}


def test_the_only_rating_is_not_left_out() -> None:
    found = evidence(MODEL.artifact, REPERTOIRE, LIVE, state_of([7]), np.array([7]), {})
    assert found.ratings.tolist() == [[0]]


def test_only_the_latest_ratings_are_left_out() -> None:
    state = state_of(range(1, LATEST + 11))
    found = evidence(MODEL.artifact, REPERTOIRE, LIVE, state, np.array([0]), {})
    assert found.rated.tolist() == list(range(10, LATEST + 10))


def test_a_feature_counts_beside_what_is_typical() -> None:
    """One movie of 400 is hot, so a typical heat is 1/400 of its."""
    found = evidence(MODEL.artifact, REPERTOIRE, hot(HOT), state_of([7]), np.array([HOT, 1]), {})
    weight = MODEL.artifact.ranking.weights["heat_30"][0]
    assert found.features["heat_30"] == pytest.approx(
        [weight * (1 - 1 / MOVIES), -weight / MOVIES], rel=1e-3
    )


def test_what_a_movie_has_less_of_is_no_reason() -> None:
    """A negative weight makes what is not hot better, but nobody has rated it for that."""
    weights = {"heat_30": np.array([-2, 0, 0], np.float32)}
    found = of_everybody(weights, hot(HOT), np.array([HOT, 1]))
    assert found["heat_30"] == pytest.approx([-2 * (1 - 1 / MOVIES), 0])


def test_the_strongest_come_first_and_nothing_that_adds_nothing() -> None:
    assert strongest([0.1, -1, 0.3, 0.1, 0], 3) == [2, 0, 3]
    assert strongest([0, -1], 3) == []


@given(st.lists(st.booleans(), min_size=3, max_size=3))
def test_what_is_left_out_leaves_the_rest_in_order(kept: list[bool]) -> None:
    state = state_of([5, 3, 9])
    found = keeping(state, np.array(kept))
    assert found.movie_ids().tolist() == [
        id_ for id_, stays in zip([5, 3, 9], kept, strict=True) if stays
    ]
    assert len(found) == sum(kept)
    assert state == state_of([5, 3, 9])


@pytest.mark.parametrize("at_once", [1, 2, 9])  # people
@pytest.mark.parametrize("scaled", [False, True])
def test_scores_of_some_movies_are_those_of_all(
    monkeypatch: pytest.MonkeyPatch, scaled: bool, at_once: int
) -> None:
    monkeypatch.setattr("training.ranking._ELEMENTS", at_once * (MOVIES + 1))
    chance = np.random.default_rng(3)
    matrix = sparse.random_array((MOVIES, MOVIES), density=0.05, rng=chance, dtype=np.float32)
    links = Links(matrix.tocsr(), 0.8, 4, scaled)
    people = [state_of(chance.permutation(MOVIES)[:size] + 1) for size in (1, 7, 30)]
    standing = standing_of(people, REPERTOIRE.items.rows)
    rows = np.array([3, 399, 400, 17])  # 400 came later
    expected = links.scores(standing, later=1)[:, rows]
    assert links.scores_at(standing, rows) == pytest.approx(expected, abs=1e-5)


class TestWords:
    serving = Serving(
        MODEL,
        {id_: catalogue_movie(id_) for id_ in range(1, MOVIES + 1)},
        live=hot(HOT),
        partitions=PARTITIONS,
        repertoire=REPERTOIRE,
    )

    def test_the_sentence_names_what_moved_it_up(self) -> None:
        """The planted user vector is that of the movie rated last."""
        [near] = explanations(self.serving, state_of([10, 200]), "two_tower", [(201, "two_tower")])
        assert near.sentence.startswith("Because you rated Movie 200 5 stars")
        assert near.ratings[0].movie_id == 200
        assert near.ratings[0].contribution > 0

    @pytest.mark.parametrize("source", ["trending", "two_tower"])
    def test_what_everybody_rates_is_told_of_what_is_hot_alone(self, source: Source) -> None:
        """Heats of the last year propose movies as trending too."""
        listed = [(HOT + 1, source), (11, source)]
        hot, cold = explanations(self.serving, state_of([10, 300]), "two_tower", listed)
        assert MEANINGS["heat_30"] in hot.sentence
        assert "heat_30" in {one.feature for one in hot.features}
        assert MEANINGS["heat_30"] not in cold.sentence
        assert "heat_30" not in {one.feature for one in cold.features}

    def test_of_what_is_the_same_for_everybody_no_rating_is_a_reason(self) -> None:
        listed: list[tuple[int, Source]] = [
            (HOT + 1, "trending"),
            (11, "trending"),
            (12, "popular"),
        ]
        told = explanations(self.serving, state_of([10, 300]), "trending", listed)
        assert explanations(self.serving, UserState(), "trending", listed) == told
        hot, cold, popular = told
        weights = MODEL.artifact.ranking.newcomers["heat_30"]
        added = amounts(weights, np.float32([1, 0]))
        assert [(one.feature, one.contribution) for one in hot.features] == [
            ("heat_30", pytest.approx(added[0] - (added[0] + (MOVIES - 1) * added[1]) / MOVIES))
        ]
        assert hot.sentence == "Because many people have rated it in the last weeks."
        assert cold.sentence.startswith("It is among what is rated most of late")
        assert popular.sentence.startswith("It is among what most people have rated")
        assert cold.features == popular.features == hot.ratings == []

    def test_one_star_is_one(self) -> None:
        [near] = explanations(
            self.serving, state_of([10, 200], 2), "two_tower", [(201, "two_tower")]
        )
        assert "Movie 200 1 star" in near.sentence
        assert "1 stars" not in near.sentence

    def test_genres_are_looked_at_from_fifty_ratings_on(self) -> None:
        movies = list(range(2, 52))
        [few] = explanations(self.serving, state_of(movies[1:]), "two_tower", [(56, "two_tower")])
        [many] = explanations(self.serving, state_of(movies), "two_tower", [(56, "two_tower")])
        assert few.genres == []
        [genre] = catalogue_movie(51).genres  # without it the last one is 50, farther away
        assert [(one.genre, one.ratings) for one in many.genres] == [(genre, 6)]
        assert f"you have rated 6 movies of {genre}" in many.sentence

    def test_without_a_model_the_source_is_the_reason(self) -> None:
        serving = replace(self.serving, model=None, repertoire=None)
        [one] = explanations(serving, state_of([1]), "popular", [(2, "popular")])
        assert one.sentence.startswith("It is among what most people have rated")
        assert one.ratings == one.features == one.genres == []


class TestAnswers:
    async def test_others_are_answered_meanwhile(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        where = []

        def told(*args: object) -> list[Explanation]:
            where.append(threading.get_ident())
            return explanations(*args)  # type: ignore[arg-type]

        monkeypatch.setattr("api.lists.recommender.explanations", told)
        await world.rate(42, 10, 200)
        await world.get(42, limit=3, explain=True)
        [thread] = where
        assert thread != threading.get_ident()

    async def test_reasons_come_where_they_are_asked_for(self, world: World) -> None:
        await world.rate(42, 10, 200)
        plain = await world.get(42, limit=3)
        told = await world.get(42, limit=3, explain=True)
        assert [item["explanation"] for item in plain["items"]] == [None] * 3
        assert [item["movie_id"] for item in told["items"]] == [
            item["movie_id"] for item in plain["items"]
        ]
        for item in told["items"]:
            assert "Movie 200" in item["explanation"]["sentence"]

    async def test_every_answer_says_how_much_there_is_to_go_on(self, world: World) -> None:
        assert (await world.get(42))["profile"]["stage"] == "new"
        await world.rate(42, 1, 2, 3)
        profile = (await world.get(42))["profile"]
        assert (profile["stage"], profile["ratings"]) == ("learning", 3)

    async def test_reasons_that_cannot_be_found_cost_no_list(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.rate(42, 10, 200)
        model = world.watcher.current.model
        assert model is not None
        monkeypatch.setattr(model.artifact, "user_vectors", _fail)
        counted = metrics.DEGRADED.labels("explanation_unavailable")._value
        before = counted.get()
        body = await world.get(42, limit=3, explain=True, use_cache=False)
        assert "explanation_unavailable" in body["degraded"]
        assert counted.get() == before + 1
        assert len(body["items"]) == 3


def _fail(*_: object) -> None:
    raise RuntimeError("told to fail")
