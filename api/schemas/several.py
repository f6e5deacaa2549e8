"""Lists that more than one person has a say in: of a group, and for somebody else."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.config import JsonDict

from api.schemas.common import (
    IMPRESSION_EXAMPLE,
    WHOLE,
    Genres,
    ImpressionId,
    UserId,
    answer_config,
    request_config,
)
from api.schemas.filters import FILTERS_EXAMPLE, BodyFilters, MovieFilters
from api.schemas.freshness import FRESHNESS_EXAMPLE, Freshness

MIN_GROUP: Final = 2
MAX_GROUP: Final = 10  # people; beyond them nobody's taste is to be seen in the list
MAX_SEVERAL: Final = 50  # movies

GroupStrategy: TypeAlias = Literal["average", "least_misery", "most_pleasure"]
SeveralDegraded: TypeAlias = Literal["model_unavailable"]

_MOVIE: JsonDict = {
    "movie_id": 858,
    "title": "Godfather, The",
    "genres": ["Crime", "Drama"],
    "year": 1972,
}
_MEMBER: JsonDict = {"user_id": 42, "known": True, "ratings": 31, "freshness": FRESHNESS_EXAMPLE}
_MEMBER_SCORE: JsonDict = {"user_id": 42, "score": 0.94}
_GROUP_MOVIE: JsonDict = {**_MOVIE, "score": 0.86, "members": [_MEMBER_SCORE]}
_GIFT_MOVIE: JsonDict = {**_MOVIE, "score": 1.0, "receiver": 0.41, "giver": 0.73, "everybody": 0.12}

Limit = Annotated[int, Field(ge=1, le=MAX_SEVERAL), WHOLE]


class Person(BaseModel):
    """Somebody who has a say in the list.

    Who is not `known` has rated nothing that the model learnt, so that there is nothing to go on.
    """

    model_config = answer_config(_MEMBER)

    user_id: int
    known: bool
    ratings: Annotated[int, Field(description="movies that they have rated")]
    freshness: Freshness


class _Movie(BaseModel):
    movie_id: int
    title: str
    genres: Genres
    year: int | None


class _Answer(BaseModel):
    """`degraded` says what was missing for a better answer."""

    impression_id: ImpressionId
    degraded: list[SeveralDegraded]
    model_version: str | None
    empty_because: Annotated[str | None, Field(description="why there are no `items`")] = None


class GroupRequest(BaseModel):
    """Who watches together, and how they decide."""

    model_config = request_config(
        {
            "user_ids": [42, 43, 44],
            "strategy": "least_misery",
            "limit": 10,
            "filters": FILTERS_EXAMPLE,
        }
    )

    user_ids: Annotated[
        list[UserId],
        Field(min_length=MIN_GROUP, max_length=MAX_GROUP, json_schema_extra={"uniqueItems": True}),
    ]
    strategy: Annotated[
        GroupStrategy,
        Field(
            description="what counts of a movie: the `average` of everyone's scores, the lowest "
            "(`least_misery`) or the highest (`most_pleasure`)"
        ),
    ] = "average"
    limit: Limit = 10
    filters: BodyFilters = BodyFilters()

    @field_validator("user_ids")
    @classmethod
    def distinct(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError("has somebody more than once")
        return value


class MemberScore(BaseModel):
    """What somebody thinks of a movie: 1 for the best of all that are proposed for the group, 0 for
    the middle one and those below."""

    model_config = answer_config(_MEMBER_SCORE)

    user_id: int
    score: float


class GroupMovie(_Movie):
    """A movie, and what each of those known thinks of it.

    `score` is what the strategy makes of theirs. Without a model it is how much the movie is rated
    beside the hottest one, and nobody's score is known.
    """

    model_config = answer_config(_GROUP_MOVIE)

    score: float
    members: list[MemberScore]


class GroupRecommendations(_Answer):
    """Movies for a group, best first, without those that anybody of them has rated.

    The ranker's utilities of all movies that are proposed for any of them are put on one scale for
    each person, see `MemberScore`, and the strategy makes one score of these, as in Masthoff: Group
    modeling: selecting a sequence of television items to suit a group of viewers (2004). Movies of
    equal scores go by their average. Whoever is in `unknown` has no say.
    """

    model_config = answer_config(
        {
            "strategy": "average",
            "impression_id": IMPRESSION_EXAMPLE,
            "members": [_MEMBER],
            "unknown": [44],
            "degraded": [],
            "model_version": "20260715-101500-3f2a",
            "items": [_GROUP_MOVIE],
        }
    )

    strategy: GroupStrategy
    members: list[Person]
    unknown: Annotated[list[int], Field(description="members of whom nothing is known")]
    items: list[GroupMovie]


class GiftQuery(MovieFilters):
    """For whom, and which movies are wanted."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**FILTERS_EXAMPLE, "for": 43, "limit": 10}]},
    )

    receiver: Annotated[UserId, Field(alias="for", description="who is given the list")]
    limit: Limit = 10


class GiftMovie(_Movie):
    """A movie to give. Scores are how likely it is picked beside the likeliest of the list's
    candidates: by the receiver, the giver, and by somebody of whom nothing is known.
    """

    model_config = answer_config(_GIFT_MOVIE)

    score: Annotated[float, Field(description="as a gift, beside the best one")]
    receiver: float
    giver: float
    everybody: float


class GiftRecommendations(_Answer):
    """Movies to give to somebody, best first, without those that they have rated.

    Of what the receiver is likeliest to pick it has what is special: a gift's worth, in log-odds,
    is u_r + 0.25 u_g - 0.625 u_0, the utilities of receiver, giver, and somebody unknown. So what
    everybody picks counts for half as much, and the giver's own taste for a quarter. The twenty
    movies that somebody unknown is shown first are left out. Of an unknown receiver the giver's
    utilities are taken, of an unknown giver those of somebody unknown.
    """

    model_config = answer_config(
        {
            "impression_id": IMPRESSION_EXAMPLE,
            "giver": _MEMBER,
            "receiver": {**_MEMBER, "user_id": 43},
            "unknown": [],
            "degraded": [],
            "model_version": "20260715-101500-3f2a",
            "items": [_GIFT_MOVIE],
        }
    )

    giver: Person
    receiver: Person
    unknown: Annotated[list[int], Field(description="which of them nothing is known of")]
    items: list[GiftMovie]
