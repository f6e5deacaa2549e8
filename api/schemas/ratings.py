"""What people rate, and what is said when it is in the log."""

from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, Discriminator, Field, Tag
from pydantic.config import JsonDict

from api.schemas.common import (
    EventTime,
    MovieId,
    UserId,
    answer_config,
    one_or_batch,
    request_config,
)

MAX_BATCH: Final = 1_000  # ratings a request: about 100 KB of JSON

_EVENT: JsonDict = {
    "event_id": "0b9c7e2f4a6d4f0e9d1c2b3a49586776",
    "user_id": 42,
    "movie_id": 318,
    "position": "3:1042",
}


class MovieRating(BaseModel):
    """Stars for a movie, from someone who is named elsewhere."""

    model_config = request_config({"movie_id": 318, "rating": 4.5})

    movie_id: MovieId
    rating: Annotated[float, Field(ge=0.5, le=5.0, multiple_of=0.5, allow_inf_nan=False)]
    event_time: Annotated[
        EventTime | None, Field(description="when it was rated, ms since 1970; default: now")
    ] = None


class Rating(MovieRating):
    """Stars from a person for a movie."""

    model_config = request_config({"user_id": 42, "movie_id": 318, "rating": 4.5})

    user_id: UserId


RatingsBody: TypeAlias = Annotated[
    Annotated[Rating, Tag("one")]
    | Annotated[list[Rating], Field(min_length=1, max_length=MAX_BATCH), Tag("batch")],
    Discriminator(one_or_batch),
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
