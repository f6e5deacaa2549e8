"""Which events an answer is based on."""

from typing import Annotated, Final

from pydantic import BaseModel, Field
from pydantic.config import JsonDict

from api.schemas.common import MAX_WAIT, answer_config

# "partition:offset", each within what Kafka allows.
POSITION_PATTERN: Final = r"^[0-9]{1,9}:[0-9]{1,18}$"

DEFAULT_WAIT: Final = 1_000  # ms: with a healthy worker an event is in the state after some 10 ms

After = Annotated[
    str | None,
    Field(
        pattern=POSITION_PATTERN,
        description="wait until the state includes this event of the user: a position as "
        "`POST /ratings` answers it",
    ),
]
WaitMs = Annotated[
    int, Field(ge=0, le=MAX_WAIT, description="how long at most to wait for `after`")
]

FRESHNESS_EXAMPLE: JsonDict = {
    "position": "3:1055",
    "included": True,
    "last_event_position": "3:1042",
    "last_event_time": 1_752_537_600_000,
    "last_produced_time": 1_752_537_600_012,
    "age_ms": 18,
}


class Freshness(BaseModel):
    """Which events the answer is based on. Null where there is no state."""

    model_config = answer_config(FRESHNESS_EXAMPLE)

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
