"""Which movies somebody wants: what the index filters by, and the same for what else proposes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from training.index import IndexedMovie


@dataclass(frozen=True, slots=True)
class MovieFilter:
    """Every condition that is given holds for a movie; without any, all movies are wanted.

    Ratings are those of the training data, as the index has them: a model's answers to the same
    question do not differ between processes.

    Attributes:
        genres_any: it has one of these.
        genres_all: it has all of these.
        genres_none: it has none of these.
        year_from: it is of this year or later; one of unknown year is not wanted then.
        year_to: it is of this year or before; the same.
        min_rating: its mean rating in stars is at least that; without ratings it is not wanted.
        min_ratings: so many people rated it.
        only: its id is among these; None: whatever it is.
        exclude: its id is not among these.
    """

    genres_any: frozenset[str] = frozenset()
    genres_all: frozenset[str] = frozenset()
    genres_none: frozenset[str] = frozenset()
    year_from: int | None = None
    year_to: int | None = None
    min_rating: float | None = None
    min_ratings: int = 0
    only: frozenset[int] | None = None
    exclude: frozenset[int] = frozenset()

    def wants(self, movie: "IndexedMovie") -> bool:
        """Whether every condition holds for one movie; many at once: `MovieTable.matching`."""
        genres, year, mean = frozenset(movie.genres), movie.year, movie.mean_rating
        return (
            (not self.genres_any or not genres.isdisjoint(self.genres_any))
            and genres >= self.genres_all
            and genres.isdisjoint(self.genres_none)
            and (self.year_from is None or (year is not None and year >= self.year_from))
            and (self.year_to is None or (year is not None and year <= self.year_to))
            and (self.min_rating is None or (mean is not None and mean >= self.min_rating))
            and movie.popularity >= self.min_ratings
            and (self.only is None or movie.movie_id in self.only)
            and movie.movie_id not in self.exclude
        )


ALL_MOVIES: Final = MovieFilter()
