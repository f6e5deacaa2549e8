"""Movies by themselves: one of them, those like it, what is trending, what a name finds."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.schemas.common import MAX_LIMIT, Genres, Tags, answer_config
from api.schemas.filters import FILTERS_EXAMPLE, MovieFilters

MAX_QUERY: Final = 100  # characters of a name; the longest title of MovieLens has 160
MAX_FOUND: Final = 50  # movies or tags by name: who does not see theirs goes on typing

# How a name matches what was typed, the best way first: it is that, begins with that, has words
# that begin as all of its words do, or is similar.
Match: TypeAlias = Literal["exact", "beginning", "words", "similar"]

Window: TypeAlias = Literal["month", "year"]
By: TypeAlias = Literal["vector", "ratings"]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]

_MOVIE: JsonDict = {
    "movie_id": 858,
    "title": "Godfather, The",
    "genres": ["Crime", "Drama"],
    "year": 1972,
}
_LIVE: JsonDict = {
    "ratings": 192,
    "mean": 4.289,
    "std": 0.915,
    "heat": {"month": 0.31, "year": 0.82},
    "positions": ["0:977", "3:1055"],
}
_SIMILAR: JsonDict = {
    "movie_id": 1221,
    "title": "Godfather: Part II, The",
    "genres": ["Crime", "Drama"],
    "year": 1974,
    "score": 0.0328,
    "by": ["vector", "ratings"],
    "cosine": 0.93,
    "log_odds": 2.17,
}
_TRENDING: JsonDict = {**_MOVIE, "share": 0.31, "ratings": 192, "mean": 4.289}
_TAG: JsonDict = {"name": "dystopia", "movies": 64}
_FOUND: JsonDict = {**_MOVIE, "match": "beginning", "ratings": 192}


class _Movie(BaseModel):
    movie_id: int
    title: str
    genres: Genres
    year: int | None


class LiveCounts(BaseModel):
    """What people think of a movie, as of the API's last look at the state, under a second ago.

    Of each person the latest rating counts. `heat` is the movie's share of the hottest movie's
    ratings, 0 to 1, where a rating counts half as much after 30 days (`month`) or 365 (`year`).
    """

    model_config = answer_config(_LIVE)

    ratings: Annotated[int, Field(description="how many people rated it")]
    mean: Annotated[float | None, Field(description="stars; null without a rating")]
    std: Annotated[float | None, Field(description="standard deviation, stars")]
    heat: dict[Window, float]
    positions: Annotated[
        list[str], Field(description="the last event of each partition that is counted")
    ]


class MovieDetails(_Movie):
    """A movie of the catalogue.

    `model` says how the served model knows it: `learnt` from ratings, or `later` by its content
    alone; null where no model is served, or it has not taken the movie in yet.
    """

    model_config = answer_config(
        {
            **_MOVIE,
            "tags": ["mafia", "classic"],
            "live": _LIVE,
            "model": "learnt",
            "model_version": "20260715-101500-3f2a",
        }
    )

    tags: Tags
    live: LiveCounts
    model: Literal["learnt", "later"] | None
    model_version: str | None


class SimilarMovie(_Movie):
    """A movie that is like another one.

    `cosine` is that of both movies' vectors. `log_odds` is by how much likelier somebody picks it
    because they liked the other one, which is what the links between movies that the same people
    rate add for the ranker. Of `by=vector` the score is the cosine, of `by=ratings` the log-odds.
    Of both it is the sum of 1 / (60 + place) over the lists that have it, by reciprocal rank fusion
    (Cormack, Clarke and Büttcher, SIGIR 2009).
    """

    model_config = answer_config(_SIMILAR)

    score: float
    by: Annotated[list[By], Field(description="which of the lists have it")]
    cosine: float
    log_odds: float


class SimilarMovies(BaseModel):
    """What is like a movie, the most similar first, without the movie itself.

    A movie that the model did not learn has no links to others yet, so that its `by=ratings` is
    empty. `degraded` has `index_unavailable` where what is near by vector is missing.
    """

    model_config = answer_config(
        {
            "movie_id": 858,
            "model_version": "20260715-101500-3f2a",
            "degraded": [],
            "items": [_SIMILAR],
        }
    )

    movie_id: int
    model_version: str
    degraded: list[Literal["index_unavailable"]]
    items: list[SimilarMovie]
    empty_because: Annotated[str | None, Field(description="why there are no `items`")] = None


class TrendingMovie(_Movie):
    """A movie that is rated much. `share` is of the hottest movie's ratings, see `LiveCounts`."""

    model_config = answer_config(_TRENDING)

    share: float
    ratings: Annotated[int, Field(description="how many people rated it, ever")]
    mean: Annotated[float, Field(description="their mean, in stars")]


class TrendingMovies(BaseModel):
    """What is rated most of late, the hottest first."""

    model_config = answer_config(
        {
            "window": "month",
            "half_life_days": 30.0,
            "positions": ["0:977", "3:1055"],
            "items": [_TRENDING],
        }
    )

    window: Window
    half_life_days: float
    positions: Annotated[
        list[str], Field(description="the last event of each partition that is counted")
    ]
    items: list[TrendingMovie]
    empty_because: Annotated[str | None, Field(description="why there are no `items`")] = None


class FoundMovie(_Movie):
    """A movie that is meant, maybe.

    `match` says how what was typed is in one of its names: `exact`ly, as its `beginning`, as
    beginnings of `words`, or `similar`ly.
    """

    model_config = answer_config(_FOUND)

    match: Match
    ratings: Annotated[int, Field(description="how many people rated it")]


class FoundMovies(BaseModel):
    """Movies by name: better matches first, and of equal ones those with more ratings."""

    model_config = answer_config({"query": "godf", "items": [_FOUND]})

    query: str
    items: list[FoundMovie]


class FoundTag(BaseModel):
    """A tag as a movie of the catalogue has it, and how many movies do, however they write it."""

    model_config = answer_config(_TAG)

    name: str
    movies: int


class FoundTags(BaseModel):
    """Tags: those that have a word which begins so, of most movies first; then similar ones."""

    model_config = answer_config({"query": "dys", "items": [_TAG]})

    query: str
    items: list[FoundTag]


class SimilarQuery(MovieFilters):
    """How movies are to be similar, and which are wanted."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**FILTERS_EXAMPLE, "by": "vector", "limit": 10}]}
    )

    by: Annotated[
        By | None,
        Field(
            description="`vector`: near in what the model makes of content and ratings; `ratings`: "
            "rated by the same people; both by default"
        ),
    ] = None
    limit: Limit = 10


class TrendingQuery(MovieFilters):
    """Since when, and which movies are wanted."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**FILTERS_EXAMPLE, "window": "month", "limit": 10}]}
    )

    window: Annotated[
        Window,
        Field(
            description="A window has no edge: a rating counts half as much after 30 days (`month`)"
            " or 365 (`year`), by the times at which movies were rated. So what is replayed from "
            "another year trends as it did then."
        ),
    ] = "month"
    limit: Limit = 10


def _encodable(value: str) -> str:
    value.encode()  # a lone surrogate is no text; UnicodeEncodeError is a ValueError
    return value


NameQuery = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_QUERY,
        description="what was typed so far: the beginning of a name or of its words, with typos, "
        "without accents, the article in front or behind; a year at the end says which",
        examples=["godf", "the godfather 1972"],
    ),
    AfterValidator(_encodable),
]

TagQuery = Annotated[
    str,
    Field(
        max_length=MAX_QUERY,
        description="what was typed so far of any of its words; nothing: all tags",
        examples=["dys"],
    ),
    AfterValidator(_encodable),
]
