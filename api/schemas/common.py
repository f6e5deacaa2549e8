"""What every request and answer is made of: ids, and how a schema shows its example.

Constraints are those of the event contracts, so that whatever the API accepts the workers do too.
"""

import time
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from stream.contracts.events import EARLIEST_EVENT_TIME, MAX_AHEAD, MAX_ID, MAX_MOVIE_ID

MAX_LIMIT: Final = 100  # movies an answer
MAX_WAIT: Final = 10_000  # ms


def _whole(value: object) -> object:
    """JSON has one kind of number: some clients write 42 as 42.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _not_ahead(value: int) -> int:
    if value > time.time() * 1000 + MAX_AHEAD:
        raise ValueError("is over a day ahead: give milliseconds since 1970-01-01 UTC")
    return value


WHOLE: Final = BeforeValidator(_whole)  # of integers in bodies, after their constraints

UserId = Annotated[int, Field(ge=1, le=MAX_ID), WHOLE]
MovieId = Annotated[int, Field(ge=1, le=MAX_MOVIE_ID), WHOLE]
EventTime = Annotated[int, Field(ge=EARLIEST_EVENT_TIME), AfterValidator(_not_ahead), WHOLE]
ImpressionId = Annotated[str, Field(description="of this very answer: name it in `POST /feedback`")]
IMPRESSION_EXAMPLE: Final = "5d0c6a1b7c0f4b6f8f2f4f6c1a1e9b7d"
Genres = Annotated[list[str], Field(description="as the catalogue names them")]
Tags = Annotated[list[str], Field(description="the most common ones first")]


def answer_config(example: JsonDict) -> ConfigDict:
    """For what the API says."""
    return ConfigDict(json_schema_extra={"examples": [example]})


def request_config(example: JsonDict) -> ConfigDict:
    """For what clients say: nothing is guessed, and nothing they say is ignored."""
    return ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": [example]})


def one_or_batch(value: object) -> str:
    """Which of both a body is, for `Discriminator`: an object or a list of them."""
    return "batch" if isinstance(value, list) else "one"
