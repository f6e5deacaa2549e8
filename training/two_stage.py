"""Two stages as a recommender of the lab: what is served, fitted and asked in bulk."""

import copy
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from training import ranker
from training.baselines.ease import Ease
from training.baselines.towers import Towers
from training.dataset import NO_TAGS, Ratings
from training.histories import Histories
from training.live import Counted, live_features
from training.mmr import diversify, put_first
from training.nearby import RECENCY, nearness
from training.prequential import Questions
from training.ranker import Impressions
from training.ranking import TOWERS, Links, Ranking, of_candidates, strongest_links
from training.recommender import WHEN_ASKED, OnProgress, batches
from training.split import moments
from training.tower_inputs import Floats, Ints

# Share of the ratings, the latest ones, from which impressions are taken while the weights are
# learnt. What is weighed knows what came before.
_RANKED: Final = 0.1

_DIVERSIFIED: Final = 50  # places of a list, which are all that are shown; the rest go by utility

_LINKS: Final = 300  # of a movie at most: what is further down adds next to nothing

# Candidates by the feature that proposes them.
_PROPOSED: Final = {TOWERS: 200, "ease": 100, "nearby": 100, "heat_30": 50}

# Weights for people without a rating where the impressions have none of them.
_HOTTEST: Final = {"heat_30": np.array([1, 0, 0], np.float32)}


class Embeds(Protocol):
    """Fitted towers.

    Attributes:
        vectors: f32[movies + 1, d] of the movies by index, zeros at PADDING.
    """

    vectors: Floats

    def embed(self, histories: Histories) -> Floats:
        """f32[B, d], L2-normalised."""
        ...


@dataclass
class TwoStage:
    """Retrieves candidates by several features and orders them by the ranker's utility of all.

    A fit is two. Models that know the first nine tenths of the ratings are asked for each liked
    movie of the last tenth, with the state from right before it; from what was picked the ranker
    learns what each feature is worth. Then the models are fitted on everything, the weights stay.

    Features of a movie and a user:

    - ``towers``: the dot product of their vectors;
    - ``ease``, ``nearby``: item-item evidence of the recent history;
    - ``heat_30``, ``heat_365``, ``new_30``, ``new_365``: how much the movie is rated, and by
      newcomers, see `training.live`.

    Attributes:
        recency: of EASE, see there.
        diversity: trade-off of `training.mmr` by the movies' vectors.
        impressions: at most so many, evenly spaced.
        candidates: of an impression, beside what was picked.
        max_epochs: of the towers.
        seed: of everything random.
    """

    recency: float = 0.85
    diversity: float = field(default=0.4, metadata=WHEN_ASKED)
    impressions: int = 3000
    candidates: int = 500
    max_epochs: int = 12
    seed: int = 0

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        _, since = moments(train.times, _RANKED, _RANKED)
        past = train.take(np.flatnonzero(train.times < since))
        self.learn(past, self._towers(past))
        on_progress(1, 3)
        self.weigh(train, since)
        on_progress(2, 3)
        self.learn(train, self._towers(train))
        on_progress(3, 3)

    def weigh(self, log: Ratings, since: int) -> None:
        """Learn what each feature is worth.

        Args:
            log: ratings, those that were learnt from before `since` and some after it.
            since: ms since the epoch.
        """
        questions = Questions.of(replace(log, tags=NO_TAGS), since)
        known, new = (
            self._shown(replace(questions, events=_evenly(questions.events[of], self.impressions)))
            for of in (questions.ages > 0, questions.ages == 0)
        )
        self.weights = ranker.fit(known)
        live = {name: new.features[name] for name in self._live() if len(new.ratings)}
        self.newcomers = ranker.fit(new._replace(features=live)) if len(new.ratings) else _HOTTEST

    def observe(self, events: Ratings) -> None:
        self.live.observe(events.users, events.rows, events.times)

    def score(self, histories: Histories) -> Floats:
        """-inf for what is not among the candidates."""
        features = self._said(histories) | self._live()
        ranking = self.ranking
        rated = _rated(histories)
        chosen = ranking.candidates(features, rated)
        of_chosen = {name: of_candidates(values, chosen) for name, values in features.items()}
        scores = np.full((len(histories), len(histories.log.movies)), -np.inf, np.float32)
        utilities = ranking.utilities(of_chosen, histories.lengths)
        utilities[np.take_along_axis(rated, chosen, axis=1)] = -np.inf
        np.put_along_axis(scores, chosen, utilities, axis=1)
        vectors = self.towers.vectors[1:]
        order = diversify(utilities, chosen, vectors, _DIVERSIFIED, self.diversity)
        put_first(scores, np.where(order < 0, order, np.take_along_axis(chosen, order, axis=1)))
        return scores

    @property
    def ranking(self) -> Ranking:
        """What serving needs beside the towers."""
        return Ranking(self._links, self.weights, self.newcomers, _PROPOSED, self.diversity)

    def __deepcopy__(self, memo: dict[int, Any]) -> "TwoStage":
        """Observes on its own; the models, which nothing changes, are shared."""
        twin = copy.copy(self)
        twin.live = self.live.copy()
        return twin

    def learn(self, train: Ratings, towers: Embeds) -> None:
        """Learn all but the weights from these ratings, from which the towers learnt."""
        self.towers = towers
        self.ease = _ease(train)
        self.near = nearness(train)
        self.live = Counted(len(train.movies))
        self.observe(train)

    def _towers(self, train: Ratings) -> Towers:
        towers = Towers(max_epochs=self.max_epochs, seed=self.seed)
        towers.fit(train)
        return towers

    @property
    def _links(self) -> dict[str, Links]:
        return {
            "ease": Links(self.ease, self.recency, liked_from=1),
            "nearby": Links(self.near, RECENCY, liked_from=1),
        }

    def _said(self, histories: Histories) -> dict[str, Floats]:
        """By name, f32[B, movies] of each user."""
        standing = histories.standing()
        said = {TOWERS: self.towers.embed(histories) @ self.towers.vectors[1:].T}
        return said | {name: links.scores(standing) for name, links in self._links.items()}

    def _live(self) -> dict[str, Floats]:
        """By name, f32[1, movies] of everyone."""
        return {name: values[None] for name, values in live_features(self.live.heats).items()}

    def _shown(self, questions: Questions) -> Impressions:
        """What the user of each question could have picked, with the features of that moment."""
        chance = np.random.default_rng(self.seed)
        histories, observed = questions.histories("fresh"), questions.observed("fresh")
        now = self.live.copy()
        shown: list[dict[str, Floats]] = []
        stand_for: list[Floats] = []
        known = 0
        for some in batches(histories):
            said = self._said(some)
            rated = _rated(some)
            for one in range(len(some)):
                at = len(shown)
                news = questions.told[known : observed[at]]
                log = questions.log
                now.observe(log.users[news], log.rows[news], log.times[news])
                known = observed[at]
                live = live_features(now.heats)
                order = _order([values[one] for values in said.values()], list(live.values()))
                order[rated[one]] = -np.inf
                picked, drawn = candidates(order, questions.rows[at], self.candidates, chance)
                features = {name: values[one, picked] for name, values in said.items()}
                features |= {name: values[picked] for name, values in live.items()}
                shown.append(features)
                stand_for.append(drawn)
        names = shown[0] if shown else {}
        features = {name: np.stack([one[name] for one in shown]) for name in names}
        one_each = np.ones(len(shown), np.int64)
        return Impressions(features, histories.lengths, np.array(stand_for, np.float32), one_each)


def candidates(
    order: Floats, row: int, size: int, chance: np.random.Generator
) -> tuple[Ints, Floats]:
    """(i64[size + 1] the picked row and candidates, f32[size + 1] how many each stands for).

    Half of the candidates are those that `order` puts first; the others are drawn for the rest.

    Args:
        order: f32[movies], -inf for what nobody can pick.
        row: what was picked.
        size: candidates beside it; where there are fewer, what stands for none fills up the list.
        chance: draws.
    """
    others = np.flatnonzero(order > -np.inf)
    others = others[others != row]
    others = others[np.argsort(-order[others], kind="stable")]
    first, rest = others[: size // 2], others[size // 2 :]
    drawn = chance.permutation(rest)[: size - len(first)]
    found = np.concatenate([[row], first, drawn])
    weights = np.concatenate(
        [np.ones(1 + len(first)), np.full(len(drawn), len(rest) / max(1, len(drawn)))]
    )
    missing = (0, size + 1 - len(found))
    return np.pad(found, missing), np.pad(weights, missing).astype(np.float32)


def _order(*features: list[Floats]) -> Floats:
    """f32[movies]: the plain sum of features, each divided by its deviation."""
    total = np.zeros_like(features[0][0])
    for feature in (one for some in features for one in some):
        deviation = feature.std()
        if deviation > 0:
            total += feature / deviation
    return total


def _evenly(events: Ints, limit: int) -> Ints:
    return events[:: max(1, -(-len(events) // limit))]


def _rated(histories: Histories) -> npt.NDArray[np.bool_]:
    """bool[B, movies]: what each user has rated."""
    rated = np.zeros((len(histories), len(histories.log.movies)), np.bool_)
    lists, events = histories.events()
    rated[lists, histories.log.rows[events]] = True
    return rated


def _ease(train: Ratings) -> sparse.csr_array:
    """f32[movies, movies]: the strongest of EASE's weights."""
    model = Ease(liked_from=1)
    model.fit(train)
    strongest = strongest_links(model.weights, _LINKS)
    places = model.rows
    ends = np.zeros(len(train.movies) + 1, np.int64)
    ends[places + 1] = np.diff(strongest.indptr)
    shape = (len(train.movies), len(train.movies))
    columns = places[strongest.indices]
    return sparse.csr_array((strongest.data, columns, np.cumsum(ends)), shape=shape)
