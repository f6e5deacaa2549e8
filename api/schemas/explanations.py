"""Why a movie is in a list."""

from typing import Annotated

from pydantic import BaseModel, Field
from pydantic.config import JsonDict

from api.schemas.common import answer_config

LOG_ODDS = "by how much the movie's log-odds to be picked would be lower without it"

_RATING: JsonDict = {
    "movie_id": 593,
    "title": "Silence of the Lambs, The",
    "rating": 5.0,
    "contribution": 1.31,
}
_FEATURE: JsonDict = {
    "feature": "heat_30",
    "meaning": "many people have rated it in the last weeks",
    "contribution": 0.42,
}
_GENRE: JsonDict = {"genre": "Thriller", "ratings": 61, "contribution": 0.94}
EXPLANATION_EXAMPLE: JsonDict = {
    "sentence": "Because you rated Silence of the Lambs, The 5 stars and many people have "
    "rated it in the last weeks.",
    "ratings": [_RATING],
    "features": [_FEATURE],
    "genres": [_GENRE],
}


class RatingEvidence(BaseModel):
    """A rating of the person's own that moved the movie up."""

    model_config = answer_config(_RATING)

    movie_id: int
    title: str | None
    rating: Annotated[float, Field(description="stars")]
    contribution: Annotated[float, Field(description=LOG_ODDS)]


class FeatureEvidence(BaseModel):
    """A feature that moved the movie up: what it adds beside a movie that is nothing special."""

    model_config = answer_config(_FEATURE)

    feature: str
    meaning: str
    contribution: Annotated[float, Field(description=LOG_ODDS)]


class GenreEvidence(BaseModel):
    """All ratings of a genre together, of people who rated much."""

    model_config = answer_config(_GENRE)

    genre: str
    ratings: Annotated[int, Field(description="how many of them there are")]
    contribution: Annotated[float, Field(description=LOG_ODDS)]


class Explanation(BaseModel):
    """What moved a movie up, the strongest first, and the same as a sentence.

    Each rating, feature and genre was left out and the movie scored anew: contributions are
    measured, and need not add up.
    """

    model_config = answer_config(EXPLANATION_EXAMPLE)

    sentence: str
    ratings: list[RatingEvidence]
    features: list[FeatureEvidence]
    genres: list[GenreEvidence]
