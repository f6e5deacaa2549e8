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


def test_a_list_begins_with_what_was_held_out_and_has_nothing_that_was_known() -> None:
    """Of eleven movies each user has rated ten: one is left beside the two held out."""
    held = hold_out(two(), seed=0)
    found, lists = shown(held, candidates=8)
    assert found.stand_for.shape == (2, 8)
    np.testing.assert_array_equal(found.picked, [2, 2])
    for number, left in enumerate((10, 0)):
        own = held.held.rows[held.held.lists == number]
        assert sorted(lists[number][:2]) == sorted(own.tolist())
        assert lists[number][2:] == [left]


def test_candidates_are_those_that_the_features_put_first() -> None:
    """What was held out as well as the others."""
    held = hold_out(ratings([(1, m, 4.0, m) for m in range(26, 31)], range(1, 31)), seed=0)
    _, (rows,) = shown(held, candidates=4)
    best = [row for row in range(29, -1, -1) if row not in held.train.rows][:4]
    assert rows[0] == held.held.rows[0]
    assert sorted(rows, reverse=True) == best


def test_who_would_not_be_shown_what_was_held_out_has_no_list() -> None:
    log = ratings([(1, m, 4.0, m) for m in range(1, 6)], range(1, 31))
    found, lists = shown(hold_out(log, seed=0), candidates=4)
    assert lists == []
    assert len(found.picked) == 0


def test_so_many_lists_and_no_more() -> None:
    found, lists = shown(hold_out(two(), seed=0), candidates=8, users=1)
    assert len(lists) == len(found.picked) == 1


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
    utilities = ranker.utilities(weights, found.features)
    right = np.arange(40) < found.picked[:, None]
    noise = np.abs(ranker.amounts(weights["noise"], found.features["noise"]))
    assert utilities[right].mean() - utilities[~right].mean() > 1
    assert noise.max() < 0.5
