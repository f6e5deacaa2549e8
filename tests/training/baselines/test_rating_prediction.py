import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stream.contracts.errors import DatasetError
from tests.training.build import DAY, HOUR, START, everything, ratings
from training import rating_prediction
from training.baselines import storage
from training.baselines.biased_mf import BiasedMf
from training.baselines.linear import Linear
from training.compare import difference
from training.histories import Histories
from training.metrics import rmse
from training.rating_prediction import RatingPrediction
from training.recommender import PredictsRatings
from training.task import Task
from training.tower_inputs import Floats, Ints

PEOPLE, MOVIES, EACH = 200, 80, 40
HELD = 4  # every fourth rating is held out

# Users with an even number rate with little noise, the others with much. Half stars add 1/48 to
# the variance.
LITTLE, MUCH = 0.25, 0.7
NOISE = np.sqrt((LITTLE**2 + MUCH**2) / 2 + 1 / 48)

Rating = tuple[int, int, float, int]


def noisy() -> list[Rating]:
    """Generosity of the user + quality of the movie + noise, in the middle of the stars."""
    chance = np.random.default_rng(0)
    quality = chance.normal(2.75, 0.4, MOVIES)
    events = []
    for user in range(1, PEOPLE + 1):
        generosity, noise = chance.normal(0, 0.3), MUCH if user % 2 else LITTLE
        movies = chance.permutation(MOVIES)[:EACH]
        stars = quality[movies] + generosity + chance.normal(0, noise, EACH)
        stars = (2 * stars).round().clip(1, 10) / 2
        events += [
            (user, int(movie) + 1, float(some), hour * HOUR)
            for hour, (movie, some) in enumerate(zip(movies, stars, strict=True))
        ]
    return events


def twins() -> list[Rating]:
    """Movies come in forty pairs, and everyone loves or hates both of a pair, as a coin says."""
    chance = np.random.default_rng(0)
    events = []
    for user in range(1, PEOPLE + 1):
        loves = chance.random(MOVIES // 2) < 0.5
        events += [
            (user, int(movie) + 1, 4.5 if loves[movie // 2] else 1.5, hour * HOUR)
            for hour, movie in enumerate(chance.permutation(MOVIES)[:EACH])
        ]
    return events


def moods() -> list[Rating]:
    """Everyone rates eight movies an evening, all 4.5 or all 2.0, a month apart."""
    chance = np.random.default_rng(0)
    events = []
    for user in range(1, PEOPLE + 1):
        for place, movie in enumerate(chance.permutation(MOVIES)[:EACH]):
            if place % 8 == 0:
                stars = 4.5 if chance.random() < 0.5 else 2.0
            time = place // 8 * 30 * DAY + place % 8 * HOUR // 8
            events.append((user, int(movie) + 1, stars, time))
    return events


class World:
    """A log, three quarters of which a model was fitted on."""

    def __init__(self, events: list[Rating]) -> None:
        log = ratings(events, range(1, MOVIES + 1))
        held = np.random.default_rng(1).permutation(len(log)) % HELD == 0
        self.train, self.held = log.take(np.flatnonzero(~held)), log.take(np.flatnonzero(held))
        self.stars = self.held.half_stars / 2
        self.model = RatingPrediction()
        self.model.fit(self.train)

    @property
    def asked(self) -> tuple[Histories, Ints, Ints]:
        return (
            Histories.of_users(self.train, self.held.users),
            self.held.rows,
            self.held.times,
        )

    def rmse(self, model: PredictsRatings) -> float:
        return rmse(model.predict(*self.asked), self.stars)


@pytest.fixture(scope="module")
def world() -> World:
    return World(noisy())


def test_it_is_as_wrong_as_the_noise(world: World) -> None:
    assert 0.98 * NOISE < world.rmse(world.model) < 1.05 * NOISE


def test_stars_of_movies_alike_tell_what_factors_cannot() -> None:
    """Forty coins do not fit in sixteen factors. Of 3 movies in 8 the twin has been rated."""
    some = World(twins())
    factors = BiasedMf()
    factors.fit(some.train)
    assert some.rmse(some.model) < 0.95 * some.rmse(factors)
    rated = {(user, row) for user, row in zip(some.train.users, some.train.rows, strict=True)}
    told = np.array(
        [(u, r ^ 1) in rated for u, r in zip(some.held.users, some.held.rows, strict=True)]
    )
    errors = np.abs(some.model.predict(*some.asked) - some.stars)
    assert errors[told].mean() < 0.7 * errors[~told].mean()  # of factors alone: 0.80


def test_a_mood_lasts_an_evening() -> None:
    some = World(moods())
    histories, rows, times = some.asked
    assert some.rmse(some.model) < 0.6
    elsewhere = some.model.predict(histories, rows, times + 15 * DAY)
    assert rmse(elsewhere, some.stars) > 1.1  # 1.25 is the deviation of a coin


def covered(world: World, coverage: float = 0.9) -> tuple[Floats, Floats]:
    """f[n] each: 1 where a held-out rating is in its interval, and how wide that is."""
    low, high = world.model.predict_interval(*world.asked, coverage)
    return ((low <= world.stars) & (world.stars <= high)).astype(np.float32), high - low


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_as_many_ratings_as_stated_are_in_their_interval(world: World, coverage: float) -> None:
    """Four deviations of a binomial, and the larger one of two quantiles may be above."""
    inside, _ = covered(world, coverage)
    deviation = np.sqrt(coverage * (1 - coverage) / len(inside))
    assert coverage - 4 * deviation < inside.mean() < coverage + 4 * deviation + 0.01


def test_an_interval_is_as_wide_as_somebody_is_noisy(world: World) -> None:
    """90% of normal noise is within 1.645 deviations of it."""
    inside, widths = covered(world)
    for parity, noise in ((0, LITTLE), (1, MUCH)):
        theirs = world.held.users % 2 == parity
        assert 0.86 < inside[theirs].mean() < 0.95
        width = 2 * 1.645 * np.sqrt(noise**2 + 1 / 48)
        assert widths[theirs].mean() == pytest.approx(width, rel=0.27)


def test_intervals_are_around_the_prediction_and_within_the_stars(world: World) -> None:
    stars = world.model.predict(*world.asked)
    inner, outer = (world.model.predict_interval(*world.asked, some) for some in (0.5, 0.999))
    for bound in (*inner, *outer):
        assert (bound.shape, bound.dtype) == (stars.shape, np.float32)
    ordered = np.stack([np.full_like(stars, 0.5), outer[0], inner[0], stars, inner[1], outer[1]])
    assert (np.diff(ordered, axis=0) >= 0).all()
    assert (outer[1] <= 5).all()


def test_less_is_said_of_someone_new(world: World) -> None:
    """Half of those are noisy, and nobody knows how generous they are."""
    nobody = Histories.raw(world.train.movies, [[]])[np.zeros(MOVIES, np.int64)]
    asked = (nobody, np.arange(MOVIES), np.full(MOVIES, START))
    low, high = world.model.predict_interval(*asked)
    _, widths = covered(world)
    assert (high - low).mean() > widths.mean()
    assert world.model.predict(*asked).mean() == pytest.approx(world.stars.mean(), abs=0.1)


def test_saved_and_loaded_it_predicts_alike(world: World, tmp_path: Path) -> None:
    storage.save(world.model, tmp_path / "model", world.train.movies)
    loaded = storage.load(tmp_path / "model", world.train.movies)
    assert isinstance(loaded, RatingPrediction)
    for ask in ("predict", "predict_interval"):
        answers = (getattr(model, ask)(*world.asked) for model in (world.model, loaded))
        np.testing.assert_array_equal(*answers)


def test_some_ratings_tell_what_all_do(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fold has enough of them."""
    monkeypatch.setattr(rating_prediction, "MOST_EXAMPLES", 1000)
    reports: list[tuple[int, int]] = []
    model = RatingPrediction()
    model.fit(world.train, lambda *report: reports.append(report))
    assert reports == [(1, 6), (6, 6)]
    of_known_movies = [sizes for name, sizes in model.model.sizes.items() if name.endswith("/2")]
    assert sum(map(len, of_known_movies)) == 1000
    assert world.rmse(model) == pytest.approx(world.rmse(world.model), rel=0.05)


def test_too_few_to_learn_from(world: World) -> None:
    with pytest.raises(DatasetError, match="9 ratings are too few"):
        RatingPrediction().fit(world.train.take(everything(world.train)[:9]))
    RatingPrediction().fit(world.train.take(everything(world.train)[:10]))


def test_it_needs_no_library_that_trains() -> None:
    code = (
        "import sys; import training.rating_prediction, training.baselines.storage; "
        "print([m for m in ('implicit', 'sklearn', 'torch', 'mlflow') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def on_100k(hundred_k: Task) -> RatingPrediction:
    model = RatingPrediction()
    model.fit(hundred_k.train)
    return model


@pytest.mark.parametrize("baseline", [BiasedMf, Linear])
def test_on_100k_it_is_better_than_the_baselines(
    baseline: Callable[[], BiasedMf | Linear], on_100k: RatingPrediction, hundred_k: Task
) -> None:
    """By 4% of the mean square error at least, which is 2% of the RMSE."""
    held, asked = hundred_k.held, hundred_k.asked
    actual, other = held.half_stars / 2, baseline()
    other.fit(hundred_k.train)
    found, theirs = (
        (model.predict(asked[held.lists], held.rows, held.times) - actual).astype(np.float64) ** 2
        for model in (on_100k, other)
    )
    assert np.sqrt(found.mean()) < 0.893
    assert difference(found, theirs, asked.users[held.lists]).relative.high < -0.035


def test_on_100k_nine_of_ten_ratings_are_in_their_interval(
    on_100k: RatingPrediction, hundred_k: Task
) -> None:
    held = hundred_k.held
    histories, actual = hundred_k.asked[held.lists], held.half_stars / 2
    low, high = on_100k.predict_interval(histories, held.rows, held.times)
    inside = (low <= actual) & (actual <= high)
    assert 0.88 < inside.mean() < 0.92
    for some in (histories.lengths < 30, histories.lengths > 200):
        assert 0.87 < inside[some].mean() < 0.93
    assert (high - low).mean() < 2.7
