"""Someone new: what they are shown, what they say, and what they get."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, Field, field_validator
from pydantic.config import JsonDict, JsonValue

from api.schemas.common import MAX_LIMIT, WHOLE, Genres, answer_config, request_config
from api.schemas.ratings import MovieRating
from api.schemas.recommendations import RECOMMENDATIONS_EXAMPLE, Recommendations

MIN_ONBOARDING: Final = 5  # ratings: with fewer there is little to go on
MAX_ONBOARDING: Final = 100  # ratings

SuggestionKind: TypeAlias = Literal["popular", "genre", "era"]

_SUGGESTED: JsonDict = {
    "movie_id": 296,
    "title": "Pulp Fiction",
    "genres": ["Comedy", "Crime", "Drama", "Thriller"],
    "year": 1994,
    "kind": "popular",
    "reason": "One of the most rated movies",
}
_RATINGS: list[JsonValue] = [
    {"movie_id": movie_id, "rating": rating}
    for movie_id, rating in ((318, 5.0), (296, 4.5), (858, 4.0), (593, 3.5), (50, 4.5))
]


class SuggestedMovie(BaseModel):
    """A movie that someone new may know, and why it is suggested."""

    model_config = answer_config(_SUGGESTED)

    movie_id: int
    title: str
    genres: Genres
    year: int | None
    kind: SuggestionKind
    reason: str


class SuggestedMovies(BaseModel):
    """Movies to rate for a start, shuffled."""

    model_config = answer_config({"movies": [_SUGGESTED]})

    movies: list[SuggestedMovie]


class Onboarding(BaseModel):
    """What someone new thinks of some movies."""

    model_config = request_config({"ratings": _RATINGS, "limit": 10})

    ratings: Annotated[
        list[MovieRating], Field(min_length=MIN_ONBOARDING, max_length=MAX_ONBOARDING)
    ]
    limit: Annotated[
        int, Field(ge=1, le=MAX_LIMIT, description="recommendations wanted"), WHOLE
    ] = 10

    @field_validator("ratings")
    @classmethod
    def distinct(cls, value: list[MovieRating]) -> list[MovieRating]:
        if len({rating.movie_id for rating in value}) < len(value):
            raise ValueError("has a movie more than once: rate distinct movies")
        return value


class Onboarded(BaseModel):
    """A new person. `profile_strength` says how much there is to go on, 0 to 1."""

    model_config = answer_config(
        {
            "user_id": 4_611_686_018_427_387,
            "position": "3:1042",
            "profile_strength": 0.46,
            "recommendations": RECOMMENDATIONS_EXAMPLE | {"user_id": 4_611_686_018_427_387},
        }
    )

    user_id: int
    position: str
    profile_strength: float
    recommendations: Recommendations
