"""Lists of movies for somebody, and how fresh they are."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field
from pydantic.config import JsonDict

from api.schemas.common import IMPRESSION_EXAMPLE, Genres, ImpressionId, answer_config
from api.schemas.explanations import EXPLANATION_EXAMPLE, Explanation
from api.schemas.freshness import FRESHNESS_EXAMPLE, Freshness
from api.schemas.profiles import PROFILE_EXAMPLE, Profile

Strategy: TypeAlias = Literal["trending", "cold_start", "two_tower", "popular"]

# What proposed a movie: the strategy's own way, that it is like what the person rated, or that it
# is new and to be tried.
Source: TypeAlias = Strategy | Literal["similar", "new"]

DegradedReason: TypeAlias = Literal[
    "state_unavailable",
    "state_late",
    "model_unavailable",
    "index_unavailable",
    "index_late",
    "ranker_unavailable",
    "ranker_late",
    "explanation_unavailable",
    "explanation_late",
]

# Why an experiment that a person is in had no say: a model that it names is not at hand here; the
# request asks for what it chooses; or the list is one that it does not make.
LeftOut: TypeAlias = Literal["model_unavailable", "asked_otherwise", "not_this_list"]

_ITEM: JsonDict = {
    "movie_id": 858,
    "title": "Godfather, The",
    "genres": ["Crime", "Drama"],
    "year": 1972,
    "score": 0.71,
    "source": "two_tower",
    "explanation": EXPLANATION_EXAMPLE,
}
RECOMMENDATIONS_EXAMPLE: JsonDict = {
    "user_id": 42,
    "impression_id": IMPRESSION_EXAMPLE,
    "experiments": {"more-diverse": "treatment"},
    "strategy": "two_tower",
    "degraded": [],
    "model_version": "20260715-101500-3f2a",
    "index": "movies-20260715-101500-3f2a",
    "cached": False,
    "freshness": FRESHNESS_EXAMPLE,
    "profile": PROFILE_EXAMPLE,
    "items": [_ITEM],
    "next_cursor": "1aS4wJhKlipyxAjRAz1dUbjFm85pIe0AxARaAwAAxAAA",
}


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
    explanation: Annotated[
        Explanation | None, Field(description="what moved it up, where `explain` asked for it")
    ] = None


class Recommendations(BaseModel):
    """Movies for a person, best first, without those they rated.

    `degraded` says what was missing for a better answer; `model_version` and `index` are those that
    ranked the list, null where no model is served. Pages after the second are of a list that is
    kept, whose model and freshness they say.
    """

    model_config = answer_config(RECOMMENDATIONS_EXAMPLE)

    user_id: int
    impression_id: ImpressionId
    experiments: Annotated[
        dict[str, str], Field(description="the variant that the person has of each experiment")
    ] = {}
    experiments_left_out: Annotated[
        dict[str, LeftOut],
        Field(
            description="experiments that the person is in, and why they had no say in this list"
        ),
    ] = {}
    strategy: Strategy
    degraded: list[DegradedReason]
    model_version: str | None
    index: str | None
    cached: Annotated[
        bool, Field(description="whether the movies were found for an earlier request")
    ]
    freshness: Freshness
    profile: Annotated[
        Profile | None, Field(description="how much there is to go on; null where it is not known")
    ] = None
    items: list[RecommendedMovie]
    next_cursor: Annotated[
        str | None,
        Field(description="send it as `cursor` for the next page; null at the end of the list"),
    ] = None
    empty_because: Annotated[
        str | None, Field(description="why there are no `items`, where there are none")
    ] = None
