"""A list for a group: everyone's scores of the same movies, made one by a strategy.

Judith Masthoff: Group modeling: Selecting a sequence of television items to suit a group of viewers
(User Modeling and User-Adapted Interaction 14, 2004).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from api.catalogue.described import movie_at, named
from api.lists.people import (
    Reading,
    read_people,
    seen_by,
    their_opinions,
    why_none,
    without_model,
)
from api.lists.scoring import Opinions
from api.schemas.several import (
    GroupMovie,
    GroupRecommendations,
    GroupRequest,
    GroupStrategy,
    MemberScore,
)
from api.serving.watcher import Serving
from api.stages import stage
from stream.contracts.events import new_event_id
from stream.store import StateStore
from training.tower_inputs import Floats, Ints

# Of scores 0..1: closer ones are equal, whatever a sum was rounded by.
_DECIMALS: Final = 6


class Ordered(NamedTuple):
    """k movies, best first.

    Attributes:
        places: i64[k] which of the candidates they are.
        scores: f32[k] the group's.
        members: f32[B, k] everyone's.
    """

    places: Ints
    scores: Floats
    members: Floats


async def for_group(
    store: StateStore, serving: Serving, asked: GroupRequest
) -> GroupRecommendations:
    """Movies for a group. Raises as `read_people`."""
    with stage("state"):
        people = await read_people(store, serving, asked.user_ids)
    known, seen = [one for one in people if one.known], seen_by(people)
    wanted, states = asked.filters.to_filter(), [one.state for one in known]
    with stage("rank"):
        found = await their_opinions(serving, states, seen, wanted, asked.limit)
    if found is None:
        items = [
            GroupMovie(**named(movie), score=score, members=[])
            for movie, score in without_model(serving, seen, wanted, asked.limit)
        ]
    else:
        items = _items(serving, found, known, asked)
    return GroupRecommendations(
        impression_id=new_event_id(),
        strategy=asked.strategy,
        members=[one.person() for one in people],
        unknown=[one.user_id for one in people if not one.known],
        degraded=["model_unavailable"] if found is None else [],
        model_version=serving.model.event.version if serving.model else None,
        items=items,
        empty_because=None if items else why_none(serving, wanted),
    )


def scaled(utilities: Floats) -> Floats:
    """f32[B, C]: 1 for each person's best movie, 0 for the middle one of all and whatever is below.

    Log-odds of different people are not on one scale: who is easier to predict has further ones.
    From the worst movie on they would tell how bad that is rather than which ones are good. Who
    likes all the same gives 1 to all.

    Args:
        utilities: f32[B, C] of at least one movie, in log-odds.
    """
    middle = np.median(utilities, axis=1, keepdims=True)
    best = utilities.max(axis=1, keepdims=True)
    spread = np.where(best > middle, best - middle, 1)
    above = np.where(best > middle, (utilities - middle) / spread, utilities >= best)
    found: Floats = np.maximum(above, 0).astype(np.float32).round(_DECIMALS)
    return found


def together(scores: Floats, strategy: GroupStrategy) -> Floats:
    """f32[C]: the group's score of each movie; of members f32[B, C], 0..1.

    `average` is their mean, `least_misery` the lowest of them, `most_pleasure` the highest.
    """
    found: Floats
    if strategy == "average":
        found = scores.mean(axis=0)
    elif strategy == "least_misery":
        found = scores.min(axis=0)
    else:
        found = scores.max(axis=0)
    return found.round(_DECIMALS)


def ordered(utilities: Floats, strategy: GroupStrategy, limit: int) -> Ordered:
    """The best movies for a group; equal ones by their average, then the first.

    Args:
        utilities: f32[B, C] of each person, in log-odds.
        strategy: how one score is made of theirs.
        limit: how many movies.
    """
    members = scaled(utilities)
    scores, average = together(members, strategy), together(members, "average")
    places: Ints = np.lexsort((-average, -scores))[:limit]
    return Ordered(places, scores[places], members[:, places])


def _items(
    serving: Serving, found: Opinions, known: Sequence[Reading], asked: GroupRequest
) -> list[GroupMovie]:
    movies = serving.repertoire
    if movies is None or not len(found.rows):
        return []
    # Where nothing is known of anybody, somebody new decides.
    utilities = found.utilities if known else found.newcomer[None]
    best = ordered(utilities, asked.strategy, asked.limit)
    return [
        GroupMovie(
            **named(movie_at(serving, movies, row)),
            score=score,
            members=[
                MemberScore(user_id=one.user_id, score=its)
                for one, its in zip(known, scores, strict=False)
            ],
        )
        for row, score, scores in zip(
            found.rows[best.places].tolist(),
            best.scores.tolist(),
            best.members.T.tolist(),
            strict=True,
        )
    ]
