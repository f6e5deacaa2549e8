from pathlib import Path

import numpy as np
import pytest

from stream.contracts.errors import ArtifactError
from tests.planted_model import CATALOGUE, Trait
from tests.stream.build import folded, rating
from tests.training.build import DAY, START, tables
from training.dataset import Ratings
from training.histories import Histories
from training.prequential import Questions, ask
from training.recommender import recommend
from training.served import Served
from training.tower_inputs import Ints

KNOWN = [movie.movie_id for movie in CATALOGUE]  # the first one is the most rated, and so on
NEW = 5_000  # came after the model
NOBODY = 9_999

HOT = [
    (user, movie, 4.0, user)
    for movie, number in ((NEW, 9), (KNOWN[50], 8))
    for user in range(number)
]
PEOPLE = {
    601: [(KNOWN[7], 5.0)],  # pooled
    602: [(KNOWN[7], 5.0), (KNOWN[9], 1.0), (KNOWN[7], 2.0), (NEW, 4.0)],  # three, one unknown
    603: [*((movie, 4.5) for movie in KNOWN[20:24]), (NEW, 3.0)],  # the tower
    604: [(NEW, 5.0)],  # nothing that the model knows
}
LATER = [*((700 + user, KNOWN[60], 1.0, 9 * DAY + user) for user in range(12))]


def log_of(events: list[tuple[int, int, float, int]]) -> Ratings:
    return Ratings.from_tables(*tables(events, [*KNOWN, NEW]))


LOG = log_of(
    HOT
    + [
        (user, movie, stars, DAY + place)
        for user, rated in PEOPLE.items()
        for place, (movie, stars) in enumerate(rated)
    ]
)


@pytest.fixture
def model(models: dict[Trait, Path]) -> Served:
    model = Served(models["genre"], tower_ratings=5, trending=2, popular=20)
    model.fit(LOG)
    return model


def users(*ids: int) -> Histories:
    return Histories.of_users(LOG, np.array(ids))


def movies(lists: Ints) -> list[list[int]]:
    return [[LOG.movies[row].movie_id for row in rows if row >= 0] for rows in lists]


def test_someone_new_gets_trends_then_what_is_popular(model: Served) -> None:
    [found] = movies(recommend(model, users(NOBODY), 30))
    assert found == [NEW, KNOWN[50], *KNOWN[:20]]


def test_who_rated_nothing_that_the_model_knows_gets_them_too(model: Served) -> None:
    [found] = movies(recommend(model, users(604), 30))
    assert found == [KNOWN[50], *KNOWN[:20]]


@pytest.mark.parametrize("user", [601, 602, 603])
def test_scores_are_those_of_serving(user: int, model: Served) -> None:
    state = folded(
        rating(user, movie, stars, START + DAY + place)
        for place, (movie, stars) in enumerate(PEOPLE[user])
    ).users[user]
    if user == 603:
        [vector] = model.artifact.user_vectors([state])
    else:
        [pooled] = model.artifact.items.pool([state])
        assert pooled is not None
        vector = pooled.vector.astype(np.float32)
    [scores] = model.score(users(user))
    by_movie = dict(zip([movie.movie_id for movie in LOG.movies], scores, strict=True))
    items = model.artifact.items
    for movie_id, expected in zip(items.movie_ids, items.vectors @ vector, strict=True):
        assert by_movie[int(movie_id)] == pytest.approx(expected, abs=1e-6)
    assert by_movie[NEW] == -np.inf


def test_many_at_once_are_as_one_at_a_time(model: Served) -> None:
    histories = users(601, NOBODY, 603, 602, 1, 604, 2)
    together = model.score(histories)
    for index in range(len(histories)):
        alone = model.score(histories[index : index + 1])
        np.testing.assert_allclose(together[[index]], alone, atol=1e-6)


def test_trends_follow_what_is_observed(model: Served) -> None:
    questions = Questions.of(log_of([*HOT, *LATER]), START + 5 * DAY, relevant_from=1)
    model.fit(questions.known)
    # Nine days later nine ratings count as 7.3, eight as 6.5, and two movies are trending.
    fresh = ask(model, questions, "fresh").tolist()
    assert fresh[7:] == [2, 1, 1, 1, 1]
    frozen = ask(model, questions, "frozen").tolist()
    assert frozen == [frozen[0]] * len(LATER)
    assert fresh[:7] == frozen[:7]
    assert frozen[0] > 22


def test_heat_is_that_of_the_stream(model: Served) -> None:
    events = [rating(user, movie, stars, START + time) for user, movie, stars, time in HOT]
    states = folded(events).movies
    model.fit(log_of(HOT))
    for movie, heat in zip(LOG.movies, model.heats, strict=True):
        if movie.movie_id in states:
            assert heat == pytest.approx(states[movie.movie_id].heat, abs=1e-12)
        else:
            assert heat == -np.inf


def test_an_artifact_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="train again"):
        Served(tmp_path, 5, 2, 20).fit(LOG)
