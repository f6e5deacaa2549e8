"""The towers are stand-ins that know nothing: what is right is due to the rest."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest

from stream.contracts.errors import DatasetError
from tests.training.build import HOUR, clubs, ratings
from training import two_stage
from training.baselines.popularity import Popularity
from training.config import Config
from training.dataset import Ratings
from training.histories import Histories
from training.ranking import TOWERS
from training.recommender import NOTHING, recommend
from training.tower_inputs import Floats
from training.two_stage import TwoStage

FIRST, THEN = 73, 74  # movies that everybody began with in the first half of the time, and later


class Towers:
    def __init__(self, config: Config, max_epochs: int, seed: int) -> None:
        self.config, self.chance = config, np.random.default_rng(seed)

    def fit(self, train: Ratings) -> None:
        self.vectors = self.chance.normal(size=(len(train.movies) + 1, 8)).astype(np.float32)

    def embed(self, histories: Histories) -> Floats:
        return np.ones((len(histories), 8), np.float32)


@pytest.fixture(scope="module")
def data() -> Ratings:
    """Clubs whose members begin with what is shown to everybody who is new."""
    events = clubs(users=150)
    begun: dict[int, int] = {}
    for user, _, _, time in events:
        begun[user] = min(time, begun.get(user, time))
    half = np.median(list(begun.values()))
    shown = [
        (user, FIRST if time < half else THEN, 4.0, time - HOUR) for user, time in begun.items()
    ]
    return ratings(events + shown)


FEATURES = {
    ("next", False): ({"ease", "liked", "nearby"}, {"heat_30"}),
    ("next", True): ({"ease", "lasting", "liked", "nearby"}, {"heat_30", "heat_365"}),
    ("rest", False): ({"company"}, set()),
    ("rest", True): ({"company", "nearby"}, {"heat_30"}),
}  # links and heats by objective, and whether it is rich


@pytest.fixture(scope="module", params=FEATURES, ids=str)
def model(data: Ratings, request: pytest.FixtureRequest) -> Iterator[TwoStage]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(two_stage, "Towers", Towers)
        objective, rich = request.param
        model = TwoStage(objective, rich, diversity=0.0, impressions=300, candidates=40)
        model.fit(data)
        yield model


def test_lists_are_of_the_club(data: Ratings, model: TwoStage) -> None:
    """Four movies of one club leave eight more of it: popularity finds few of them."""
    chance = np.random.default_rng(5)
    people = [[FIRST, THEN, *chance.permutation(12)[:4] + 1 + club * 12] for club in range(6)]
    raw = [[(int(m), 5.0, at * HOUR) for at, m in enumerate(some)] for some in people]
    histories = Histories.raw(data.movies, raw)
    own = recommend(model, histories, 8) // 12 == np.arange(6)[:, None]
    assert own.mean() > 0.9
    popularity = Popularity()
    popularity.fit(data)
    assert (recommend(popularity, histories, 8) // 12 == np.arange(6)[:, None]).mean() < 0.4


def test_each_feature_of_a_person_has_a_weight(model: TwoStage) -> None:
    links, live = FEATURES[model.objective, model.rich]
    assert set(model.links) == links
    assert set(model.weights) == {TOWERS} | links | live


def test_what_was_rated_is_in_no_list(data: Ratings, model: TwoStage) -> None:
    histories = Histories.of_users(data, np.array([1, 2]))
    lists, events = histories.events()
    shown = recommend(model, histories, 30)
    for one in range(2):
        rated = data.rows[events[lists == one]]
        assert len(rated) == 9
        assert not set(shown[one].tolist()) & set(rated.tolist())
    assert (shown != NOTHING).sum(axis=1).min() > 20


def test_the_towers_learn_the_same_objective(model: TwoStage) -> None:
    assert model.towers.config.objective == model.objective


def test_someone_new_gets_what_newcomers_begin_with(data: Ratings, model: TwoStage) -> None:
    """And not what they did when it was shown to as many people, long ago."""
    [row] = np.flatnonzero([movie.movie_id == THEN for movie in data.movies])
    nobody = Histories.raw(data.movies, [[]])
    assert recommend(model, nobody, 1).tolist() == [[row]]


def test_nobody_came_back() -> None:
    """Whoever likes something after the moment had not rated anything before."""
    past = [(user, movie, 4.0, HOUR * user) for user in range(1, 9) for movie in range(1, 12)]
    log = ratings(past + [(user, 1, 4.0, HOUR * user) for user in range(20, 24)])
    known = log.take(np.flatnonzero(log.users < 20))
    towers = Towers(Config(), 1, 0)
    towers.fit(known)
    model = TwoStage()
    model.learn(known, towers)
    with pytest.raises(DatasetError, match="nobody picked anything"):
        model.weigh(log, int(log.times[log.users == 20][0]))


def test_a_copy_observes_on_its_own(data: Ratings, model: TwoStage) -> None:
    nobody = Histories.raw(data.movies, [[]])
    expected = model.score(nobody)
    twin = copy.deepcopy(model)
    twin.observe(data.take(np.flatnonzero(data.rows == data.rows[0])))
    assert not np.array_equal(twin.score(nobody), expected)
    np.testing.assert_array_equal(model.score(nobody), expected)
