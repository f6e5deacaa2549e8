"""What people do with the movies of a list."""

from typing import Annotated, Final, Self, TypeAlias

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator
from pydantic.config import JsonDict

from api.schemas.common import (
    IMPRESSION_EXAMPLE,
    EventTime,
    MovieId,
    UserId,
    answer_config,
    one_or_batch,
    request_config,
)
from stream.contracts.experiments import FeedbackKind

MAX_BATCH: Final = 1_000  # pieces a request: about 150 KB of JSON

_CLICK: JsonDict = {
    "user_id": 42,
    "impression_id": IMPRESSION_EXAMPLE,
    "movie_id": 858,
    "kind": "click",
}


class Feedback(BaseModel):
    """What a person did with a movie of the list that `impression_id` names.

    `value` is the stars of a `rating`, which is published as a rating too; of a `watch` the share
    that was seen, where it is known.
    """

    model_config = request_config(_CLICK)

    user_id: UserId
    impression_id: Annotated[str, Field(min_length=1, max_length=64)]
    movie_id: MovieId
    kind: FeedbackKind
    value: Annotated[float | None, Field(ge=0, le=5, allow_inf_nan=False)] = None
    event_time: Annotated[
        EventTime | None, Field(description="when it was, ms since 1970; default: now")
    ] = None

    @model_validator(mode="after")
    def value_fits(self) -> Self:
        match self.kind:
            case "rating":
                if self.value is None or self.value < 0.5 or self.value * 2 % 1:
                    raise ValueError("a rating has a value: 0.5, 1, 1.5 .. 5 stars")
            case "watch":
                if self.value is not None and self.value > 1:
                    raise ValueError("the value of a watch is the share that was seen: 0 to 1")
            case _:
                if self.value is not None:
                    raise ValueError(f"a {self.kind} has no value")
        return self


FeedbackBody: TypeAlias = Annotated[
    Annotated[Feedback, Tag("one")]
    | Annotated[list[Feedback], Field(min_length=1, max_length=MAX_BATCH), Tag("batch")],
    Discriminator(one_or_batch),
]


class FeedbackAccepted(BaseModel):
    """The feedback is in the log. `positions` has each user's last rating, to name as `after`."""

    model_config = answer_config({"accepted": 2, "positions": {"42": "3:1042"}})

    accepted: int
    positions: dict[str, str]
