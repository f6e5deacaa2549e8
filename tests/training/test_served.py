import copy
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from api.lists.retrieval import retrieve
from api.lists.wanted import Wanted
from api.serving.live import LiveHeats
from api.serving.loading import model_loader
from api.serving.watcher import Serving
from stream.contracts.errors import ArtifactError
from stream.contracts.keys import Position
from stream.features import Writes
from stream.records import UserRecord
from stream.store import Batch
from tests.api.serving.test_loading import promotion
from tests.fakes import MemoryStore
from tests.planted_model import CATALOGUE, Trait
from tests.stream.build import folded, rating
from tests.suites.state_store import movie_event
from tests.training.build import DAY, START, tables
from training.dataset import Ratings
from training.histories import Histories
from training.prequential import Questions, ask
from training.recommender import recommend
from training.served import Served
from training.tower_inputs import Ints

KNOWN = [movie.movie_id for movie in CATALOGUE]  # the first one is the most rated, and so on
NEW = 5_000  # came after the model, a Western
# Came after it too, and nobody has rated them. No two have the same genre and year.
LATEST = [movie for movie in range(5_001, 5_031) if movie % 5]
NOBODY = 9_999

HOT = [
    (user, movie, 4.0, user)
    for movie, number in ((NEW, 9), (KNOWN[50], 8))
    for user in range(number)
]
PEOPLE = {
    601: [(KNOWN[7], 5.0)],
    602: [(KNOWN[7], 5.0), (KNOWN[9], 1.0), (KNOWN[7], 2.0), (NEW, 4.0)],  # three, one unknown
    603: [*((movie, 4.5) for movie in KNOWN[20:24]), (NEW, 3.0)],
    604: [(NEW, 5.0)],  # nothing that the model knows
    605: [(KNOWN[5], 5.0)],  # a Western
    606: [(KNOWN[5], 5.0), (NEW, 3.0)],  # two
    607: [(KNOWN[3], 5.0)],  # a Musical, which no later movie is
}
LATER = [*((700 + user, KNOWN[60], 1.0, 9 * DAY + user) for user in range(12))]


def log_of(events: list[tuple[int, int, float, int]]) -> Ratings:
    return Ratings.from_tables(*tables(events, [*KNOWN, NEW, *LATEST]))


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
    model = Served(models["genre"], trending=2, popular=20, longest=100)
    model.fit(LOG)
    return model


def users(*ids: int) -> Histories:
    return Histories.of_users(LOG, np.array(ids))


def row_of(model: Served, movie_id: int) -> int:
    return int(model.repertoire.items.rows(np.array([movie_id], np.uint32))[0])


def movies(lists: Ints) -> list[list[int]]:
    return [[LOG.movies[row].movie_id for row in rows if row >= 0] for rows in lists]


def test_someone_new_gets_trends_then_what_is_popular(model: Served) -> None:
    [found] = movies(recommend(model, users(NOBODY), 30))
    assert found == [NEW, KNOWN[50], *KNOWN[:20]]


def test_who_rated_nothing_that_the_model_knows_gets_them_too(model: Served) -> None:
    [found] = movies(recommend(model, users(604), 30))
    assert found == [KNOWN[50], *KNOWN[:20]]


async def heats_of(log: Ratings) -> tuple[LiveHeats, Writes]:
    """What the API keeps of these ratings, and their state."""
    events = sorted(zip(log.times, range(len(log)), strict=True))
    writes = folded(
        rating(
            int(log.users[at]), log.movies[log.rows[at]].movie_id, log.half_stars[at] / 2, int(time)
        )
        for time, at in events
    )
    store = MemoryStore()
    number = await store.new_generation(0)
    await store.commit(0, None, Position(number, "topic", 1), Batch({}, writes.movies))
    heats = LiveHeats()
    await heats.refresh(store, 1)
    return heats, writes


@pytest.mark.parametrize("movie_ids", [[KNOWN[50], NEW], [*KNOWN, NEW], [NEW]])
async def test_heats_are_those_of_the_api(movie_ids: list[int], model: Served) -> None:
    """Whatever the log says of the movies that nobody has rated: all of them, or some, or none."""
    log = Ratings.from_tables(*tables([one for one in HOT if one[1] in movie_ids], movie_ids))
    model.fit(log)
    items = model.repertoire.items
    heats, _ = await heats_of(log)
    expected = heats.movies(items).of_model(len(items.movie_ids))
    found = model._live()
    assert found["heat_30"].shape == (1, len(KNOWN) + (NEW in movie_ids))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)


@pytest.mark.parametrize("user", [601, 602, 603])
async def test_lists_are_those_of_the_api(
    user: int, model: Served, models: dict[Trait, Path]
) -> None:
    """Whatever proposes a movie, and whatever the order of the catalogue."""
    served = model_loader(None, None)(promotion(models["genre"], "genre"))
    heats, writes = await heats_of(LOG)
    catalogue = {
        movie.movie_id: structs.replace(
            movie_event(movie.movie_id, movie.title), genres=movie.genres, year=movie.year
        )
        for movie in reversed(LOG.movies)
    }
    served.take_in(catalogue)
    live = heats.movies(served.repertoire.items)
    serving = Serving(served, catalogue, live, (), 1, served.repertoire)
    found = await retrieve(serving, UserRecord(writes.users[user]), Wanted(100))
    served.index.close()

    [lab] = movies(recommend(model, users(user), 100))
    assert found.degraded == []
    assert [candidate.movie.movie_id for candidate in found.candidates] == lab
    sources = [candidate.source for candidate in found.candidates]
    assert "two_tower" in sources
    explored = [place for place, source in enumerate(sources, 1) if source == "new"]
    assert explored
    assert {place % 10 for place in explored} == {0}


def test_a_later_movie_is_recommended_by_its_content(model: Served) -> None:
    """To one who likes its genre; what that person rated of them does not come again."""
    westerns = {movie.movie_id for movie in LOG.movies if movie.genres == ("Western",)}
    later = {movie for movie in (NEW, *LATEST) if movie in westerns}
    [found] = movies(recommend(model, users(605), 58))
    assert later <= set(found)
    [found] = movies(recommend(model, users(606), 58))
    assert later - {NEW} <= set(found)
    assert NEW not in found


def test_what_is_tried_is_tried_less_once_it_is_rated(model: Served) -> None:
    def places() -> dict[int, int]:
        [found] = movies(recommend(model, users(607), 100))
        return {movie: place for place, movie in enumerate(found, 1) if movie in LATEST}

    before = places()
    assert {place % 10 for place in before.values()} == {0}
    first = min(before, key=lambda movie: before[movie])
    twin = copy.deepcopy(model)
    model.observe(log_of([(user, first, 0.5, 2 * DAY + user) for user in range(800, 1_100)]))
    model.observe(log_of([(800, first, 1.0, 3 * DAY)]))  # the same person again
    assert len([row for _, row in model.raters if row == row_of(model, first)]) == 300
    assert places().get(first, 101) > before[first]
    assert not [row for _, row in twin.raters if row == row_of(model, first)]


def test_a_place_follows_the_utility(model: Served) -> None:
    row = LOG.movies.index(next(movie for movie in LOG.movies if movie.movie_id == KNOWN[50]))
    places = [model.place(users(601), row, more) for more in (-50.0, 0.0, 50.0)]
    assert places == sorted(places, reverse=True)
    assert places[0] > places[1] > places[2] == 1
    [found] = movies(recommend(model, users(601), 300))
    assert found[places[1] - 1] == KNOWN[50]


def test_many_at_once_are_as_one_at_a_time(model: Served) -> None:
    histories = users(601, NOBODY, 603, 602, 1, 604, 2)
    together = model.score(histories)
    for index in range(len(histories)):
        alone = model.score(histories[index : index + 1])
        np.testing.assert_allclose(together[[index]], alone, atol=1e-4)


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


def test_an_artifact_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="train again"):
        Served(tmp_path, 2, 20, 100).fit(LOG)
