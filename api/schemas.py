"""What requests and answers look like: one pydantic model each, with an example.

Constraints are those of the event contracts, so that whatever the API accepts the workers do too.
"""

import time
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator
from pydantic.config import JsonDict, JsonValue

from stream.contracts.events import EARLIEST_EVENT_TIME, MAX_AHEAD, MAX_ID, MAX_MOVIE_ID

MAX_BATCH: Final = 1_000  # ratings a request: about 100 KB of JSON
MIN_ONBOARDING: Final = 5  # ratings: with fewer there is little to go on
MAX_ONBOARDING: Final = 100  # ratings
MAX_LIMIT: Final = 100  # recommendations an answer
MAX_WAIT: Final = 10_000  # ms

Strategy: TypeAlias = Literal["trending", "cold_start", "two_tower", "popular"]

# What proposed a movie: the strategy's own way, that it is like what the person rated, or that it
# is new and to be tried.
Source: TypeAlias = Strategy | Literal["similar", "new"]

DegradedReason: TypeAlias = Literal[
    "state_unavailable", "model_unavailable", "index_unavailable", "ranker_unavailable"
]

SuggestionKind: TypeAlias = Literal["popular", "genre", "era"]

UserId = Annotated[int, Field(ge=1, le=MAX_ID)]
MovieId = Annotated[int, Field(ge=1, le=MAX_MOVIE_ID)]
Genres = Annotated[list[str], Field(description="as the catalogue names them")]


def answer_config(example: JsonDict) -> ConfigDict:
    """For what the API says."""
    return ConfigDict(json_schema_extra={"examples": [example]})


def request_config(example: JsonDict) -> ConfigDict:
    """For what clients say: nothing is guessed, and nothing they say is ignored."""
    return ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": [example]})


_EVENT: JsonDict = {
    "event_id": "0b9c7e2f4a6d4f0e9d1c2b3a49586776",
    "user_id": 42,
    "movie_id": 318,
    "position": "3:1042",
}
_ITEM: JsonDict = {
    "movie_id": 858,
    "title": "Godfather, The (1972)",
    "genres": ["Crime", "Drama"],
    "year": 1972,
    "score": 0.71,
    "source": "two_tower",
}
_FRESHNESS: JsonDict = {
    "position": "3:1055",
    "included": True,
    "last_event_position": "3:1042",
    "last_event_time": 1_752_537_600_000,
    "last_produced_time": 1_752_537_600_012,
    "age_ms": 18,
}
_RECOMMENDATIONS: JsonDict = {
    "user_id": 42,
    "strategy": "two_tower",
    "degraded": [],
    "model_version": "20260715-101500-3f2a",
    "index": "movies-20260715-101500-3f2a",
    "freshness": _FRESHNESS,
    "items": [_ITEM],
}
_SUGGESTED: JsonDict = {
    "movie_id": 296,
    "title": "Pulp Fiction (1994)",
    "genres": ["Comedy", "Crime", "Drama", "Thriller"],
    "year": 1994,
    "kind": "popular",
    "reason": "One of the most rated movies",
}
_RATINGS: list[JsonValue] = [
    {"movie_id": movie_id, "rating": rating}
    for movie_id, rating in ((318, 5.0), (296, 4.5), (858, 4.0), (593, 3.5), (50, 4.5))
]


class MovieRating(BaseModel):
    """Stars for a movie, from someone who is named elsewhere."""

    model_config = request_config({"movie_id": 318, "rating": 4.5})

    movie_id: MovieId
    rating: Annotated[float, Field(ge=0.5, le=5.0, multiple_of=0.5, allow_inf_nan=False)]
    event_time: Annotated[
        int | None,
        Field(ge=EARLIEST_EVENT_TIME, description="when it was rated, ms since 1970; default: now"),
    ] = None

    @field_validator("event_time")
    @classmethod
    def not_ahead(cls, value: int | None) -> int | None:
        if value is not None and value > time.time() * 1000 + MAX_AHEAD:
            raise ValueError("is over a day ahead: give milliseconds since 1970-01-01 UTC")
        return value


class Rating(MovieRating):
    """Stars from a person for a movie."""

    model_config = request_config({"user_id": 42, "movie_id": 318, "rating": 4.5})

    user_id: UserId


def _one_or_batch(value: object) -> str:
    return "batch" if isinstance(value, list) else "one"


RatingsBody: TypeAlias = Annotated[
    Annotated[Rating, Tag("one")]
    | Annotated[list[Rating], Field(min_length=1, max_length=MAX_BATCH), Tag("batch")],
    Discriminator(_one_or_batch),
]


class AcceptedEvent(BaseModel):
    """An event that is in the log; `position` is ``partition:offset``."""

    model_config = answer_config(_EVENT)

    event_id: str
    user_id: int
    movie_id: int
    position: str


class RatingsAccepted(BaseModel):
    """The ratings are in the log. `positions` has each user's last one, to name as `after`."""

    model_config = answer_config({"accepted": 1, "positions": {"42": "3:1042"}, "events": [_EVENT]})

    accepted: int
    positions: dict[str, str]
    events: list[AcceptedEvent]


class Freshness(BaseModel):
    """Which events the answer is based on. Null where there is no state."""

    model_config = answer_config(_FRESHNESS)

    position: Annotated[
        str | None, Field(description="the last event applied in the user's partition")
    ] = None
    included: Annotated[
        bool | None, Field(description="whether the state includes `after`; null without `after`")
    ] = None
    last_event_position: Annotated[
        str | None, Field(description="the user's own last event applied")
    ] = None
    last_event_time: Annotated[int | None, Field(description="when it happened, ms")] = None
    last_produced_time: Annotated[
        int | None, Field(description="when it was handed to the broker, ms")
    ] = None
    age_ms: Annotated[int | None, Field(description="now less `last_produced_time`")] = None


class RecommendedMovie(BaseModel):
    """A movie, and where it came from.

    `score` says how likely it is picked beside the likeliest candidate. Of `popular` movies it is
    their ratings in the training data as a share of the most rated movie's; where `degraded` has
    `ranker_unavailable`, the cosine of user and movie. A list that is diversified is not in the
    order of the scores, nor is one of several sources.
    """

    model_config = answer_config(_ITEM)

    movie_id: int
    title: str
    genres: Genres
    year: int | None
    score: float
    source: Source


class Recommendations(BaseModel):
    """Movies for a person, best first, without those they rated.

    `degraded` says what was missing for a better answer; `model_version` and `index` are those that
    answered, null where no model is served.
    """

    model_config = answer_config(_RECOMMENDATIONS)

    user_id: int
    strategy: Strategy
    degraded: list[DegradedReason]
    model_version: str | None
    index: str | None
    freshness: Freshness
    items: list[RecommendedMovie]


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
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="recommendations wanted")] = 10

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
            "recommendations": _RECOMMENDATIONS | {"user_id": 4_611_686_018_427_387},
        }
    )

    user_id: int
    position: str
    profile_strength: float
    recommendations: Recommendations
