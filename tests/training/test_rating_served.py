"""The predictor that goes into an artifact: learnt and measured by time, as it is served."""

import numpy as np
import pytest

from stream.contracts.errors import DatasetError
from tests.training.baselines.test_rating_prediction import NOISE, noisy
from tests.training.build import DAY, HOUR, clubs, everything, ratings
from training import rating_served
from training.dataset import Ratings
from training.histories import Histories
from training.rating_features import FEATURES, MOVIE_COUNT
from training.rating_learning import Examples, as_served, in_the_lab, known_of, weighed
from training.rating_model import QUANTILES
from training.rating_questions import Sums
from training.rating_served import Learnt, learn
from training.rating_sums import SumsOverTime
from training.split import split_by_time


@pytest.fixture(scope="module")
def log() -> Ratings:
    return ratings(noisy(), range(1, 82))  # and a movie that nobody rated


@pytest.fixture(scope="module")
def learnt(log: Ratings) -> Learnt:
    return learn(log, split_by_time(log))


def test_it_is_measured_on_the_latest_ratings(learnt: Learnt) -> None:
    """As wrong as the noise, which is all that nobody can know; nine of ten are in intervals."""
    for way in ("then", "later"):
        figures = {
            name: learnt.metrics[f"rating_{way}_{name}"]
            for name in ("rmse", "mae", "coverage", "width", "asked")
        }
        assert 0.95 * NOISE < figures["rmse"] < 1.12 * NOISE
        assert figures["mae"] < figures["rmse"]
        deviation = np.sqrt(0.9 * 0.1 / figures["asked"])
        assert abs(figures["coverage"] - 0.9) < 4 * deviation
        assert 2 * 1.2 * NOISE < figures["width"] < 2 * 1.8 * NOISE
    assert learnt.metrics["rating_then_asked"] == pytest.approx(400, abs=5)


def test_what_is_served_knows_all_ratings(learnt: Learnt, log: Ratings) -> None:
    everything_known, _ = known_of(log)
    for name, served in learnt.model.known._asdict().items():
        np.testing.assert_array_equal(served, getattr(everything_known, name))
    assert learnt.model.population.shape == (len(QUANTILES), len(FEATURES) + len(log.genres))
    sizes = {name: len(of) for name, of in learnt.model.sizes.items()}
    assert sizes.keys() == {f"{way}/{group}" for way in ("then", "later") for group in range(3)}
    assert sizes["then/2"] == pytest.approx(800, abs=10)  # of both parts


def test_a_rating_is_asked_about_as_of_right_before(log: Ratings) -> None:
    """Whatever comes afterwards may be otherwise."""
    known, _ = known_of(log)
    events = np.flatnonzero(log.times > np.quantile(log.times, 0.5))[::97]
    features = known.features(*as_served(known, SumsOverTime.of(log), log, events))
    for event, asked in zip(events.tolist(), features, strict=True):
        until = (log.times < log.times[event]) | (everything(log) == event)
        past = log.take(np.flatnonzero(until))
        [place] = np.flatnonzero(
            (past.users == log.users[event]) & (past.times == log.times[event])
        )
        alone = known.features(*as_served(known, SumsOverTime.of(past), past, np.array([place])))
        np.testing.assert_allclose(asked, alone[0], rtol=1e-5, atol=1e-6)


def test_an_old_mood_is_none(log: Ratings) -> None:
    known, _ = known_of(log)
    events = np.flatnonzero(log.times > np.quantile(log.times, 0.5))[:50]
    past, asked = as_served(known, SumsOverTime.of(log), log, events)
    then = known.features(past, asked)
    later = known.features(past, asked._replace(times=asked.times + 365 * DAY))
    moods = [FEATURES.index(f"mood of the {some}") for some in ("hour", "days")]
    assert np.abs(then[:, moods]).max() > 0.1
    np.testing.assert_allclose(later[:, moods], 0, atol=1e-9)
    np.testing.assert_array_equal(np.delete(then, moods, 1), np.delete(later, moods, 1))


def test_intervals_hold_for_movies_that_nobody_rated_as_well() -> None:
    """Of old movies people think much the same; of new ones the half gives 2 stars, half 4.5."""
    chance = np.random.default_rng(0)
    old, people = 40, 1_200
    events = []
    for user in range(1, people + 1):
        stars = (2 * chance.normal(3.5, 0.4, 8)).round().clip(1, 10) / 2
        events += [
            (user, int(movie) + 1, float(of), user * DAY + place * HOUR)
            for place, (movie, of) in enumerate(
                zip(chance.permutation(old)[:8], stars, strict=True)
            )
        ]
        events.append((user, old + user, float(chance.choice([2.0, 4.5])), user * DAY + 9 * HOUR))
    log = ratings(events)
    split = split_by_time(log, 0.2, 0.2)
    known, _ = known_of(log.take(split.train))
    held = [
        Examples(
            known.features(*as_served(known, SumsOverTime.of(log), log, some)),
            (log.half_stars[some] / 2).astype(np.float32),
            np.full(len(some), "then"),
        )
        for some in (split.validation, split.test)
    ]
    model, test = weighed(known, held[0]), held[1]
    _, low, high = model.of_features(test.features, 0.9)
    inside = (low <= test.stars) & (test.stars <= high)
    fresh = test.features[:, MOVIE_COUNT] == 0
    assert np.count_nonzero(fresh) >= 200
    for some in (fresh, ~fresh):
        assert inside[some].mean() > 0.86
    assert inside[~fresh].mean() < 0.95  # loved and hated alike: those of new ones hold all
    assert np.median((high - low)[fresh]) > 1.5 * np.median((high - low)[~fresh])


def test_where_all_rate_alike_there_is_nothing_to_be_wrong_about() -> None:
    log = ratings(clubs(users=60), range(1, 73))
    learnt = learn(log, split_by_time(log))
    assert learnt.metrics["rating_then_rmse"] < 0.01
    histories = Histories.of_users(log, np.array([1, 10**6]))
    asked = in_the_lab(
        learnt.model.known,
        Sums(*np.zeros((3, 72), np.int64)),
        histories,
        np.array([0, 1]),
        log.times[:2],
    )
    for bound in learnt.model.predict(*asked):
        np.testing.assert_allclose(bound, 4, atol=0.05)


def test_nothing_is_learnt_from_what_is_rated_again() -> None:
    again = [(user, 1 + user % 2, 4.0, time * DAY) for time in range(30) for user in range(1, 4)]
    log = ratings(again)
    with pytest.raises(DatasetError, match="had rated before"):
        learn(log, split_by_time(log))


def test_so_many_examples_are_enough(log: Ratings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rating_served, "MOST_EXAMPLES", 100)
    metrics = learn(log, split_by_time(log)).metrics
    assert 80 <= metrics["rating_then_asked"] + metrics["rating_later_asked"] <= 100
