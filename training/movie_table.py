"""The movies of a model as columns: filtered all at once, and read one by one where they are shown.

Tens of thousands of objects would be most of what an API process does while it loads a model.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, overload
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from stream.contracts.errors import ArtifactError
from training.index import IndexedMovie
from training.movie_filter import MovieFilter
from training.tower_inputs import Ints

Mask: TypeAlias = npt.NDArray[np.bool_]
Column = TypeVar("Column", bound=np.generic)

_UNKNOWN: Final = -1  # year of a movie of which nobody knows it


# eq=False: arrays do not compare as wholes.
@dataclass(frozen=True, slots=True, eq=False)
class MovieTable(Sequence[IndexedMovie]):
    """n movies, in the order of the model's rows.

    Attributes:
        movie_ids: u32[n].
        titles: u8[] of all of them, in UTF-8.
        title_ends: u32[n], where each ends.
        genre_names: g names, in order.
        genres: u16[] of all of them, as places in `genre_names`.
        genre_ends: u32[n], where those of each movie end.
        has_genre: bool[g, n], the same again, which filters ask.
        years: i16[n], -1 where the year is not known.
        popularity: i32[n] ratings in the training data.
        mean_ratings: f64[n] their mean in stars, NaN without any. In f32 a mean of 3.6 would be
            less than 3.6.
    """

    movie_ids: npt.NDArray[np.uint32]
    titles: npt.NDArray[np.uint8]
    title_ends: npt.NDArray[np.uint32]
    genre_names: tuple[str, ...]
    genres: npt.NDArray[np.uint16]
    genre_ends: npt.NDArray[np.uint32]
    has_genre: Mask
    years: npt.NDArray[np.int16]
    popularity: npt.NDArray[np.int32]
    mean_ratings: npt.NDArray[np.float64]

    @classmethod
    def of(cls, movies: Sequence[IndexedMovie]) -> "MovieTable":
        """These movies, in this order."""
        names = tuple(sorted({genre for movie in movies for genre in movie.genres}))
        place = {name: at for at, name in enumerate(names)}
        titles = [movie.title.encode() for movie in movies]
        codes = [place[genre] for movie in movies for genre in movie.genres]
        genres, genre_ends = np.array(codes, np.uint16), _ends(movie.genres for movie in movies)
        return cls(
            movie_ids=np.array([movie.movie_id for movie in movies], np.uint32),
            titles=np.frombuffer(b"".join(titles), np.uint8),
            title_ends=_ends(titles),
            genre_names=names,
            genres=genres,
            genre_ends=genre_ends,
            has_genre=_has_genre(genres, genre_ends, len(names)),
            years=np.array(
                [_UNKNOWN if movie.year is None else movie.year for movie in movies], np.int16
            ),
            popularity=np.array([movie.popularity for movie in movies], np.int32),
            mean_ratings=np.array([movie.mean_rating for movie in movies], np.float64),
        )

    @classmethod
    def read(cls, path: Path, movie_ids: npt.NDArray[np.uint32]) -> "MovieTable":
        """What `write` wrote of these movies, u32[n]. Raises ArtifactError."""
        try:
            with np.load(path) as file:
                names = tuple(file["genre_names"].tolist())
                columns = {name: file[name] for name in _COLUMNS}
            _check(columns, len(movie_ids), len(names))
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise ArtifactError(f"{path} cannot be read ({error}): train again") from error
        has_genre = _has_genre(columns["genres"], columns["genre_ends"], len(names))
        return cls(movie_ids=movie_ids, genre_names=names, has_genre=has_genre, **columns)

    def write(self, path: Path) -> None:
        """Everything but the movie ids, which an artifact has anyway."""
        columns = {name: getattr(self, name) for name in _COLUMNS}
        np.savez(path, genre_names=np.array(self.genre_names, np.str_), **columns)

    def __len__(self) -> int:
        return len(self.movie_ids)

    @overload
    def __getitem__(self, row: int) -> IndexedMovie: ...

    @overload
    def __getitem__(self, row: slice) -> list[IndexedMovie]: ...

    def __getitem__(self, row: int | slice) -> IndexedMovie | list[IndexedMovie]:
        if isinstance(row, slice):
            return [self[at] for at in range(*row.indices(len(self)))]
        at = range(len(self))[row]  # as a list does: from the end too, and IndexError
        year, mean = int(self.years[at]), float(self.mean_ratings[at])
        return IndexedMovie(
            movie_id=int(self.movie_ids[at]),
            title=_of(self.titles, self.title_ends, at).tobytes().decode(),
            genres=tuple(
                self.genre_names[one] for one in _of(self.genres, self.genre_ends, at).tolist()
            ),
            year=None if year == _UNKNOWN else year,
            popularity=int(self.popularity[at]),
            mean_rating=None if np.isnan(mean) else mean,
        )

    def matching(self, wanted: MovieFilter) -> Mask:
        """bool[n]: of which movies every condition holds, see `MovieFilter.wants`."""
        found = np.ones(len(self), np.bool_)
        if wanted.genres_any:
            found &= self._any_of(wanted.genres_any)
        for genre in wanted.genres_all:
            found &= self._any_of([genre])
        if wanted.genres_none:
            found &= ~self._any_of(wanted.genres_none)
        if wanted.year_from is not None:
            found &= self.years >= max(wanted.year_from, _UNKNOWN + 1)
        if wanted.year_to is not None:
            found &= (self.years <= wanted.year_to) & (self.years != _UNKNOWN)
        if wanted.min_rating is not None:
            found &= self.mean_ratings >= wanted.min_rating  # NaN is not
        if wanted.min_ratings:
            found &= self.popularity >= wanted.min_ratings
        if wanted.only is not None:
            found &= self._among(wanted.only)
        if wanted.exclude:
            found &= ~self._among(wanted.exclude)
        return found

    def most_rated(self, movies: int) -> Ints:
        """i64[at most so many]: rows, the one with the most ratings first, equal ones by id."""
        order: Ints = np.lexsort((self.movie_ids, -self.popularity))
        return order[:movies]

    def first(self, movies: int) -> "MovieTable":
        """Only so many of them; views, not copies."""
        titles, genres = (
            ends[movies - 1] if movies else 0 for ends in (self.title_ends, self.genre_ends)
        )
        return replace(
            self,
            movie_ids=self.movie_ids[:movies],
            titles=self.titles[:titles],
            title_ends=self.title_ends[:movies],
            genres=self.genres[:genres],
            genre_ends=self.genre_ends[:movies],
            has_genre=self.has_genre[:, :movies],
            years=self.years[:movies],
            popularity=self.popularity[:movies],
            mean_ratings=self.mean_ratings[:movies],
        )

    def and_these(self, movies: Sequence[IndexedMovie]) -> "MovieTable":
        """The same movies, and these after them."""
        more = MovieTable.of(movies)
        names = (*self.genre_names, *sorted(set(more.genre_names) - set(self.genre_names)))
        place = np.array([names.index(name) for name in more.genre_names], np.uint16)
        genres = np.concatenate([self.genres, place[more.genres]])
        genre_ends = _joined(self.genre_ends, more.genre_ends)
        return MovieTable(
            movie_ids=np.concatenate([self.movie_ids, more.movie_ids]),
            titles=np.concatenate([self.titles, more.titles]),
            title_ends=_joined(self.title_ends, more.title_ends),
            genre_names=names,
            genres=genres,
            genre_ends=genre_ends,
            has_genre=_has_genre(genres, genre_ends, len(names)),
            years=np.concatenate([self.years, more.years]),
            popularity=np.concatenate([self.popularity, more.popularity]),
            mean_ratings=np.concatenate([self.mean_ratings, more.mean_ratings]),
        )

    def _any_of(self, genres: Collection[str]) -> Mask:
        """bool[n]: which have one of these genres; one that no movie has is no error."""
        places = [at for at, name in enumerate(self.genre_names) if name in genres]
        found: Mask = np.logical_or.reduce(self.has_genre[places], axis=0)
        return found

    def _among(self, movie_ids: Collection[int]) -> Mask:
        # Ids that no movie can have would wrap around in 32 bits.
        return np.isin(self.movie_ids, np.fromiter(movie_ids, np.int64, len(movie_ids)))


_COLUMNS: Final = {
    "titles": np.uint8,
    "title_ends": np.uint32,
    "genres": np.uint16,
    "genre_ends": np.uint32,
    "years": np.int16,
    "popularity": np.int32,
    "mean_ratings": np.float64,
}


def _check(columns: Mapping[str, npt.NDArray[Any]], movies: int, genres: int) -> None:
    """Raises ValueError unless these are columns of so many movies and genres."""
    titles, of_genres = len(columns["titles"]), columns["genres"]
    for name, dtype in _COLUMNS.items():
        column, whole = columns[name], name in ("titles", "genres")
        if column.dtype != dtype or column.ndim != 1 or not (whole or len(column) == movies):
            raise ValueError(f"{name} is {column.dtype}{column.shape}, for {movies} movies")
    for name, end in (("title_ends", titles), ("genre_ends", len(of_genres))):
        ends = columns[name]
        if ends[-1:].sum() != end or (ends[1:] < ends[:-1]).any():
            raise ValueError(f"{name} do not go up to {end}")
    if (of_genres >= genres).any():
        raise ValueError(f"genres beyond the {genres} that are named")


def _ends(of_each: Iterable[Sequence[object]]) -> npt.NDArray[np.uint32]:
    return np.cumsum([len(some) for some in of_each], dtype=np.uint32)


def _joined(ends: npt.NDArray[np.uint32], more: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    return np.concatenate([ends, more + ends[-1:].sum(dtype=np.uint32)])


def _of(
    everything: npt.NDArray[Column], ends: npt.NDArray[np.uint32], row: int
) -> npt.NDArray[Column]:
    """What of all of it is one movie's."""
    return everything[ends[row - 1] if row else 0 : ends[row]]


def _has_genre(genres: npt.NDArray[np.uint16], ends: npt.NDArray[np.uint32], names: int) -> Mask:
    """bool[names, n]."""
    found = np.zeros((names, len(ends)), np.bool_)
    found[genres, np.repeat(np.arange(len(ends)), np.diff(ends, prepend=np.uint32(0)))] = True
    return found
