"""Every MovieLens release by name, and your own files, as Arrow tables."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from producers import formats
from producers.download import Progress, fetch, unpack
from producers.formats import Format
from producers.tables import MOVIES, RATINGS, TAGS, to_arrow
from producers.validation import FileReport, read_movies, read_ratings, read_tags
from stream.contracts.errors import DatasetError, Unavailable

BASE_URL: Final = "https://files.grouplens.org/datasets/movielens"


@dataclass(frozen=True, slots=True)
class Release:
    """A MovieLens release.

    Attributes:
        layout: how its files are written.
        folder: the directory that they are in.
        md5: of the zip, where it will never change; else its publisher is asked.
    """

    layout: Format
    folder: str
    md5: str | None = None


RELEASES: Final = {
    "100k": Release(formats.U_100K, "ml-100k", "0e33842e24a9c977be4e0107933c0723"),
    "1m": Release(formats.DAT_1M, "ml-1m", "c4d9eecfca2ab87c1945afe126590906"),
    "10m": Release(formats.DAT_10M, "ml-10M100K", "ce571fd55effeba0271552578f2648bd"),
    "20m": Release(formats.CSV, "ml-20m", "cd245b17a1ae2cc31bb14903e1204af3"),
    "25m": Release(formats.CSV, "ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada"),
    "32m": Release(formats.CSV, "ml-32m"),
    "latest-small": Release(formats.CSV, "ml-latest-small"),
    "latest": Release(formats.CSV, "ml-latest"),
}

_FOLDERS: Final = {release.folder for release in RELEASES.values()}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a data set is.

    Attributes:
        name: such as ``ml-25m``.
        origin: where it was found, for people.
        ratings: its file.
        movies: its file.
        layout: how they are written; None: Parquet.
        tags: the file of what people wrote about the movies, where there is one.
    """

    name: str
    origin: str
    ratings: Path
    movies: Path
    layout: Format | None
    tags: Path | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Ratings, movies and tags, checked and in order.

    Attributes:
        source: where it was found.
        ratings: `producers.tables.RATINGS`.
        movies: `producers.tables.MOVIES`.
        tags: `producers.tables.TAGS`, empty where the data set has none.
        reports: what was found in the files of ratings, of movies and, where there is one, of tags.
    """

    source: Source
    ratings: pa.Table
    movies: pa.Table
    tags: pa.Table
    reports: tuple[FileReport, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A data set but for its ratings, fields as in `Dataset`; `now` (ms) is when it was judged."""

    movies: pa.Table
    tags: pa.Table
    reports: tuple[FileReport, ...]
    now: int


def find(
    dataset: str,
    *,
    cache: Path,
    data_dir: Path | None = None,
    movies_file: Path | None = None,
    say: Callable[[str], None] = print,
    on_progress: Progress | None = None,
) -> Source:
    """Find a data set, downloading it if it must be.

    Args:
        dataset: a release (``25m``, ``ml-25m``), or the path of a ``user,item,rating,timestamp``
            file, or of a directory with the files of any release or with Parquet files. Ids are
            whole numbers, times seconds since the epoch.
        cache: where downloads are kept.
        data_dir: looked into first: for the release's own folder, then for its files.
        movies_file: for a ratings file whose movies are not in ``movies.csv`` beside it.
        say: told what was downloaded, or taken in its place.
        on_progress: of a download.

    Raises:
        DatasetError: there is no such data set, or what was downloaded is not what was published.
    """
    name = dataset.lower().removeprefix("ml-")
    if name not in RELEASES:
        return _custom(Path(dataset), movies_file)
    release = RELEASES[name]
    name = f"ml-{name}"
    if data_dir is not None:
        places = [data_dir / release.folder, data_dir / name]
        if data_dir.name not in _FOLDERS - {release.folder}:  # that would be another release
            places.append(data_dir)
        for place in places:
            if release.layout.is_in(place):
                return _in_folder(name, str(place), place, release.layout)
    directory = cache / release.folder
    if release.layout.is_in(directory):
        return _in_folder(name, str(directory), directory, release.layout)
    url = f"{BASE_URL}/{name}.zip"
    archive = cache / f"{name}.zip"
    try:
        fetch(url, archive, release.md5, on_progress)
    except Unavailable as error:
        return _bundled(name, error, say)
    unpack(archive, directory)
    archive.unlink()
    say(f"downloaded {url} to {directory}")
    return _in_folder(name, str(directory), directory, release.layout)


def load(source: Source, lenient: bool = False) -> Dataset:
    """Read a data set and check it.

    Args:
        source: what `find` found.
        lenient: use a file's good lines even where over 1% of its lines are bad.

    Raises:
        DatasetError: it cannot be read, or is too dirty; the message shows the first bad lines.
    """
    catalogue = load_catalogue(source, lenient)
    with readable(source):
        ids = pl.Series(catalogue.movies["movie_id"])
        ratings, report = read_ratings(source.ratings, source.layout, ids, catalogue.now)
    report.judge(lenient)
    reports = report, *catalogue.reports
    return Dataset(source, to_arrow(ratings, RATINGS), catalogue.movies, catalogue.tags, reports)


def load_catalogue(source: Source, lenient: bool = False) -> Catalogue:
    """`load`, but for the ratings."""
    now = time.time_ns() // 1_000_000
    with readable(source):
        movies, report = read_movies(source.movies, source.layout)
        report.judge(lenient)
        table = to_arrow(movies, MOVIES)
        if source.tags is None:
            return Catalogue(table, TAGS.empty_table(), (report,), now)
        tags, words = read_tags(source.tags, source.layout, movies["movie_id"], now)
    if words.lines:  # nobody has to tag anything
        words.judge(lenient)
    return Catalogue(table, to_arrow(tags, TAGS), (report, words), now)


@contextmanager
def readable(source: Source) -> Iterator[None]:
    """Raises DatasetError where its files cannot be read or are not what they are said to be."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, pa.ArrowException) as error:
        raise DatasetError(f"{source.ratings.parent} cannot be read: {error}") from error


def _in_folder(name: str, origin: str, directory: Path, layout: Format) -> Source:
    if not layout.is_in(directory):
        raise DatasetError(f"{directory} lacks {layout.ratings} or {layout.movies}")
    ratings, movies = directory / layout.ratings, directory / layout.movies
    tags = _if_there(directory / layout.tags) if layout.tags else None
    return Source(name, origin, ratings, movies, layout, tags)


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _bundled(wanted: str, error: Unavailable, say: Callable[[str], None]) -> Source:
    """MovieLens 100K as RecBole's wheel carries it; the package itself is not imported."""
    package = find_spec("recbole")
    if package is None or package.origin is None:
        raise DatasetError(
            f"{wanted} is neither in the data directory nor in the cache, and {error}"
        )
    say(f"{error}\nUsing the bundled MovieLens 100K in place of {wanted}.")
    directory = Path(package.origin).parent / "dataset_example" / "ml-100k"
    return _in_folder("ml-100k", f"bundled, in place of {wanted}", directory, formats.ATOMIC_100K)


def _custom(path: Path, movies_file: Path | None) -> Source:
    if path.is_dir():
        ratings, movies = path / "ratings.parquet", path / "movies.parquet"
        if ratings.is_file() and movies.is_file():
            tags = _if_there(path / "tags.parquet")
            return Source(path.name, str(path), ratings, movies, None, tags)
        for layout in (formats.CSV, formats.U_100K, formats.DAT_10M):
            if layout.is_in(path):
                return _in_folder(path.name, str(path), path, layout)
        raise DatasetError(
            f"{path} has neither ratings.csv and movies.csv, nor the files of another release"
        )
    if not path.is_file():
        raise DatasetError(
            f"no data set {path}: give a file, a directory, or one of {', '.join(RELEASES)}"
        )
    movies = movies_file or path.with_name(formats.CSV.movies)
    if not movies.is_file():
        raise DatasetError(
            f"{path} comes without its movies: give a `movie,title,genres` file with --movies"
        )
    tags = _if_there(path.with_name("tags.csv"))
    return Source(path.stem, str(path), path, movies, formats.CSV, tags)
