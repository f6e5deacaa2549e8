"""Which movies a client wants: one model for query strings and for every body with filters."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from api.schemas.common import WHOLE, MovieId
from stream.contracts.events import LAST_YEAR
from training.movie_filter import ALL_MOVIES, MovieFilter

MAX_GENRES: Final = 20  # of one kind: MovieLens has 19

# Ids a list of them may have: as many as an address of ten kilobytes takes, and an index excludes
# in under a millisecond.
MAX_IDS: Final = 500

Genre = Annotated[str, StringConstraints(min_length=1, max_length=64)]
GenreList = Annotated[list[Genre], Field(max_length=MAX_GENRES)]
IdList = Annotated[list[MovieId], Field(max_length=MAX_IDS)]
Year = Annotated[int, Field(ge=0, le=LAST_YEAR), WHOLE]
Stars = Annotated[float, Field(ge=0.5, le=5.0, allow_inf_nan=False)]

Diversity = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="0: the best movies, however alike they are; 1: as different ones as can be; "
        "by default what the model does best with",
        examples=[0.5],
    ),
]
Novelty = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="how much rather movies that few people have rated",
        examples=[0.3],
    ),
]

FILTERS_EXAMPLE: Final[JsonDict] = {
    "genres_any": ["Sci-Fi", "Thriller"],
    "genres_none": ["Horror"],
    "year_from": 1980,
    "min_rating": 3.5,
    "min_ratings": 50,
    "exclude_ids": [2571],
}


class MovieFilters(BaseModel):
    """Conditions that hold for every movie of a list; what is left out is no condition.

    Filters that no movie can meet are no error: the list is empty, and says why. Mean ratings and
    their numbers are those of the data that the model learnt from.

    Numbers may come as text, as in a query string; `BodyFilters` is the form for JSON.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [FILTERS_EXAMPLE]})

    genres_any: Annotated[
        GenreList,
        Field(description="it has one of these genres", examples=[["Sci-Fi", "Thriller"]]),
    ] = []
    genres_all: Annotated[
        GenreList, Field(description="it has all of these", examples=[["Drama", "War"]])
    ] = []
    genres_none: Annotated[
        GenreList, Field(description="it has none of these", examples=[["Horror"]])
    ] = []
    year_from: Annotated[
        Year | None, Field(description="it is of this year or later", examples=[1980])
    ] = None
    year_to: Annotated[
        Year | None, Field(description="it is of this year or before", examples=[1999])
    ] = None
    min_rating: Annotated[
        Stars | None, Field(description="its mean rating in stars, at least", examples=[3.5])
    ] = None
    min_ratings: Annotated[
        int,
        Field(ge=0, le=2**31 - 1, description="how many rated it, at least", examples=[50]),
        WHOLE,
    ] = 0
    exclude_ids: Annotated[
        IdList, Field(description="it is none of these movies", examples=[[2571]])
    ] = []
    only_ids: Annotated[
        IdList | None, Field(description="it is one of these movies", examples=[[318, 858]])
    ] = None

    def to_filter(self) -> MovieFilter:
        """The same for the index and for whatever else proposes movies."""
        if MovieFilters.model_fields.keys().isdisjoint(self.model_fields_set):
            return ALL_MOVIES
        return MovieFilter(
            genres_any=frozenset(self.genres_any),
            genres_all=frozenset(self.genres_all),
            genres_none=frozenset(self.genres_none),
            year_from=self.year_from,
            year_to=self.year_to,
            min_rating=self.min_rating,
            min_ratings=self.min_ratings,
            only=None if self.only_ids is None else frozenset(self.only_ids),
            exclude=frozenset(self.exclude_ids),
        )


class BodyFilters(MovieFilters):
    """`MovieFilters` in JSON, where a number is a number."""

    model_config = ConfigDict(strict=True)
