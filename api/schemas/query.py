"""What a query string asks of a list of recommendations."""

from typing import Annotated, Final

from pydantic import Field

from api.schemas.common import MAX_LIMIT, MAX_WAIT
from api.schemas.filters import Diversity, MovieFilters, Novelty
from api.schemas.freshness import DEFAULT_WAIT, After, WaitMs

MAX_CURSOR: Final = 4_096  # characters; one that carries a whole list has 2,700


class RecommendationQuery(MovieFilters):
    """Which movies, how many, how fresh and how soon; what is not known here is refused."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="how many movies a page")] = 10
    cursor: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_CURSOR,
            description="`next_cursor` of the page before, with the same filters, `diversity` and "
            "`novelty`; good for ten minutes",
        ),
    ] = None
    diversity: Diversity = None
    novelty: Novelty = 0.0
    explain: Annotated[
        bool, Field(description="whether to say of each movie why it is in the list")
    ] = False
    use_cache: Annotated[
        bool,
        Field(
            description="whether the answer to the same question may be given again, while neither "
            "the person's ratings nor model or movies have changed, for some seconds at most"
        ),
    ] = True
    after: Annotated[After, Field(examples=["3:1042"])] = None
    wait_ms: WaitMs = DEFAULT_WAIT
    timeout_ms: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_WAIT,
            description="when the answer shall be there, waiting included: what would be late is "
            "done without, and `degraded` says so; by default a second, after `wait_ms`",
            examples=[250],
        ),
    ] = None
