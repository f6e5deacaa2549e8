"""Movies by name and tag: processor time of one search, and of the index that it asks."""

from collections.abc import Callable
from functools import partial
from itertools import islice
from statistics import quantiles
from time import process_time
from typing import Final

import numpy as np

from api.catalogue.search import LATELY, CatalogueIndex
from api.serving.live import LiveMovies
from benchmarks.population import tags_of, words_of
from benchmarks.report import Report, main
from stream.contracts.events import MovieEvent

CATALOGUES: Final = (10_000, 62_000)  # movies: about MovieLens 10M, and 25M
VOCABULARY: Final = 30_000  # words of all titles, by Zipf's law
LONGEST: Final = 8  # words of a title
TIMES: Final = 300
BAR: Final = 5.0  # ms


def run() -> Report:
    report = Report("Movies by name", "python -m benchmarks.search")
    chance = np.random.default_rng(11)
    for movies in CATALOGUES:
        everything = _catalogue(movies + LATELY + 1, chance)
        catalogue = dict(islice(everything.items(), movies))
        began = process_time()
        index = CatalogueIndex(catalogue)
        report.context(f"{movies:,} movies: an index", process_time() - began, "s")
        for later in (1, LATELY, LATELY + 1):
            larger = dict(islice(everything.items(), movies + later))
            began = process_time()
            CatalogueIndex(larger, index)
            taken = (process_time() - began) * 1e3
            report.context(f"{movies:,} movies: {later:,} more of them", taken, "ms")
        began = process_time()
        _ = index.tags
        taken = (process_time() - began) * 1e3
        report.context(f"{movies:,} movies: all tags, once asked for", taken, "ms")
        live = _live(catalogue, chance)
        index.find("a", 1, live)  # how often movies are rated is read once for every look
        titles = [movie.title for movie in catalogue.values()]
        tags = [tag for movie in catalogue.values() for tag in movie.tags]
        by_name = partial(index.find, limit=10, live=live)
        for what, names, find, typed in (
            ("one letter", titles, by_name, lambda name: name[:1]),
            ("half of the title", titles, by_name, lambda name: name[: len(name) // 2]),
            (
                "the title with a wrong letter",
                titles,
                by_name,
                lambda name: f"{name[:3]}q{name[4:]}",
            ),
            (
                "half of a tag",
                tags,
                partial(index.tags.find, limit=10),
                lambda name: name[: len(name) // 2],
            ),
            ("movies that have a tag", tags, index.tagged, str.title),
        ):
            taken = _timings(find, names, typed, chance)
            report.at_most(f"{movies:,} movies, {what}: p50", taken[49], "ms", BAR)
            report.at_most(f"{movies:,} movies, {what}: p99", taken[98], "ms", BAR)
    report.notes.append(
        f"Titles are of up to {LONGEST} words of a made-up vocabulary of {VOCABULARY:,}. Times are "
        "of the processor. An index is made in a thread when the catalogue changes. Up to "
        f"{LATELY:,} movies that came later have a small index beside the large one; with more the "
        "large one is made again, of titles most of which it knows."
    )
    return report


def _catalogue(movies: int, chance: np.random.Generator) -> dict[int, MovieEvent]:
    often = 1 / np.arange(1, VOCABULARY + 1)
    counts = chance.integers(1, LONGEST + 1, movies)
    chosen = chance.choice(words_of(VOCABULARY, chance), counts.sum(), p=often / often.sum())
    titles = np.split(chosen, np.cumsum(counts)[:-1])
    return {
        id_: MovieEvent(
            event_id=str(id_),
            movie_id=id_,
            title=f"{' '.join(title.tolist()).capitalize()} ({1930 + id_ % 90})",
            genres=(),
            tags=tags,
            year=1930 + id_ % 90,
            event_time=1_000_000_000_000,
            produced_time=1_000_000_000_000,
            source="replay",
        )
        for id_, (title, tags) in enumerate(
            zip(titles, tags_of(movies, chance), strict=True), start=1
        )
    }


def _live(catalogue: dict[int, MovieEvent], chance: np.random.Generator) -> LiveMovies:
    ids = np.fromiter(catalogue, np.uint32)
    sums = np.tile(chance.zipf(1.5, len(ids)), (3, 1))
    return LiveMovies(ids, np.ones(len(ids), np.bool_), sums)


def _timings(
    find: Callable[[str], object],
    names: list[str],
    typed: Callable[[str], str],
    chance: np.random.Generator,
) -> list[float]:
    """Percentiles 1 to 99 in ms."""
    taken = []
    for name in chance.choice(names, TIMES).tolist():
        typed_so_far = typed(name)
        began = process_time()
        find(typed_so_far)
        taken.append((process_time() - began) * 1e3)
    return quantiles(taken, n=100)


if __name__ == "__main__":
    main(run)
