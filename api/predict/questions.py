"""Questions to the predictor of ratings, from live state: the same arrays as the lab makes."""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from api.serving.live import LiveMovies
from api.serving.models import ServedModel
from api.serving.watcher import Serving
from stream.coldstart import ItemVectors
from stream.features import SECOND, UserState
from stream.left_out import keeping
from training.baselines.linear_features import Prior
from training.rating_questions import Asked, Past, Sums
from training.tower_inputs import Floats, Ints

Ids: TypeAlias = npt.NDArray[np.uint32]

NOBODY: Final = UserState()


class Pairs(NamedTuple):
    """k pairs of a person and a movie.

    Attributes:
        of: i64[k] which of some people.
        movies: u32[k] movie ids.
    """

    of: Ints
    movies: Ids


class Rated(NamedTuple):
    """Pairs as they are asked about: people without their rating of the movie, if they have one.

    Attributes:
        states: of the people, and again without a rating for each pair that needs it.
        of: i64[k] which of `states`.
        own: i64[k] half stars of the person's own rating that is left out, 0 without one.
    """

    states: Sequence[UserState]
    of: Ints
    own: Ints


def without_own(states: Sequence[UserState], pairs: Pairs) -> Rated:
    """Nothing is predicted from itself: what is known already is left out of the question."""
    everyone, of, own = list(states), pairs.of.copy(), np.zeros(len(pairs.of), np.int64)
    histories, ids = [state.movies for state in states], pairs.movies.astype("<u4").tobytes()
    for at, person in enumerate(of.tolist()):
        if ids[4 * at : 4 * at + 4] not in histories[person]:
            continue
        state = states[person]
        is_it = state.movie_ids() == pairs.movies[at]
        if is_it.any():  # not the end of one id and the beginning of the next
            own[at] = state.half_stars[int(np.argmax(is_it))]
            of[at] = len(everyone)
            everyone.append(keeping(state, ~is_it))
    return Rated(everyone, of, own)


def question(
    serving: Serving, model: ServedModel, rated: Rated, movies: Ids, at: int
) -> tuple[Past, Asked]:
    """What `RatingModel` is asked.

    What the movies were rated is as of the last look at the store; of those that their person has
    rated it is without that rating.

    Args:
        serving: with the live movies.
        model: that is asked.
        rated: of k pairs.
        movies: u32[k] theirs.
        at: when they would rate, ms since the epoch.
    """
    items, known = model.repertoire.items, model.artifact.predictor.known
    learnt = model.repertoire.learnt
    states = rated.states
    seen = np.frombuffer(b"".join([state.movies for state in states]), "<u4")
    seconds = np.frombuffer(b"".join([state.times for state in states]), "<u4")
    half_stars = np.frombuffer(b"".join([state.half_stars for state in states]), np.uint8)
    places = places_of(serving.live, items, seen)
    prior = Prior(*known.prior.tolist())
    past = Past(
        ends=np.append(0, np.cumsum([len(state) for state in states])),
        rows=np.where(places < learnt, places, -1),
        stars=half_stars.astype(np.float32) * np.float32(0.5),
        times=seconds.astype(np.int64) * SECOND,
        means=means_at(serving.live, places, prior),
    )
    places = places_of(serving.live, items, movies)
    rows = np.where(places < learnt, places, -1)
    content = known.content[rows]
    later = {
        at: movie
        for at in np.flatnonzero(rows < 0).tolist()
        if (movie := serving.catalogue.get(int(movies[at]))) is not None
    }
    if later:
        content[list(later)] = known.describe(list(later.values()))
    sums = without(sums_at(serving.live, places), rated.own)
    return past, Asked(rated.of, rows, np.full(len(rows), at, np.int64), sums, content)


def places_of(live: LiveMovies, items: ItemVectors | None, movies: Ids) -> Ints:
    """i64[k] where each movie is among the live ones, -1 where nobody has rated it.

    Args:
        live: the movies, those of `items` first.
        items: of the repertoire; None without a model.
        movies: u32[k] ids.
    """
    first = 0
    places = np.full(len(movies), -1, np.int64)
    if items is not None:
        places, first = items.rows(movies).astype(np.int64), len(items.movie_ids)
    others = live.ids[first:]
    missing = np.flatnonzero(places < 0)
    if len(others) and len(missing):
        order = np.argsort(others)
        at = np.minimum(np.searchsorted(others[order], movies[missing]), len(others) - 1)
        found = others[order[at]] == movies[missing]
        places[missing[found]] = first + order[at[found]]
    return places


def sums_at(live: LiveMovies, places: Ints) -> Sums:
    """What the movies in these places were rated, nothing at -1."""
    return Sums(*(_taken(of, places) for of in live.sums))


def means_at(live: LiveMovies, places: Ints, prior: Prior) -> Floats:
    """`Sums.means` of `sums_at`, for which there is no need of squares."""
    counts, totals = (_taken(of, places) for of in live.sums[:2])
    return prior.means(counts.astype(np.float64), totals / 2).astype(np.float32)


def _taken(sums: Ints, places: Ints) -> Ints:
    if not len(sums):
        return np.zeros(len(places), np.int64)
    return sums.take(places) * (places >= 0)


def without(sums: Sums, own: Ints) -> Sums:
    """The same without one rating each of so many half stars, where they are not 0.

    A look at the store may be older than the rating: then there is nothing to take off.
    """
    there = (own > 0) & (sums.counts > 0)
    own = np.where(there, own, 0)
    less = Sums(sums.counts - there, sums.totals - own, sums.squares - own**2)
    return Sums(*(np.where(less.counts > 0, of, 0) for of in less))
