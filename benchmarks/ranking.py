"""The second stage of one request: candidates, features, utilities and a diversified list."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from statistics import quantiles
from time import perf_counter
from types import SimpleNamespace
from typing import Final, NamedTuple, cast

import numpy as np
from scipy import sparse

from api.lists.ranking import Person, rank, trends
from api.lists.wanted import Wanted
from api.serving.live import LiveHeats, LiveMovies
from benchmarks.report import Report, main
from stream.coldstart import ItemVectors
from stream.features import HEATS
from stream.records import MovieHeats
from training.artifact import Artifact
from training.index import IndexedMovie
from training.movie_table import MovieTable
from training.ranking import TOWERS, Links, Ranking
from training.repertoire import Repertoire
from training.standing import Standing
from training.tower_inputs import Ints

CATALOGUES: Final = (10_000, 62_000)  # movies: about MovieLens 10M, and 25M
DIMENSIONS: Final = 128
GENRES: Final = 20
LINKS: Final = 150  # of a movie at most
COMPANY: Final = 20_000  # movies that EASE knows, those with the most ratings (`training.company`)
NEARBY: Final = 20  # links of a movie for each of its ratings (`training.nearby`)
UNRATED: Final = 0.05  # of the movies, which are tried; of MovieLens 25M as many
NEAREST: Final = 64  # movies of the index, as `training.two_stage` has it proposed
BY_LINKS: Final = 50  # that each kind of links proposes, likewise
LINKED: Final = ("ease", "liked", "nearby")
RATINGS: Final = {"a newcomer": 3, "MovieLens' mean": 154, "a heavy user": 2_000}
LIMIT: Final = 10
TIMES: Final = 300
BAR: Final = 3.0  # ms

PARTITIONS: Final = 4
CHANGED: Final = 1_000  # movies rated between two looks


class World(NamedTuple):
    """A model as far as the second stage reads it, and the movies as they are now."""

    ranking: Ranking
    repertoire: Repertoire
    live: LiveMovies
    heats: LiveHeats


def run() -> Report:
    report = Report("The second stage of a request", "python -m benchmarks.ranking")
    chance = np.random.default_rng(5)
    for movies in CATALOGUES:
        world = _world(movies, chance)
        for who, ratings in RATINGS.items():
            people = [_person(world, ratings, chance) for _ in range(20)]
            timings = _timings(partial(_ask, world, cycle(people)))
            what = f"{movies:,} movies, {who} ({ratings:,} ratings), p50"
            report.at_most(what, timings[49], "ms", BAR)
        looks = _timings(partial(_look, world), 30)
        report.context(f"{movies:,} movies, {CHANGED:,} of them changed: a look", looks[49], "ms")
    report.notes.append(
        f"{NEAREST} nearest movies are given; with what {len(LINKED)} matrices of {LINKS} links a "
        f"movie and two heats propose there are 220 to 320 candidates of {DIMENSIONS} dimensions, "
        f"for a list of {LIMIT}. A look adds up the heats of {PARTITIONS} partitions and makes "
        "features and trends of them, in a thread, once a second; what Redis takes is not in it."
    )
    return report


def _world(movies: int, chance: np.random.Generator) -> World:
    vectors = chance.normal(size=(movies, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = ItemVectors("benchmark", np.arange(1, movies + 1, dtype=np.uint32), vectors)
    ranking = untrained_ranking(movies, chance)
    learnt = (
        IndexedMovie(
            movie_id=id_,
            title="",
            genres=(str(chance.integers(GENRES)),),
            year=None,
            popularity=int(chance.random() > UNRATED),
        )
        for id_ in items.movie_ids.tolist()
    )
    table = MovieTable.of([*learnt])
    artifact = cast(Artifact, SimpleNamespace(items=items, movies=lambda: table))
    heats = LiveHeats()
    heats._start(PARTITIONS)
    sums = chance.integers(0, 1_000, (3, movies))
    everything = MovieHeats(items.movie_ids, chance.normal(600, 5, (movies, len(HEATS))), sums)
    for partition in range(PARTITIONS):
        heats._take(partition, everything)
    heats._add_up(np.arange(movies))
    return World(ranking, Repertoire.of(artifact), heats.movies(items), heats)


def untrained_ranking(
    movies: int, chance: np.random.Generator, counts: Ints | None = None
) -> Ranking:
    """As large and as fast as one that is trained.

    Args:
        movies: how many there are.
        chance: of what leads where.
        counts: i64[movies] ratings of each, by which it has links; by default all have all theirs.
    """
    counts = np.full(movies, LINKS) if counts is None else counts
    most_rated = np.argsort(-counts, kind="stable")
    known = np.zeros(movies, np.int64)
    known[most_rated[:COMPANY]] = LINKS
    lengths = {
        "ease": np.where(counts, known, 0),
        "liked": np.where(counts, known, 0),
        "nearby": np.minimum(NEARBY * counts, LINKS),
    }
    weights = {
        name: np.array([1, 1, 1], np.float32)
        for name in (TOWERS, *LINKED, *(heat.name for heat in HEATS))
    }
    return Ranking(
        links={
            name: Links(_links(lengths[name], most_rated, chance), 0.85, liked_from=1)
            for name in LINKED
        },
        weights=weights,
        newcomers={heat.name: weights[heat.name] for heat in HEATS},
        proposed={TOWERS: NEAREST, **dict.fromkeys(LINKED, BY_LINKS), "heat_30": 50, "new_30": 50},
        trade_off=0.4,
    )


def _links(lengths: Ints, most_rated: Ints, chance: np.random.Generator) -> sparse.csr_array:
    """So many of each movie, most often to those with the most ratings."""
    movies, ends = len(lengths), np.concatenate([[0], np.cumsum(lengths)])
    places = (movies * chance.random(ends[-1], np.float32) ** 3).astype(np.int32)
    values = chance.random(ends[-1], np.float32)
    parts = (values, most_rated[places].astype(np.int32), ends.astype(np.int32))
    return sparse.csr_array(parts, shape=(movies, movies))


def _person(world: World, ratings: int, chance: np.random.Generator) -> Person:
    items = world.repertoire.items
    rows = chance.choice(len(items.movie_ids), ratings, replace=False)
    standing = Standing(1, np.zeros(ratings, np.int64), rows, np.full(ratings, 8))
    vector = chance.normal(size=DIMENSIONS).astype(np.float32)
    nearest = np.setdiff1d(np.argpartition(-(items.vectors @ vector), NEAREST)[:NEAREST], rows)
    return Person(standing, vector, nearest, "two_tower")


def _ask(world: World, people: Iterator[Person]) -> None:
    rank(world.ranking, world.repertoire, world.live, next(people), Wanted(LIMIT))


def _look(world: World) -> None:
    """What a look does with the heats that it has read."""
    slots = np.arange(CHANGED)
    world.heats._add_up(slots)
    live = world.heats.movies(world.repertoire.items)
    trends(live, world.ranking.newcomers, 100)


def _timings(what: Callable[[], object], times: int = TIMES) -> list[float]:
    """Percentiles 1 to 99 in ms, after some calls that warm up."""
    for _ in range(10):
        what()
    taken = []
    for _ in range(times):
        begin = perf_counter()
        what()
        taken.append((perf_counter() - begin) * 1e3)
    return quantiles(taken, n=100)


if __name__ == "__main__":
    main(run)
