"""People to show the service with: real ones, found by rule in whatever data is loaded."""

from typing import Annotated, Final

from pydantic import BaseModel, Field
from pydantic.config import JsonDict

from api.schemas.common import Genres, answer_config
from api.schemas.recommendations import RECOMMENDATIONS_EXAMPLE, Recommendations

TOP_MOVIES: Final = 5

_TOP: JsonDict = {
    "movie_id": 589,
    "title": "Terminator 2: Judgment Day",
    "genres": ["Action", "Sci-Fi"],
    "year": 1991,
    "rating": 5.0,
}
_PERSON: JsonDict = {
    "name": "action-lover",
    "title": "The action lover",
    "rule": "of what they gave 4 stars or more, the share of Action movies is further above "
    "everybody's than anyone else's, in standard deviations",
    "user_id": 42,
    "held_out": True,
    "ratings": 212,
    "mean_rating": 3.71,
    "top_movies": [_TOP],
}


class TopMovie(BaseModel):
    """A movie that somebody rated highest."""

    model_config = answer_config(_TOP)

    movie_id: int
    title: str
    genres: Genres
    year: int | None
    rating: float


class DemoPerson(BaseModel):
    """Somebody of the live state who fits a rule better than all others.

    `held_out` says whether the served model has not learnt from their latest rating, so that their
    list is a prediction; people of whom that is true come first. Null where no model is served.
    """

    model_config = answer_config(_PERSON)

    name: str
    title: str
    rule: str
    user_id: int
    held_out: bool | None
    ratings: Annotated[int, Field(description="movies that they have rated")]
    mean_rating: Annotated[float, Field(description="stars")]
    top_movies: Annotated[
        list[TopMovie], Field(description="their highest ratings, of equal ones the latest first")
    ]


class DemoPeople(BaseModel):
    """Whoever fits the rules now. A part that nobody can play is in `missing`."""

    model_config = answer_config({"people": [_PERSON], "missing": ["critic"], "looked_at": 610})

    people: list[DemoPerson]
    missing: list[str]
    looked_at: Annotated[int, Field(description="people among whom they were found")]


class DemoRecommendations(BaseModel):
    """Somebody's best movies, and what they are recommended now."""

    model_config = answer_config({"person": _PERSON, "recommendations": RECOMMENDATIONS_EXAMPLE})

    person: DemoPerson
    recommendations: Recommendations
