"""How many stars somebody would give a movie."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, Field
from pydantic.config import JsonDict

from api.schemas.common import WHOLE, MovieId, UserId, answer_config, request_config
from api.schemas.freshness import (
    DEFAULT_WAIT,
    FRESHNESS_EXAMPLE,
    POSITION_PATTERN,
    After,
    Freshness,
    WaitMs,
)
from stream.contracts.events import EARLIEST_EVENT_TIME

MAX_PAIRS: Final = 1_000  # a request
_LATEST: Final = 4_102_444_800_000  # ms: the year 2100

# What is known of the person: ratings, none yet, or nothing because Redis does not answer.
UserBasis: TypeAlias = Literal["ratings", "new", "unavailable"]
# What is known of the movie: the model learnt it; the catalogue has its genres and year; nothing.
MovieBasis: TypeAlias = Literal["learnt", "content", "unknown"]
# The last one: there is the prediction, and not what moves it.
PredictionDegraded: TypeAlias = Literal[
    "state_unavailable", "model_unavailable", "sensitivity_unavailable"
]

_BASIS: JsonDict = {"user": "ratings", "user_ratings": 31, "movie": "learnt", "movie_ratings": 317}
_PREDICTION: JsonDict = {
    "user_id": 42,
    "movie_id": 318,
    "stars": 4.2,
    "low": 2.9,
    "high": 5.0,
    "basis": _BASIS,
    "rated": 4.5,
}
_ANSWER: JsonDict = {
    "coverage": 0.9,
    "calibrated": True,
    "at": 1_752_537_600_000,
    "degraded": [],
    "model_version": "20260715-101500-3f2a",
}
_FEATURE: JsonDict = {
    "feature": "movie mean",
    "meaning": "the movie's mean rating, in stars, drawn towards that of all movies",
    "value": 4.4,
    "typical": 3.6,
    "contribution": 0.41,
    "grid": [{"value": 2.9, "stars": 3.5}, {"value": 3.6, "stars": 3.8}],
}
_RATING: JsonDict = {
    "movie_id": 593,
    "title": "Silence of the Lambs, The",
    "rating": 4.0,
    "contribution": 0.08,
    "if_higher": 4.27,
    "if_lower": 4.12,
}

Coverage = Annotated[
    float,
    Field(
        ge=0.5,
        le=0.99,
        allow_inf_nan=False,
        description="share of ratings that the interval holds",
    ),
]
At = Annotated[
    int | None,
    Field(
        ge=EARLIEST_EVENT_TIME,
        le=_LATEST,
        description="when the movie would be rated, ms since 1970; default: now. What somebody "
        "rated in the same hours and days tells their mood",
    ),
    WHOLE,
]


class Pair(BaseModel):
    """A person and a movie. Neither has to be known."""

    model_config = request_config({"user_id": 42, "movie_id": 318})

    user_id: UserId
    movie_id: MovieId


class RatingQuestion(Pair):
    """How many stars would they give it?"""

    model_config = request_config(
        {"user_id": 42, "movie_id": 318, "coverage": 0.9, "after": "3:1042"}
    )

    coverage: Coverage = 0.9
    at: At = None
    after: After = None
    wait_ms: Annotated[WaitMs, WHOLE] = DEFAULT_WAIT


class BatchQuestion(BaseModel):
    """The same of many pairs; a pair may be there more than once."""

    model_config = request_config(
        {
            "pairs": [{"user_id": 42, "movie_id": 318}, {"user_id": 43, "movie_id": 318}],
            "coverage": 0.9,
            "after": ["3:1042"],
        }
    )

    pairs: Annotated[list[Pair], Field(min_length=1, max_length=MAX_PAIRS)]
    coverage: Coverage = 0.9
    at: At = None
    after: Annotated[
        list[Annotated[str, Field(pattern=POSITION_PATTERN)]],
        Field(
            max_length=MAX_PAIRS,
            description="wait until the state includes these events of the users: positions as "
            "`POST /ratings` answers them",
        ),
    ] = []
    wait_ms: Annotated[WaitMs, WHOLE] = DEFAULT_WAIT


class Basis(BaseModel):
    """What a prediction is made from. The less there is, the wider is the interval."""

    model_config = answer_config(_BASIS)

    user: UserBasis
    user_ratings: Annotated[int, Field(description="movies that they have rated")]
    movie: MovieBasis
    movie_ratings: Annotated[int, Field(description="people who have rated it")]


class Prediction(BaseModel):
    """Expected stars, and the interval that the person's rating is in as often as asked for.

    A rating that they gave already is in `rated`, and left out of what the prediction is made from.
    """

    model_config = answer_config(_PREDICTION)

    user_id: int
    movie_id: int
    stars: float
    low: float
    high: float
    basis: Basis
    rated: Annotated[float | None, Field(description="stars they gave it, null if none")]


class _Answer(BaseModel):
    coverage: float
    calibrated: Annotated[
        bool, Field(description="whether intervals were measured to hold that share of ratings")
    ]
    at: Annotated[int, Field(description="the moment that was asked about, ms")]
    degraded: list[PredictionDegraded]
    model_version: str | None


class RatingPredicted(_Answer):
    """The prediction for one pair."""

    model_config = answer_config(
        {**_ANSWER, "prediction": _PREDICTION, "freshness": FRESHNESS_EXAMPLE}
    )

    prediction: Prediction
    freshness: Freshness


class BatchPredicted(_Answer):
    """The predictions for all pairs, in their order; equal pairs have equal ones."""

    model_config = answer_config(
        {**_ANSWER, "predictions": [_PREDICTION], "positions": ["3:1055"], "included": True}
    )

    predictions: list[Prediction]
    positions: Annotated[
        list[str],
        Field(description="the last event applied in each partition that the users are of"),
    ]
    included: Annotated[
        bool | None,
        Field(description="whether the state includes all of `after`; null without `after`"),
    ]


class GridPoint(BaseModel):
    """What the prediction would be if the feature were this much and all others as they are."""

    model_config = answer_config({"value": 2.9, "stars": 3.5})

    value: float
    stars: float


class FeatureSensitivity(BaseModel):
    """How the prediction moves with a feature.

    `value` and `typical` are null for the movie's genres, which are taken together.
    """

    model_config = answer_config(_FEATURE)

    feature: str
    meaning: str
    value: float | None
    typical: Annotated[
        float | None,
        Field(description="the median among the ratings that the model was calibrated on"),
    ]
    contribution: Annotated[
        float, Field(description="the prediction, less what it would be if this were typical")
    ]
    grid: Annotated[
        list[GridPoint],
        Field(description="from the 5th to the 95th percentile among those ratings"),
    ]


class RatingSensitivity(BaseModel):
    """How the prediction moves with a rating of the person's own."""

    model_config = answer_config(_RATING)

    movie_id: int
    title: str | None
    rating: Annotated[float, Field(description="stars")]
    contribution: Annotated[
        float, Field(description="the prediction, less what it would be without this rating")
    ]
    if_higher: Annotated[
        float | None,
        Field(description="the prediction had it been a star more; null beyond 5 stars"),
    ]
    if_lower: Annotated[
        float | None,
        Field(description="the prediction had it been a star less; null below half a star"),
    ]


class SensitivityPredicted(RatingPredicted):
    """A prediction, and what moves it: what moves it most comes first.

    Everything was left out or changed alone, and predicted anew: contributions are measured, and
    need not add up. No `features` and `ratings` where no model is served, or it fails at them.
    """

    model_config = answer_config(
        {
            **_ANSWER,
            "prediction": _PREDICTION,
            "freshness": FRESHNESS_EXAMPLE,
            "features": [_FEATURE],
            "ratings": [_RATING],
            "ratings_left": 0,
        }
    )

    features: list[FeatureSensitivity]
    ratings: Annotated[list[RatingSensitivity], Field(description="of the latest 100 at most")]
    ratings_left: Annotated[int, Field(description="earlier ratings that were not looked at")]
