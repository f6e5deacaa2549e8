"""A list that one person gives to another: what the receiver would like, and would not get anyway.

Each of three has log-odds for a movie: the receiver, the giver, and somebody of whom nothing is
known. What is over those of the last is a person's own taste; it is the pointwise mutual
information of person and movie, up to a constant of each person.
"""

from typing import Final, NamedTuple

import numpy as np

from api.catalogue.described import movie_at, named
from api.lists.people import Reading, read_people, their_opinions, why_none, without_model
from api.lists.scoring import Opinions
from api.schemas.several import GiftMovie, GiftQuery, GiftRecommendations
from api.serving.watcher import Serving
from api.stages import stage
from stream.contracts.events import new_event_id
from stream.store import StateStore
from training.tower_inputs import Floats, Ints

# How much of the log-odds of somebody unknown is taken away. All of it would leave what hardly
# anybody else wants, and with it what the model knows least of.
OBVIOUS: Final = np.float32(0.5)

GIVER: Final = np.float32(0.25)  # how much the giver's taste counts: it is the receiver's list

# Movies that somebody unknown is shown first, which are in no list.
KNOWN_BY_ALL: Final = 20

# Movies that the receiver is likeliest to pick for each that is given: those are chosen from them.
CHOICE: Final = 5


class Given(NamedTuple):
    """k movies, best first.

    Attributes:
        places: i64[k] which of the candidates they are.
        scores: f32[k] exp(worth - that of the best).
    """

    places: Ints
    scores: Floats


async def for_somebody(
    store: StateStore, serving: Serving, giver_id: int, query: GiftQuery
) -> GiftRecommendations:
    """Movies that one person may give to another. Raises as `read_people`."""
    with stage("state"):
        people = await read_people(store, serving, list(dict.fromkeys((giver_id, query.receiver))))
    giver, receiver = people[0], people[-1]
    seen = set(receiver.state.movie_ids().tolist())
    obvious = {movie_id for movie_id, _ in serving.trending[:KNOWN_BY_ALL]}
    wanted, states = query.to_filter(), [one.state for one in people if one.known]
    with stage("rank"):
        found = await their_opinions(serving, states, seen | obvious, wanted, CHOICE * query.limit)
    if found is None:
        items = [
            GiftMovie(**named(movie), score=score, receiver=score, giver=score, everybody=score)
            for movie, score in without_model(serving, seen | obvious, wanted, query.limit)
        ]
    else:
        items = _items(serving, found, giver, receiver, query.limit)
    return GiftRecommendations(
        impression_id=new_event_id(),
        giver=giver.person(),
        receiver=receiver.person(),
        unknown=[one.user_id for one in people if not one.known],
        degraded=["model_unavailable"] if found is None else [],
        model_version=serving.model.event.version if serving.model else None,
        items=items,
        empty_because=None if items else why_none(serving, wanted),
    )


def worth(receiver: Floats, giver: Floats, newcomer: Floats) -> Floats:
    """f32[C]: (u_r - u_0 / 2) + (u_g - u_0 / 2) / 4, of log-odds f32[C] of each of the three."""
    return (receiver - OBVIOUS * newcomer) + GIVER * (giver - OBVIOUS * newcomer)


def given(receiver: Floats, giver: Floats, newcomer: Floats, limit: int) -> Given:
    """The best movies to give, of those that the receiver is likeliest to pick.

    Equal ones come in their order.

    Args:
        receiver: f32[C] log-odds of the candidates, as are `giver` and `newcomer`.
        giver: theirs.
        newcomer: those of somebody unknown.
        limit: how many movies.
    """
    choice = np.sort(np.argsort(-receiver, kind="stable")[: CHOICE * limit])
    of_choice = worth(receiver, giver, newcomer)[choice]
    best = np.argsort(-of_choice, kind="stable")[:limit]
    scores: Floats = np.exp(of_choice[best] - of_choice.max(initial=-np.inf))
    return Given(choice[best], scores)


def _items(
    serving: Serving, found: Opinions, giver: Reading, receiver: Reading, limit: int
) -> list[GiftMovie]:
    movies = serving.repertoire
    if movies is None or not len(found.rows):
        return []
    # Of an unknown receiver the giver has an idea, of an unknown giver nobody has.
    u_g = found.utilities[0] if giver.known else found.newcomer
    u_r = found.utilities[-1] if receiver.known else u_g
    best = given(u_r, u_g, found.newcomer, limit)
    shares = [np.exp(of - of.max())[best.places].tolist() for of in (u_r, u_g, found.newcomer)]
    return [
        GiftMovie(
            **named(movie_at(serving, movies, row)),
            score=score,
            receiver=of_receiver,
            giver=of_giver,
            everybody=of_all,
        )
        for row, score, of_receiver, of_giver, of_all in zip(
            found.rows[best.places].tolist(), best.scores.tolist(), *shares, strict=True
        )
    ]
