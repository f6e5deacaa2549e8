"""Two stages as a recommender of the lab: what is served, fitted and asked in bulk."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from scipy import sparse

from training import ranker
from training.baselines.ease import Ease
from training.baselines.towers import Towers
from training.company import company
from training.config import REST, Config
from training.dataset import LIKED, NO_TAGS, Ratings
from training.histories import Histories
from training.hold_out import Lists, hold_out
from training.impressions import Arrivals
from training.live import Counted, live_features
from training.mmr import likeness
from training.nearby import RECENCY, nearness
from training.prequential import Questions
from training.ranking import (
    TOWERS,
    Links,
    Ranking,
    of_candidates,
)
from training.recommender import WHEN_ASKED, OnProgress
from training.split import moments
from training.strongest import among, strongest_links, strongest_of
from training.task import Task
from training.tower_inputs import Floats

# Share of the ratings, the latest ones, from which impressions are taken while the weights are
# learnt. What is weighed knows what came before.
_RANKED: Final = 0.1

_DIVERSIFIED: Final = 50  # places of a list, which are all that are shown; the rest go by utility

# Of a movie at most: what is further down adds nothing to lists of ten that could be told from
# chance, and takes as much room and time again (docs/models.md).
_LINKS: Final = 150

# Candidates by the feature that proposes them; each kind of links proposes so many. Three times as
# many of the towers' and twice as many of the links' make the same first ten (docs/models.md).
_PROPOSED: Final = {TOWERS: 64, "heat_30": 50, "new_30": 50}
_PROPOSED_BY_LINKS: Final = 50

# The live features that count beside what is known of a person, by objective; newcomers' heats say
# nothing more. Rich ones are worth it where there are many people to learn their weights from, and
# are learnt by heart where there are few.
_HEATS: Final = {"next": ("heat_30",), "rest": ()}
_RICH_HEATS: Final = {"next": ("heat_30", "heat_365"), "rest": ("heat_30",)}

# What a rating counts of the one after it where lasting taste is asked for: hundreds of ratings
# count, and a longer history takes no longer.
_LASTING: Final = 0.98

# Impressions of people without a rating that their weights are learnt from at least, lest a few are
# learnt by heart, and what their weights are where there are fewer.
_FEW: Final = 10
_HOTTEST: Final = {"heat_30": np.array([1, 0, 0], np.float32)}

# What is saved of a fitted model as it is, and in front of the names of its links.
_SAVED: Final = ("towers", "likeness", "weights", "newcomers")
_MATRIX: Final = "links_"


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

    A fit is two. First all but the weights is learnt from a part of the ratings and asked for the
    others, from which the ranker learns what each feature is worth. Then all but the weights is
    learnt from everything.

    Features of a movie and a user:

    - ``towers``: the dot product of their vectors;
    - where what comes next is asked: ``ease``, EASE's evidence of all that was rated; ``liked``, of
      what was liked; ``nearby``, what is rated within a few events of the history's movies;
      ``heat_30``, how much the movie is rated, see `training.live`;
    - where the rest is asked: ``company``, see `training.company`;
    - where it is rich, also ``lasting``, EASE's evidence of a whole history, and ``heat_365`` where
      what comes next is asked, ``nearby`` and ``heat_30`` where the rest is.

    For someone without a rating all live features count, and no other.

    Attributes:
        objective: ``next``, what comes next: the weights are learnt from the latest tenth of the
            ratings, each asked for with the state from right before it, and recent ratings count
            more. Or ``rest``, what else is rated, whenever that is: from a random fifth of
            everybody's, and all ratings count alike. The towers learn the same.
        rich: whether there are the features that many people are needed for.
        recency: of EASE where what comes next is asked, see there.
        diversity: trade-off of `training.mmr`.
        impressions: lists to learn the weights from, at most.
        candidates: of such a list.
        max_epochs: of the towers.
        seed: of everything random.
    """

    objective: Literal["next", "rest"] = "next"
    rich: bool = False
    recency: Annotated[float, Meta(gt=0, le=1)] = 0.85
    diversity: Annotated[float, Meta(ge=0, lt=1)] = field(default=0.2, metadata=WHEN_ASKED)
    impressions: Annotated[int, Meta(ge=1)] = 3000
    candidates: Annotated[int, Meta(ge=1)] = 300
    max_epochs: Annotated[int, Meta(ge=1)] = 24
    seed: Annotated[int, Meta(ge=0)] = 0

    def fit(self, train: Ratings, on_progress: OnProgress = lambda *_: None) -> None:
        _, since = moments(train.times, _RANKED, _RANKED)
        held = hold_out(train, self.seed) if self.objective == "rest" else None
        past = held.train if held else train.take(np.flatnonzero(train.times < since))
        self.learn(past, self._towers(past))
        on_progress(1, 3)
        if held:
            self._weigh_rest(held)
        else:
            self.weigh(train, since)
        on_progress(2, 3)
        self.learn(train, self._towers(train))
        on_progress(3, 3)

    def learn(self, train: Ratings, towers: Embeds) -> None:
        """Learn all but the weights from these ratings, from which the towers learnt."""
        self.towers = towers
        self.likeness = likeness(towers.vectors[1:], [movie.genres for movie in train.movies])
        self.links = self._links(self._matrices(train))
        self.live = Counted(len(train.movies))
        self.observe(train)

    def weigh(self, log: Ratings, since: int) -> None:
        """Learn what each feature is worth for finding what comes next.

        Args:
            log: ratings, those that were learnt from before `since` and some after it.
            since: ms since the epoch.

        Raises:
            DatasetError: nobody who had rated something came to like anything after that.
        """
        questions = Questions.of(replace(log, tags=NO_TAGS), since)
        arrivals = Arrivals(self.impressions, self.candidates, self.seed)
        known, new = (
            arrivals.impressions(
                replace(questions, events=questions.events[of]), self.live, self._said
            )
            for of in (questions.ages > 0, questions.ages == 0)
        )
        count = {TOWERS, *self.links, *self.heats}
        features = {name: values for name, values in known.features.items() if name in count}
        self.weights = ranker.fit(known._replace(features=features))
        self.newcomers = _HOTTEST
        if len(new.picked) >= _FEW:
            live = {name: new.features[name] for name in self._live()}
            self.newcomers = ranker.fit(new._replace(features=live))

    def _weigh_rest(self, held: Task) -> None:
        lists = Lists(self.impressions, self.candidates, self.seed)
        live = {name: values for name, values in self._live().items() if name in self.heats}
        self.weights = ranker.fit(lists.impressions(held, lambda of: self._said(of) | live))
        self.newcomers = _HOTTEST

    def observe(self, events: Ratings) -> None:
        self.live.observe(events.users, events.rows, events.times)

    def score(self, histories: Histories) -> Floats:
        """-inf for what is not among the candidates; all movies have a score for someone new."""
        ranking, live = self.ranking, self._live()
        features = self._said(histories) | live
        rated = _rated(histories)
        chosen = ranking.candidates(features, rated)
        of_chosen = {name: of_candidates(values, chosen) for name, values in features.items()}
        utilities = ranking.utilities(of_chosen)
        scores = ranking.lists(utilities, chosen, rated, self.likeness, _DIVERSIFIED)
        scores[histories.lengths == 0] = ranking.of_newcomers(live)
        return scores

    @property
    def heats(self) -> tuple[str, ...]:
        """The live features that count for people who have rated something."""
        return (_RICH_HEATS if self.rich else _HEATS)[self.objective]

    @property
    def ranking(self) -> Ranking:
        """What serving needs beside the towers."""
        proposed = _PROPOSED | dict.fromkeys(self.links, _PROPOSED_BY_LINKS)
        return Ranking(self.links, self.weights, self.newcomers, proposed, self.diversity)

    def packed(self) -> dict[str, Any]:
        """See `baselines.storage.Packs`."""
        matrices = {_MATRIX + name: links.matrix for name, links in self.links.items()}
        learnt = {name: getattr(self, name) for name in _SAVED}
        return learnt | matrices | {"heats": self.live.heats, "given": self.live.given}

    def unpack(self, values: Mapping[str, Any]) -> None:
        """See `baselines.storage.Packs`."""
        for name in _SAVED:
            setattr(self, name, values[name])
        self.live = Counted.of(values["heats"], values["given"])
        named = (name for name in values if name.startswith(_MATRIX))
        self.links = self._links({name.removeprefix(_MATRIX): values[name] for name in named})

    def __deepcopy__(self, memo: dict[int, Any]) -> "TwoStage":
        """Observes on its own; the models, which nothing changes, are shared."""
        twin = copy.copy(self)
        twin.live = self.live.copy()
        return twin

    def _towers(self, train: Ratings) -> Towers:
        config = REST if self.objective == "rest" else Config()
        towers = Towers(config, max_epochs=self.max_epochs, seed=self.seed)
        towers.fit(train)
        return towers

    def _matrices(self, train: Ratings) -> dict[str, sparse.csr_array]:
        """By feature, f32[movies, movies] that are learnt for the objective."""
        found = {}
        if self.objective == "next":
            found["ease"], found["liked"] = _ease(train, 1), _ease(train, LIKED)
            if self.rich:
                found["lasting"] = found["ease"]
        else:
            found["company"] = company(train, _LINKS)
        if self.objective == "next" or self.rich:
            found["nearby"] = strongest_of(nearness(train), _LINKS)
        return found

    def _links(self, matrices: Mapping[str, sparse.csr_array]) -> dict[str, Links]:
        asked = {
            "company": (1.0, 1, True),
            "ease": (self.recency, 1, False),
            "lasting": (_LASTING, 1, False),
            "liked": (self.recency, LIKED, False),
            "nearby": (RECENCY if self.objective == "next" else 1.0, 1, self.objective == "rest"),
        }  # recency, liked_from, scaled
        return {name: Links(matrix, *asked[name]) for name, matrix in matrices.items()}

    def _said(self, histories: Histories) -> dict[str, Floats]:
        """By name, f32[B, movies] of each user."""
        standing = histories.standing()
        said = {TOWERS: self.towers.embed(histories) @ self.towers.vectors[1:].T}
        return said | {name: links.scores(standing) for name, links in self.links.items()}

    def _live(self) -> dict[str, Floats]:
        """By name, f32[1, movies] of everyone."""
        return {name: values[None] for name, values in live_features(self.live.heats).items()}


def _rated(histories: Histories) -> npt.NDArray[np.bool_]:
    """bool[B, movies]: what each user has rated."""
    rated = np.zeros((len(histories), len(histories.log.movies)), np.bool_)
    lists, events = histories.events()
    rated[lists, histories.log.rows[events]] = True
    return rated


def _ease(train: Ratings, liked_from: int) -> sparse.csr_array:
    """f32[movies, movies]: the strongest of EASE's weights."""
    model = Ease(liked_from=liked_from)
    model.fit(train)
    return among(strongest_links(model.weights, _LINKS), model.rows, len(train.movies))
