"""What is known of a person: their history, and what follows from it."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, Field
from pydantic.config import JsonDict

from api.schemas.common import Genres, answer_config
from api.schemas.freshness import FRESHNESS_EXAMPLE, Freshness
from api.schemas.profiles import PROFILE_EXAMPLE, Profile

MAX_HISTORY: Final = 200  # ratings a page

Style: TypeAlias = Literal["generous", "average", "critical"]

_RATED: JsonDict = {
    "movie_id": 318,
    "title": "Shawshank Redemption, The",
    "genres": ["Crime", "Drama"],
    "year": 1994,
    "rating": 4.5,
    "rated_at": 1_752_537_600_000,
}
_TASTE: JsonDict = {"name": "Drama", "ratings": 61, "share": 0.4, "rating_mean": 3.9}
_STYLE: JsonDict = {"style": "critical", "above_others": -0.42, "compared": 148}
_BELIEF: JsonDict = {"genre": "Film-Noir", "affinity": 1.8}
_FEATURES: JsonDict = {
    "rating_mean": 3.4,
    "rating_std": 1.1,
    "lowest": 0.5,
    "highest": 5.0,
    "ratings_per_month": 12.5,
    "days_since_last": 0.2,
}


class RatedMovie(BaseModel):
    """What a person thinks of a movie: their latest rating of it. Unknown movies have no title."""

    model_config = answer_config(_RATED)

    movie_id: int
    title: str | None
    genres: Genres
    year: int | None
    rating: Annotated[float, Field(description="stars")]
    rated_at: Annotated[int, Field(description="ms since 1970")]


class History(BaseModel):
    """A page of what a person has rated, the latest first.

    What is rated anew between two pages moves to the beginning: no page has it twice, and nothing
    else is left out.
    """

    model_config = answer_config(
        {
            "user_id": 42,
            "total": 154,
            "freshness": FRESHNESS_EXAMPLE,
            "items": [_RATED],
            "next_cursor": "1752537600:318",
        }
    )

    user_id: int
    total: Annotated[int, Field(description="movies that they have rated")]
    freshness: Freshness
    items: list[RatedMovie]
    next_cursor: Annotated[str | None, Field(description="null on the last page")]


class Taste(BaseModel):
    """What a person has rated of a genre or a decade."""

    model_config = answer_config(_TASTE)

    name: str
    ratings: int
    share: Annotated[float, Field(description="of all their ratings")]
    rating_mean: Annotated[float, Field(description="stars")]


class RatingStyle(BaseModel):
    """How the stars that a person gives compare with others' for the same movies.

    `generous` and `critical` from a quarter of a star; the means are those of the data that the
    served model learnt from.
    """

    model_config = answer_config(_STYLE)

    style: Style
    above_others: Annotated[float, Field(description="stars, mean over the movies")]
    compared: Annotated[int, Field(description="movies that others have rated too")]


class Features(BaseModel):
    """Live features of the state; ratings in stars."""

    model_config = answer_config(_FEATURES)

    rating_mean: float
    rating_std: float
    lowest: float
    highest: float
    ratings_per_month: float
    days_since_last: float


class Belief(BaseModel):
    """How close the model thinks a genre is to a person.

    `affinity` is the cosine of their vector and the genre's movies, less the mean over genres, in
    standard deviations over genres.
    """

    model_config = answer_config(_BELIEF)

    genre: str
    affinity: float


class UserProfile(BaseModel):
    """What is known of a person, and what the model makes of it.

    `features` and `style` are null where there is nothing to tell them from; `beliefs` is empty
    where no model is served, it fails, or it learnt none of the movies rated.
    """

    model_config = answer_config(
        {
            "user_id": 42,
            "freshness": FRESHNESS_EXAMPLE,
            "profile": PROFILE_EXAMPLE,
            "features": _FEATURES,
            "latest": [_RATED],
            "style": _STYLE,
            "genres": [_TASTE],
            "decades": [_TASTE | {"name": "1990s"}],
            "model_version": "20260715-101500-3f2a",
            "beliefs": [_BELIEF],
        }
    )

    user_id: int
    freshness: Freshness
    profile: Profile
    features: Features | None
    latest: Annotated[
        list[RatedMovie],
        Field(description="their ten latest ratings; `GET /users/{user_id}/history` has all"),
    ]
    style: RatingStyle | None
    genres: Annotated[list[Taste], Field(description="most rated first; a movie may have several")]
    decades: Annotated[list[Taste], Field(description="most rated first")]
    model_version: str | None
    beliefs: Annotated[list[Belief], Field(description="closest first")]
