from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from tests.training.build import clubs, ratings
from training import ranker
from training.dataset import Ratings
from training.histories import Histories
from training.impressions import Arrivals, candidates
from training.live import FLOOR, Counted
from training.nearby import nearness
from training.prequential import Questions
from training.ranker import Impressions
from training.ranking import Links
from training.split import moments
from training.tower_inputs import Floats

FEW = Arrivals(lists=300, candidates=20, seed=0)


@pytest.fixture(scope="module")
def data() -> Ratings:
    return ratings(clubs(users=150))


def shown(log: Ratings, since: int, until: int, arrivals: Arrivals = FEW) -> Impressions:
    """Those from one moment up to another, with the evidence of what is rated close to what."""
    known = log.take(np.flatnonzero(log.times < since))
    links = Links(nearness(known), recency=1.0, liked_from=1)
    chance = np.random.default_rng(0)

    def said(histories: Histories) -> Mapping[str, Floats]:
        near = links.scores(histories.standing())
        return {"near": near, "noise": chance.normal(size=near.shape).astype(np.float32)}

    counted = Counted(len(log.movies))
    counted.observe(known.users, known.rows, known.times)
    questions = Questions.of(log, since)
    early = questions.events[(log.times[questions.events] < until) & (questions.ages > 0)]
    return arrivals.impressions(replace(questions, events=early), counted, said)


def test_they_know_nothing_of_what_came_after_them(data: Ratings) -> None:
    """Other ratings later on leave the impressions before them as they were."""
    since, until = moments(data.times, 0.1, 0.1)
    later = data.times >= until
    rows = np.where(later, (data.rows + 7) % len(data.movies), data.rows)
    other = replace(data, rows=rows, half_stars=np.where(later, 8, data.half_stars))
    before, after = (shown(log, since, until) for log in (data, other))
    assert len(before.picked) > 10
    for name, values in before.features.items():
        np.testing.assert_array_equal(values, after.features[name])
    np.testing.assert_array_equal(before.stand_for, after.stand_for)


def test_they_see_the_heats_of_their_moment(data: Ratings) -> None:
    since, until = moments(data.times, 0.1, 0.1)
    questions = Questions.of(data, since)
    of = (data.times[questions.events] < until) & (questions.ages > 0)
    found = shown(data, since, until).features["heat_365"][:, 0]
    for at in (0, len(found) // 2, len(found) - 1):
        event = questions.events[of][at]
        told = questions.told[: questions.observed("fresh")[of][at]]
        known = np.concatenate([np.flatnonzero(data.times < since), told])
        age = (data.times[event] - data.times[known]) / 86_400_000
        heats = np.bincount(data.rows[known], 2 ** (-age / 365), minlength=len(data.movies))
        expected = np.log2(heats[data.rows[event]] / heats.max() + FLOOR)
        assert found[at] == pytest.approx(expected, abs=1e-4)


def test_the_ranker_learns_what_comes_next(data: Ratings) -> None:
    """Company in the same club counts, noise does not."""
    found = shown(data, *moments(data.times, 0.1, 0.1))
    weights = ranker.fit(found)
    near = ranker.amounts(weights["near"], found.features["near"])
    assert near[:, 0].mean() - near[:, 1:].mean() > 1
    assert np.abs(ranker.amounts(weights["noise"], np.float32([[1]]))) < 0.5


def test_so_many_lists_evenly_spaced(data: Ratings) -> None:
    since, until = moments(data.times, 0.1, 0.1)
    everything = shown(data, since, until)
    few = shown(data, since, until, replace(FEW, lists=10))
    every = -(-len(everything.picked) // 10)
    np.testing.assert_array_equal(
        few.features["near"][:, 0], everything.features["near"][::every, 0]
    )


def test_candidates_are_the_first_ones_and_some_that_stand_for_the_rest() -> None:
    order = np.array([5, 4, 3, -np.inf, 2, 1, 0], np.float32)
    found, stand_for = candidates(order, 1, 4, np.random.default_rng(0))
    assert found[:3].tolist() == [1, 0, 2]
    assert set(found[3:].tolist()) < {4, 5, 6}
    assert stand_for.tolist() == [1, 1, 1, 1.5, 1.5]
    found, stand_for = candidates(order, 1, 20, np.random.default_rng(0))
    assert sorted(found[:6].tolist()) == [0, 1, 2, 4, 5, 6]
    assert stand_for.tolist() == [1] * 6 + [0] * 15
