"""The second stage: from what is known of a user to candidates, and from these to their order.

The lab (`training.two_stage`) and the API ask the same functions, so that what is served is what
was evaluated. Torch-free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from training.blocks import blocks
from training.explore import Explored, bonuses, explore, most_promising
from training.link_matrix import LinkMatrix
from training.mmr import Vectors, diversify, put_first
from training.proposals import best, best_for_all
from training.ranker import Weights, utilities
from training.standing import Standing
from training.tower_inputs import Floats, Ints

if TYPE_CHECKING:
    from scipy import sparse  # 25 MB, which serving does not need

TOWERS: Final = "towers"  # the feature that is the towers' score

_ELEMENTS: Final = 1 << 19  # scores at once where few of them are wanted: 2 MB stay in a cache


@dataclass(frozen=True, slots=True)
class Links:
    """Item-item evidence.

    Attributes:
        matrix: f32[movies, movies], from a movie of the history to another; f16 as it is served.
        recency: what a rating counts of the one after it.
        liked_from: half stars from which it counts.
        scaled: whether what n ratings say is divided by the root of n, which their sum grows with.
            Where old ratings hardly count it does not grow, and this is not needed.
    """

    matrix: "sparse.csr_array | LinkMatrix"
    recency: float
    liked_from: int
    scaled: bool = False

    def scores(self, standing: Standing, later: int = 0) -> Floats:
        """f32[B, movies + later]: sum of recency**steps * s_ij over the movies i of each user.

        Of one user it is the same as of them among others, to the last bit.

        Args:
            standing: their ratings.
            later: how many movies came after the links; none lead to them.
        """
        movies = self.matrix.shape[0]
        scores = np.zeros((standing.users, movies + later), np.float32)
        if isinstance(self.matrix, LinkMatrix):
            rows, weights, ends = standing.weights(movies, self.liked_from, self.recency)
            self.matrix.add_up(rows, weights, ends, scores)
        else:
            evidence = standing.evidence(movies, self.liked_from, self.recency)
            scores[:, :movies], ends = (evidence @ self.matrix).toarray(), evidence.indptr
        if self.scaled:
            counts = np.diff(ends)[:, None]
            scores /= np.sqrt(np.maximum(counts, 1), dtype=np.float32)
        return scores

    def scores_at(self, standing: Standing, rows: Ints) -> Floats:
        """f32[B, k]: the same of k movies alone, for many users and few movies.

        Args:
            standing: their ratings.
            rows: i64[k] movies; to one that came after the links none lead.
        """
        movies = self.matrix.shape[0]
        later = max(int(rows.max(initial=0)) + 1 - movies, 0)
        found = np.empty((standing.users, len(rows)), np.float32)
        for some in blocks(standing.users, movies + later, _ELEMENTS):
            found[some] = self.scores(standing.of(some), later)[:, rows]
        return found


@dataclass(frozen=True, slots=True)
class Ranking:
    """What orders the movies for people.

    Attributes:
        links: item-item evidence by the name of its feature.
        weights: of the features, for those who have rated something.
        newcomers: of the live features, for those who have not.
        proposed: how many candidates each feature proposes, those with the highest values.
        trade_off: of diversification, see `training.mmr`.
    """

    links: Mapping[str, Links]
    weights: Weights
    newcomers: Weights
    proposed: Mapping[str, int]
    trade_off: float = 0.0

    def candidates(self, features: Mapping[str, Floats], rated: npt.NDArray[np.bool_]) -> Ints:
        """i64[B, C]: what these features propose, a movie as often as it is proposed.

        In place of what they lack there is one that is proposed, or the first of all movies.
        """
        found = np.concatenate(list(self.proposals(features, rated).values()), axis=1)
        there = np.take_along_axis(found, np.argmax(found >= 0, axis=1)[:, None], axis=1)
        return np.where(found >= 0, found, np.maximum(there, 0))

    def proposals(
        self,
        features: Mapping[str, Floats],
        left_out: npt.NDArray[np.bool_],
        first: Mapping[str, Ints] = MappingProxyType({}),
    ) -> dict[str, Ints]:
        """By feature, i64[B, c]: the c movies that it proposes; NOWHERE for lack of more.

        Links propose nothing that they do not lead to.

        Args:
            features: by name, f32[B, movies] or, the same for all, f32[1, movies].
            left_out: bool[B, movies], what is not proposed.
            first: of features that are the same for all what `highest_first` makes of them, where
                it is at hand.
        """
        found = {}
        for name, count in self.proposed.items():
            if name not in features:
                continue
            of = features[name]
            if name in self.links or name == TOWERS:
                above = 0 if name in self.links else -np.inf
                found[name] = best(of, left_out, count, above)
            else:
                found[name] = best_for_all(of[0], left_out, count, first.get(name))
        return found

    def utilities(self, features: Mapping[str, Floats], common: Floats | None = None) -> Floats:
        """f32[B, C]: higher is better, for people who have rated something.

        Args:
            features: by name, f32[B, C] of C movies for each user.
            common: `common` of these movies, where it is at hand: the live features are not looked
                at then.
        """
        own = {name: of for name, of in self.weights.items() if self._is_own(name)}
        return (self.common(features) if common is None else common) + utilities(own, features)

    def common(self, features: Mapping[str, Floats]) -> Floats:
        """f32[B, C]: the part of the utilities that the live features add, the same for everyone.

        Args:
            features: those by name, f32[B, C] or f32[1, C].
        """
        shared = {name: of for name, of in self.weights.items() if not self._is_own(name)}
        return utilities(shared, features)

    def _is_own(self, name: str) -> bool:
        """Whether a feature is another one for every person."""
        return name == TOWERS or name in self.links

    def tried(
        self, towers: Floats, common: Floats, ratings: Ints, rated: npt.NDArray[np.bool_]
    ) -> tuple[Ints, Floats]:
        """Which of m movies without a rating in the training data are tried: see `explore`.

        No links lead to such a movie, so they are not looked at.

        Args:
            towers: f32[B, m] their scores.
            common: f32[B, m] or f32[1, m] what the live features add.
            ratings: i64[m] how many people have rated each since.
            rated: bool[B, m] what these people have; it is tried last.

        Returns:
            i64[B, T] which of the m, the most promising first, and f32[B, T] the bonus of each.
        """
        bonus = bonuses(ratings)
        weights = {name: of for name, of in self.weights.items() if name == TOWERS}
        worth = utilities(weights, {TOWERS: towers}) + (common + bonus)
        worth[rated] = -np.inf
        chosen = most_promising(worth)
        return chosen, bonus[chosen]

    def order(
        self,
        utilities: Floats,
        candidates: Ints,
        likeness: Vectors,
        longest: int,
        bonus: Floats | None = None,
    ) -> Explored:
        """The places of the lists: diversified, and some of them for exploring.

        Args:
            utilities: f32[B, C] of the candidates; -inf is in no list.
            candidates: i64[B, C] rows of movies.
            likeness: see `training.mmr`.
            longest: how many places there are at most.
            bonus: f32[B, C] of the candidates, see `explore`; by default nothing is explored.
        """
        bonus = np.zeros_like(utilities) if bonus is None else bonus
        order = diversify(utilities, candidates, likeness, longest, self.trade_off)
        return explore(order, utilities, candidates, bonus)

    def lists(
        self,
        utilities: Floats,
        candidates: Ints,
        rated: npt.NDArray[np.bool_],
        likeness: Vectors,
        longest: int,
        bonus: Floats | None = None,
    ) -> Floats:
        """f32[B, movies]: scores that put the candidates in the order of the lists.

        Args:
            utilities: f32[B, C] of the candidates.
            candidates: i64[B, C] rows of movies.
            rated: bool[B, movies], what no list has; it keeps its utility.
            likeness: see `training.mmr`.
            longest: how many places are as in `order`; the rest go by utility.
            bonus: as in `order`.
        """
        scores = np.full(rated.shape, -np.inf, np.float32)
        np.put_along_axis(scores, candidates, utilities, axis=1)
        shown = np.where(np.take_along_axis(rated, candidates, axis=1), -np.inf, utilities)
        order, _ = self.order(shown, candidates, likeness, longest, bonus)
        put_first(scores, np.where(order < 0, order, np.take_along_axis(candidates, order, axis=1)))
        return scores

    def of_newcomers(self, features: Mapping[str, Floats]) -> Floats:
        """f32[B, C]: the utilities for people without a rating.

        Args:
            features: the live ones by name, f32[B, C].
        """
        return utilities(self.newcomers, features)


def of_candidates(feature: Floats, candidates: Ints) -> Floats:
    """f32[B, C]: a feature, f32[B, movies] or f32[1, movies], of the candidates i64[B, C]."""
    lists = np.arange(len(candidates))[:, None] if len(feature) != 1 else 0
    values: Floats = feature[lists, candidates]
    return values
