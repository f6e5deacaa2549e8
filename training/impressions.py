"""Impressions for the question "what comes next?": what people came to like, simulated by time.

The ranker learns from them where lists are asked for what somebody rates next; where they are asked
for the rest of somebody's ratings, it learns from `training.hold_out`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from training.histories import Histories
from training.live import Counted, live_features
from training.prequential import Questions
from training.ranker import Impressions
from training.recommender import batches, without_rated
from training.tower_inputs import Floats, Ints

# Features of people: by name f32[B, movies], or f32[1, movies] of what is the same for everybody.
Said: TypeAlias = Callable[[Histories], Mapping[str, Floats]]


@dataclass(frozen=True)
class Arrivals:
    """Impressions of the movies that somebody came to like, each with the state right before it.

    Attributes:
        lists: at most so many, evenly spaced.
        candidates: of each, beside what was picked: half of them those that come first when the
            features are added up, each divided by its deviation, and half drawn for all the others.
        seed: of what is drawn.
    """

    lists: int
    candidates: int
    seed: int

    def impressions(self, questions: Questions, counted: Counted, said: Said) -> Impressions:
        """Of questions that are asked of what was fitted on `questions.known` alone.

        Args:
            questions: asked with fresh state.
            counted: the heats of what is known; they stay as they are.
            said: the features of people. Those of movies are `live_features`.
        """
        every = max(1, -(-len(questions) // self.lists))
        questions = replace(questions, events=questions.events[::every])
        chance = np.random.default_rng(self.seed)
        log, rows = questions.log, questions.rows
        histories, observed = questions.histories("fresh"), questions.observed("fresh")
        counted, told = counted.copy(), 0
        features: list[dict[str, Floats]] = []
        stand_for: list[Floats] = []
        for some in batches(histories):
            of_people = said(some)
            allowed = without_rated(np.zeros((len(some), len(log.movies)), np.float32), some)
            for one in range(len(some)):
                at = len(features)
                news = questions.told[told : observed[at]]
                counted.observe(log.users[news], log.rows[news], log.times[news])
                told = observed[at]
                found = {name: values[one] for name, values in of_people.items()}
                found |= live_features(counted.heats)
                order = added_up(found) + allowed[one]
                shown, drawn_for = candidates(order, rows[at], self.candidates, chance)
                features.append({name: values[shown] for name, values in found.items()})
                stand_for.append(drawn_for)
        names = features[0] if features else {}
        return Impressions(
            {name: np.stack([one[name] for one in features]) for name in names},
            np.array(stand_for, np.float32),
            np.ones(len(features), np.int64),
        )


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


def added_up(features: Mapping[str, Floats]) -> Floats:
    """f32[.., movies]: the plain sum of features, each divided by its deviation among the movies.

    Args:
        features: by name, f32[.., movies]; 1 and B lists may stand beside each other.
    """
    scaled = []
    for values in features.values():
        deviations = values.std(axis=-1, keepdims=True)
        scaled.append(values / np.where(deviations > 0, deviations, 1))
    order: Floats = np.sum(np.broadcast_arrays(*scaled), axis=0)
    return order
