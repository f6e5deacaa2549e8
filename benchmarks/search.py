"""Movies by name: processor time of one search, and of the index that it asks."""

from collections.abc import Callable
from itertools import islice
from statistics import quantiles
from time import process_time
from typing import Final

import numpy as np

from api.catalogue.search import LATELY, TitleIndex
from api.serving.live import LiveMovies
from benchmarks.report import Report, main
from stream.contracts.events import MovieEvent

CATALOGUES: Final = (10_000, 62_000)  # movies: about MovieLens 10M, and 25M
VOCABULARY: Final = 30_000  # words of all titles, by Zipf's law
LONGEST: Final = 8  # words of a title
TIMES: Final = 300
BAR: Final = 5.0  # ms

_LETTERS: Final = "etaoinshrdlu"  # the most frequent ones of English, so that trigrams repeat


def run() -> Report:
    report = Report("Movies by name", "python -m benchmarks.search")
    chance = np.random.default_rng(11)
    for movies in CATALOGUES:
        everything = _catalogue(movies + LATELY + 1, chance)
        catalogue = dict(islice(everything.items(), movies))
        began = process_time()
        index = TitleIndex(catalogue)
        report.context(f"{movies:,} movies: an index", process_time() - began, "s")
        for later in (1, LATELY, LATELY + 1):
            larger = dict(islice(everything.items(), movies + later))
            began = process_time()
            TitleIndex(larger, index)
            taken = (process_time() - began) * 1e3
            report.context(f"{movies:,} movies: {later:,} more of them", taken, "ms")
        live = _live(catalogue, chance)
        index.find("a", 1, live)  # how often movies are rated is read once for every look
        titles = [movie.title for movie in catalogue.values()]
        for what, typed in (
            ("one letter", lambda title: title[:1]),
            ("half of the title", lambda title: title[: len(title) // 2]),
            ("the title with a wrong letter", lambda title: f"{title[:3]}q{title[4:]}"),
        ):
            taken = _timings(index, live, titles, typed, chance)
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
    lengths = chance.integers(2, 10, VOCABULARY)
    letters = chance.choice(list(_LETTERS), lengths.sum())
    words = ["".join(word) for word in np.split(letters, np.cumsum(lengths)[:-1])]
    often = 1 / np.arange(1, VOCABULARY + 1)
    counts = chance.integers(1, LONGEST + 1, movies)
    chosen = chance.choice(words, counts.sum(), p=often / often.sum())
    titles = np.split(chosen, np.cumsum(counts)[:-1])
    return {
        id_: MovieEvent(
            event_id=str(id_),
            movie_id=id_,
            title=f"{' '.join(title.tolist()).capitalize()} ({1930 + id_ % 90})",
            genres=(),
            year=1930 + id_ % 90,
            event_time=1_000_000_000_000,
            produced_time=1_000_000_000_000,
            source="replay",
        )
        for id_, title in enumerate(titles, start=1)
    }


def _live(catalogue: dict[int, MovieEvent], chance: np.random.Generator) -> LiveMovies:
    ids = np.fromiter(catalogue, np.uint32)
    sums = np.tile(chance.zipf(1.5, len(ids)), (3, 1))
    return LiveMovies(ids, np.ones(len(ids), np.bool_), sums)


def _timings(
    index: TitleIndex,
    live: LiveMovies,
    titles: list[str],
    typed: Callable[[str], str],
    chance: np.random.Generator,
) -> list[float]:
    """Percentiles 1 to 99 in ms."""
    taken = []
    for title in chance.choice(titles, TIMES).tolist():
        began = process_time()
        index.find(typed(title), 10, live)
        taken.append((process_time() - began) * 1e3)
    return quantiles(taken, n=100)


if __name__ == "__main__":
    main(run)
