"""What requests and answers about new movies look like."""

from typing import Annotated, Final

from pydantic import BaseModel, Field, ValidationInfo, field_validator
from pydantic.config import JsonDict

from api.schemas.common import WHOLE, Genres, MovieId, Tags, answer_config, request_config
from stream.contracts.events import MAX_TAG

MAX_GENRES: Final = 20  # of a movie; MovieLens has at most 10
MAX_TAGS: Final = 10  # of a movie
FIRST_FILM: Final = 1870  # Passage de Vénus, of 1874, is the oldest
LAST_FILM: Final = 2100

# Something that can be seen. Not `\S`: what is white space, each dialect says differently.
VISIBLE: Final = (
    r"[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f\u2060\u3000\ufeff]"
)

Genre = Annotated[str, Field(min_length=1, max_length=50, pattern=VISIBLE)]
Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG, pattern=VISIBLE)]

_MOVIE: JsonDict = {
    "movie_id": 300_001,
    "title": "Harvest of Stars",
    "genres": ["Adventure", "Sci-Fi"],
    "year": 2026,
    "tags": ["space opera", "based on a book"],
}


class NewMovie(BaseModel):
    """A movie of the catalogue.

    `genres` and `year` are what new movies are recommended by; `tags` are what somebody may ask
    for who describes a taste, those that most people gave it first.
    """

    model_config = request_config(_MOVIE)

    movie_id: MovieId
    title: Annotated[str, Field(min_length=1, max_length=500, pattern=VISIBLE)]
    genres: Annotated[
        list[Genre], Field(max_length=MAX_GENRES, json_schema_extra={"uniqueItems": True})
    ]
    year: Annotated[int, Field(ge=FIRST_FILM, le=LAST_FILM), WHOLE] | None = None
    tags: Annotated[
        list[Tag], Field(max_length=MAX_TAGS, json_schema_extra={"uniqueItems": True})
    ] = []

    @field_validator("genres", "tags")
    @classmethod
    def distinct(cls, value: list[str], field: ValidationInfo) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError(f"has one of its {field.field_name} more than once")
        return value


class MovieAccepted(BaseModel):
    """The event that is in the log."""

    model_config = answer_config(
        {"event_id": "0b9c7e2f4a6d4f0e9d1c2b3a49586776", "event_time": 1_752_537_600_000, **_MOVIE}
    )

    event_id: str
    movie_id: int
    title: str
    genres: Genres
    year: int | None
    tags: Tags
    event_time: Annotated[int, Field(description="when it was accepted, ms")]
