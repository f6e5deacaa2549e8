"""A taste that somebody describes, and movies for it."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, Field, StringConstraints
from pydantic.config import JsonDict

from api.schemas.common import (
    IMPRESSION_EXAMPLE,
    WHOLE,
    Genres,
    ImpressionId,
    MovieId,
    answer_config,
    request_config,
)
from api.schemas.filters import FILTERS_EXAMPLE, BodyFilters, Diversity, Genre, Year
from stream.contracts.events import MAX_TAG

MAX_WEIGHTS: Final = 50  # of each kind
MAX_MOVIES: Final = 50  # liked, and disliked: as many as a user tower reads
MAX_TASTE: Final = 100  # movies

Weight = Annotated[
    float,
    Field(ge=-1, le=1, allow_inf_nan=False, description="-1: rather not, 1: very much so"),
]

TagName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TAG)]

_ERA: JsonDict = {"year_from": 1980, "year_to": 1989, "weight": 0.5}
_IGNORED: JsonDict = {
    "field": "tags",
    "value": "dystopa",
    "reason": "no movie has this tag: there are dystopian, dystopic future",
}
_MOVIE: JsonDict = {
    "movie_id": 541,
    "title": "Blade Runner",
    "genres": ["Action", "Sci-Fi", "Thriller"],
    "year": 1982,
    "score": 1.0,
    "stated": 7.5,
}

TasteStrategy: TypeAlias = Literal["two_tower", "trending"]


class Era(BaseModel):
    """How much movies of some years are liked, both years included."""

    model_config = request_config(_ERA)

    year_from: Year
    year_to: Year
    weight: Weight


class TasteProfile(BaseModel):
    """What somebody likes, as far as they say: everything may be left out.

    Liked movies are read as ratings of 5 stars are: the user tower and the links between movies
    tell what goes with them. What they would tell of the disliked ones is taken away. In which
    order movies are named does not matter. Weights are added to that, in log-odds: 5 x weight for
    each genre and each tag of a movie, 5 x weight for each era, and 5 x popularity x log(1 + n) /
    log(1 + the most rated movie's n) for n ratings. A weight of 1 so makes a movie 150 times as
    likely as one of which it does not hold.
    """

    model_config = request_config(
        {
            "genres": {"Sci-Fi": 1.0, "Horror": -0.5},
            "eras": [_ERA],
            "tags": {"dystopia": 1.0},
            "liked": [260, 2571],
            "disliked": [1721],
            "popularity": -0.3,
            "limit": 10,
            "diversity": 0.2,
            "filters": FILTERS_EXAMPLE,
        }
    )

    genres: Annotated[
        dict[Genre, Weight],
        Field(max_length=MAX_WEIGHTS, description="by name, as the catalogue has them"),
    ] = {}
    eras: Annotated[list[Era], Field(max_length=MAX_WEIGHTS)] = []
    tags: Annotated[
        dict[TagName, Weight],
        Field(
            max_length=MAX_WEIGHTS,
            description="however they are written: `Sci-Fi` is `sci fi`; `GET /tags` finds them",
        ),
    ] = {}
    liked: Annotated[list[MovieId], Field(max_length=MAX_MOVIES)] = []
    disliked: Annotated[list[MovieId], Field(max_length=MAX_MOVIES)] = []
    popularity: Annotated[
        float,
        Field(
            ge=-1,
            le=1,
            allow_inf_nan=False,
            description="appetite for what many people have rated; below 0 for what few have",
        ),
    ] = 0.0
    limit: Annotated[int, Field(ge=1, le=MAX_TASTE), WHOLE] = 10
    diversity: Diversity = None
    filters: BodyFilters = BodyFilters()


class Ignored(BaseModel):
    """Something that the profile says and that could not be gone by."""

    model_config = answer_config(_IGNORED)

    field: Literal["genres", "eras", "tags", "liked", "disliked"]
    value: str
    reason: str


class TasteMovie(BaseModel):
    """A movie for a taste.

    `score` says how likely it is picked beside the likeliest one, `stated` what weights of genres,
    eras, tags and popularity have added to its log-odds. A list that is diversified is not in the
    order of the scores.
    """

    model_config = answer_config(_MOVIE)

    movie_id: int
    title: str
    genres: Genres
    year: int | None
    score: float
    stated: float


class TasteRecommendations(BaseModel):
    """Movies for a taste, best first, without those that it names.

    `two_tower` says that liked or disliked movies were gone by, `trending` that there were none
    that the model learnt, and movies that newcomers rate were weighted. Without a model it is the
    hottest movies that are, and `degraded` has `model_unavailable`. Nobody is known to have been
    shown it, so that of its impression nothing is counted.
    """

    model_config = answer_config(
        {
            "impression_id": IMPRESSION_EXAMPLE,
            "strategy": "two_tower",
            "degraded": [],
            "model_version": "20260715-101500-3f2a",
            "ignored": [_IGNORED],
            "items": [_MOVIE],
        }
    )

    impression_id: ImpressionId
    strategy: TasteStrategy
    degraded: list[Literal["model_unavailable"]]
    model_version: str | None
    ignored: list[Ignored]
    items: list[TasteMovie]
    empty_because: Annotated[str | None, Field(description="why there are no `items`")] = None
