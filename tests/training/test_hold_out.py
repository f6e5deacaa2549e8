from collections.abc import Mapping

import numpy as np

from tests.training.build import clubs, ratings
from training import ranker
from training.dataset import Ratings
from training.histories import Histories
from training.hold_out import Lists, hold_out
from training.nearby import nearness
from training.ranker import Impressions
from training.ranking import Links
from training.task import Task
from training.tower_inputs import Floats


def two() -> Ratings:
    """Two people and ten movies each, of twelve."""
    return ratings([(user, movie + user, 4.0, movie) for user in (1, 2) for movie in range(10)])


def by_row(histories: Histories) -> Mapping[str, Floats]:
    """The later in the catalogue, the better: by the person, and for everybody."""
    rows = np.arange(len(histories.log.movies), dtype=np.float32)
    return {"own": np.tile(10 * rows, (len(histories), 1)), "all": rows[None]}


def shown(held: Task, candidates: int, users: int = 10) -> tuple[Impressions, list[list[int]]]:
    """The impressions, and the rows on each list, by the feature that gives them away."""
    found = Lists(users, candidates, seed=0).impressions(held, by_row)
    np.testing.assert_array_equal(found.features["own"], 10 * found.features["all"])
    there = found.stand_for > 0
    rows = found.features["all"]
    return found, [rows[one][there[one]].astype(int).tolist() for one in range(len(rows))]


def test_a_fifth_of_everybody_is_held_out() -> None:
    held = hold_out(two(), seed=0)
    np.testing.assert_array_equal(held.held.lists, [0, 0, 1, 1])
    np.testing.assert_array_equal(held.asked.lengths, [8, 8])
    other = hold_out(two(), seed=1)
    assert held.held.rows.tolist() != other.held.rows.tolist()


def test_a_list_has_what_was_held_out_and_nothing_that_was_known() -> None:
    """Of eleven movies each user has rated ten: one is left beside the two held out."""
    held = hold_out(two(), seed=0)
    found, lists = shown(held, candidates=8)
    assert found.stand_for.shape == (2, 8)
    np.testing.assert_array_equal(found.picked, [2, 2])
    np.testing.assert_array_equal(found.ratings, [8, 8])
    for number, left in enumerate((10, 0)):
        own = held.held.rows[held.held.lists == number]
        assert sorted(lists[number][:2]) == sorted(own.tolist())
        assert lists[number][2:] == [left]


def test_candidates_are_those_that_the_features_put_first() -> None:
    log = ratings([(1, movie, 4.0, movie) for movie in range(1, 6)], range(1, 31))
    _, (rows,) = shown(hold_out(log, seed=0), candidates=4)
    assert rows[1:] == [29, 28, 27]


def test_at_most_half_of_a_list_was_held_out() -> None:
    """What is too much is not shown as if it had not been picked."""
    log = ratings([(1, movie, 4.0, movie) for movie in range(1, 51)], range(1, 61))
    held = hold_out(log, seed=0)
    found, (rows,) = shown(held, candidates=8)
    own = set(held.held.rows.tolist())
    assert len(own) == 10
    assert found.picked.tolist() == [4]
    assert len(own & set(rows[:4])) == 4
    assert rows[4:] == [59, 58, 57, 56]


def test_so_many_lists_and_no_more() -> None:
    found, lists = shown(hold_out(two(), seed=0), candidates=8, users=1)
    assert len(lists) == len(found.picked) == len(found.ratings) == 1


def test_the_ranker_learns_which_evidence_finds_what_was_held_out() -> None:
    """Of two features, company in the same club and noise, the first one counts."""
    held = hold_out(ratings(clubs(users=200)), seed=0)
    links = Links(nearness(held.train), recency=1.0, liked_from=1)
    chance = np.random.default_rng(0)

    def said(histories: Histories) -> Mapping[str, Floats]:
        near = links.scores(histories.standing())
        return {"near": near, "noise": chance.normal(size=near.shape).astype(np.float32)}

    found = Lists(200, 40, seed=0).impressions(held, said)
    weights = ranker.fit(found)
    utilities = ranker.utilities(weights, found.features, found.ratings)
    right = np.arange(40) < found.picked[:, None]
    noise = np.abs(ranker.amounts(weights["noise"], found.features["noise"], found.ratings))
    assert utilities[right].mean() - utilities[~right].mean() > 1
    assert noise.max() < 0.5
