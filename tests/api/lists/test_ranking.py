"""The second stage of one request does as the lab does in bulk, whatever is at hand for it."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from api.lists.ranking import MOST_DIVERSE, Person, Ranked, how_many_near, rank
from api.lists.wanted import Wanted
from api.serving.live import LiveMovies
from stream.coldstart import ItemVectors
from training.explore import bonuses
from training.mmr import NOWHERE
from training.movie_filter import MovieFilter
from training.proposals import highest_first
from training.ranking import TOWERS, Links, Ranking
from training.repertoire import Repertoire
from training.standing import Standing
from training.tower_inputs import Floats

MOVIES, LATER, NEAREST = 60, 4, 20
LEARNT = MOVIES - LATER


class World:
    """A small catalogue in which much is equal: whole numbers, and few of them."""

    def __init__(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        angles = chance.integers(0, 12, MOVIES) * np.pi / 6
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        linked = sparse.random_array((LEARNT, LEARNT), density=0.1, rng=chance)
        linked.data = np.round(linked.data * 3 - 1)
        self.ranking = Ranking(
            links={"linked": Links(sparse.csr_array(linked, dtype=np.float32), 0.5, 6)},
            weights={
                TOWERS: np.array([2, 0, 0], np.float32),
                "linked": np.array([1, 0.5, 1], np.float32),
                "heat": np.array([0.5, 0, 0], np.float32),
            },
            newcomers={},
            proposed={TOWERS: NEAREST, "linked": 8, "heat": 5},
            trade_off=0.3,
        )
        ids = np.arange(1, MOVIES + 1, dtype=np.uint32)
        self.matching = chance.random(MOVIES) < 0.5
        self.repertoire = cast(
            Repertoire,
            SimpleNamespace(
                items=ItemVectors("v", ids, vectors),
                likeness=vectors,
                later=[None] * LATER,
                unrated=np.arange(MOVIES - 15, MOVIES),
                unrated_vectors=vectors[MOVIES - 15 :],
                matching=lambda _: self.matching,
            ),
        )
        heat = chance.integers(0, 4, MOVIES).astype(np.float32)
        ratings = chance.integers(0, 30, MOVIES)
        ratings[MOVIES - 15 :] //= 10
        self.live = LiveMovies(ids, ratings > 0, np.stack([ratings] * 3), {"heat": heat})
        rows = chance.permutation(MOVIES)[: chance.integers(1, 30)]
        zeros = np.zeros(len(rows), np.int64)
        self.standing = Standing(1, zeros, rows, chance.integers(1, 11, len(rows)))
        self.vector = vectors[chance.integers(MOVIES)]

    def person(self, left_out: Any, limit: int) -> Person:
        """With what an index that misses nothing finds for them."""
        scores = np.where(left_out, -np.inf, self.repertoire.items.vectors @ self.vector)
        order = highest_first(scores.astype(np.float32), how_many_near(self.ranking, limit))
        near = order[scores[order] > -np.inf]
        return Person(self.standing, self.vector, near, "two_tower")

    def left_out(self, filtered: bool) -> Any:
        left_out = np.zeros(MOVIES, np.bool_)
        left_out[self.standing.rows] = True
        return left_out | ~self.matching if filtered else left_out

    def in_bulk(self, limit: int, left_out: Any) -> tuple[list[int], Floats]:
        """The list as the lab makes it, which has no longer ones, and utilities of all movies."""
        ranking, unrated = self.ranking, self.repertoire.unrated
        features = {
            TOWERS: (self.repertoire.items.vectors @ self.vector)[None],
            "linked": ranking.links["linked"].scores(self.standing, LATER),
            "heat": self.live.features["heat"][None],
        }
        proposed = ranking.candidates(features, left_out[None])
        tried, _ = ranking.tried(
            features[TOWERS][:, unrated],
            ranking.common(features)[:, unrated],
            self.live.ratings[unrated],
            left_out[None, unrated],
        )
        rows = np.sort(np.concatenate([proposed, unrated[tried]], axis=1))
        bonus = np.where(
            np.isin(rows, unrated[tried]), bonuses(self.live.ratings[rows]), np.float32(0)
        )
        found = ranking.utilities(features)
        scores = np.where(left_out[rows], -np.inf, found[0][rows])
        order, _ = ranking.order(scores, rows, self.repertoire.likeness, limit, bonus)
        return [int(rows[0, at]) for at in order[0, :NEAREST] if at != NOWHERE], found[0]


@given(seed=st.integers(0, 10_000), limit=st.integers(1, 40), filtered=st.booleans())
def test_a_list_is_that_of_the_lab(seed: int, limit: int, filtered: bool) -> None:
    world = World(seed)
    left_out = world.left_out(filtered)
    wanted = Wanted(limit, MovieFilter(min_ratings=1) if filtered else MovieFilter())
    person = world.person(left_out, limit)
    found = rank(world.ranking, world.repertoire, world.live, person, wanted)
    expected, utilities = world.in_bulk(limit, left_out)
    rows = [one.row for one in found]
    assert rows[: len(expected)] == expected
    assert len(set(rows)) == len(rows) == min(limit, np.count_nonzero(~left_out))
    scores = np.array([one.score for one in found[: len(expected)]])
    differences = np.log(scores[:, None] / scores)
    own = utilities[expected]
    np.testing.assert_allclose(differences, own[:, None] - own, atol=1e-4)


@given(seed=st.integers(0, 10_000))
def test_a_longer_list_begins_as_a_shorter_one(seed: int) -> None:
    world = World(seed)
    left_out = world.left_out(False)

    def rows(limit: int) -> list[int]:
        person = world.person(left_out, limit)
        wanted = Wanted(limit)
        return [it.row for it in rank(world.ranking, world.repertoire, world.live, person, wanted)]

    longest = rows(MOVIES)
    assert len(longest) == MOVIES - left_out.sum()  # everything, as all that is near follows
    for limit in (1, 7, 20, 33):
        assert rows(limit) == longest[:limit]


def lists(world: World, **wanted: Any) -> list[Ranked]:
    person = world.person(world.left_out(False), 10)
    return rank(world.ranking, world.repertoire, world.live, person, Wanted(10, **wanted))


def test_novelty_takes_from_what_is_well_known() -> None:
    """And says of each movie how likely it is, as before."""
    known, new, likely = [], [], []
    for seed in range(20):
        world = World(seed)
        plain, novel = lists(world), lists(world, novelty=1.0)
        ratings = world.live.ratings
        known += [ratings[it.row] for it in plain]
        new += [ratings[it.row] for it in novel]
        before = {it.row: it.score for it in plain}
        likely += [(it.score, before[it.row]) for it in novel if it.row in before]
    assert np.mean(new) < 0.7 * np.mean(known)
    for now, then in likely:
        assert now == pytest.approx(then, rel=1e-5)


@pytest.mark.parametrize(("diversity", "trade_off"), [(0.0, 0.0), (0.6, 0.6), (1.0, MOST_DIVERSE)])
def test_diversity_is_the_trade_off(diversity: float, trade_off: float) -> None:
    for seed in range(10):
        world = World(seed)
        found = lists(world, diversity=diversity)
        ranking = world.ranking
        world.ranking = Ranking(
            ranking.links, ranking.weights, ranking.newcomers, ranking.proposed, trade_off
        )
        assert found == lists(world)


def test_what_proposed_a_movie_first_is_its_source() -> None:
    sources: dict[str, int] = {}
    for seed in range(20):
        world = World(seed)
        for it in rank(
            world.ranking,
            world.repertoire,
            world.live,
            world.person(world.left_out(False), 10)._replace(nearest=np.array([3])),
            Wanted(40),
        ):
            if it.row == 3:
                assert it.source == "two_tower"
            sources.setdefault(it.source, it.row)
    assert sources.keys() == {"two_tower", "similar", "trending", "new"}
