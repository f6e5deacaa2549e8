"""Movies: search, one of them, what is like it, what is trending; and POST, for the catalogue."""

import asyncio
from http import HTTPStatus
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Body, Path, Query, Response
from pydantic import BaseModel

from api.catalogue.counts import counts_of
from api.catalogue.described import movie_at, named
from api.catalogue.similar import similar
from api.catalogue.trending import trending
from api.deps import API, Deps, IdempotencyKey, json_bytes, respond
from api.errors import FieldError, Problem, ProblemError, unavailable
from api.guard.access import needs
from api.intake.idempotency import Answer
from api.lists.emptiness import impossible
from api.schemas.catalogue import (
    MAX_FOUND,
    FoundMovie,
    FoundMovies,
    FoundTag,
    FoundTags,
    MovieDetails,
    NameQuery,
    SimilarMovie,
    SimilarMovies,
    SimilarQuery,
    TagQuery,
    TrendingMovies,
    TrendingQuery,
)
from api.schemas.common import MovieId
from api.schemas.movies import MovieAccepted, NewMovie
from api.serving.watcher import Movie, Serving
from api.stages import stage
from stream.contracts.events import MovieEvent

router = APIRouter(prefix=API, tags=["movies"])


@router.get("/movies/search", response_model=FoundMovies, responses={422: {"model": Problem}})
async def search_movies(
    services: Deps,
    q: Annotated[NameQuery, Query()],
    limit: Annotated[int, Query(ge=1, le=MAX_FOUND)] = 10,
) -> Response:
    """Movies by name, while it is typed: right away, with typos, whichever way round."""
    serving = services.watcher.current
    with stage("search"):
        hits = serving.lookup.find(q, limit, serving.live)
    movies = serving.lookup.catalogue
    items = [
        FoundMovie(**named(movies[hit.movie_id]), match=hit.match, ratings=hit.ratings)
        for hit in hits
    ]
    return _json(FoundMovies(query=q, items=items))


@router.get("/tags", response_model=FoundTags, responses={422: {"model": Problem}})
async def search_tags(
    services: Deps,
    q: Annotated[TagQuery, Query()] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_FOUND)] = 10,
) -> Response:
    """Tags as they are typed, for who describes a taste; without `q`, the most common ones."""
    with stage("search"):
        lookup = services.watcher.current.lookup
        tags = await asyncio.to_thread(lambda: lookup.tags.find(q, limit))
    return _json(
        FoundTags(query=q, items=[FoundTag(name=it.name, movies=it.movies) for it in tags])
    )


@router.get(
    "/movies/{movie_id}",
    response_model=MovieDetails,
    responses={status: {"model": Problem} for status in (404, 422, 503)},
)
async def get_movie(services: Deps, movie_id: Annotated[MovieId, Path()]) -> Response:
    """A movie: what the catalogue says, what people think of it now, and if the model knows it."""
    serving = services.watcher.current
    movie, row = _known(serving, movie_id)
    model, movies = serving.model, serving.repertoire
    learnt = movies is not None and row is not None and row < movies.learnt
    found = MovieDetails(
        **named(movie),
        tags=list(movie.tags) if isinstance(movie, MovieEvent) else [],
        live=counts_of(serving.live, movie_id),
        model=None if row is None else "learnt" if learnt else "later",
        model_version=model.event.version if model else None,
    )
    return _json(found)


@router.get(
    "/movies/{movie_id}/similar",
    response_model=SimilarMovies,
    responses={status: {"model": Problem} for status in (404, 422, 503)},
)
async def similar_movies(
    services: Deps,
    movie_id: Annotated[MovieId, Path()],
    query: Annotated[SimilarQuery, Query()],
) -> Response:
    """Movies that are like one: near it in the model's eyes, rated by the same people, or both."""
    serving = services.watcher.current
    _, row = _known(serving, movie_id)
    model, movies = serving.model, serving.repertoire
    if model is None or movies is None:
        raise unavailable("no model is served yet: train and promote one")
    if row is None:
        raise unavailable(f"the model has not taken in movie {movie_id} yet")
    with stage("similar"), model.use():
        found = await similar(model, movies, row, query.by, query.to_filter(), query.limit)
    answer = SimilarMovies(
        movie_id=movie_id,
        model_version=model.event.version,
        degraded=[] if found.whole else ["index_unavailable"],
        items=[
            SimilarMovie(
                **named(movie_at(serving, movies, alike.row)),
                score=alike.score,
                by=alike.by,
                cosine=alike.cosine,
                log_odds=alike.log_odds,
            )
            for alike in found.movies
        ],
        empty_because=None if found.movies else _why_none_like(serving, query, row < movies.learnt),
    )
    return _json(answer)


@router.get(
    "/trending",
    response_model=TrendingMovies,
    responses={422: {"model": Problem}},
)
async def trending_movies(services: Deps, query: Annotated[TrendingQuery, Query()]) -> Response:
    """What is rated most of late, by everybody; of somebody unknown see `/recommendations`."""
    with stage("trending"):
        found = trending(services.watcher.current, query.window, query.to_filter(), query.limit)
    return _json(found)


@router.post(
    "/movies",
    status_code=HTTPStatus.ACCEPTED,
    response_model=MovieAccepted,
    responses={status: {"model": Problem} for status in (409, 410, 422, 503)},
)
@needs("admin")
async def post_movie(
    services: Deps,
    body: Annotated[NewMovie, Body()],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Publish a movie; one whose id is known takes the place of what was known of it.

    The answer comes when the broker has it. Within a second it can be rated and is recommended by
    its genres and year, before anybody has rated it.
    """

    async def publish() -> Answer:
        accepted = await services.movies.publish(body, idempotency_key)
        return Answer(HTTPStatus.ACCEPTED, json_bytes(accepted))

    asked = json_bytes(body)
    return respond(await services.idempotent.once(idempotency_key, "movies", asked, (), publish))


def _why_none_like(serving: Serving, query: SimilarQuery, learnt: bool) -> str:
    if query.by == "ratings" and not learnt:
        return "the model has not learnt this movie yet: nothing is known of who rates it"
    reason = impossible(serving, query.to_filter())
    return reason or "no other movie that is like it meets every filter"


def _known(serving: Serving, movie_id: int) -> tuple[Movie, int | None]:
    """The movie, and its row in the repertoire, None where the model lacks it.

    Raises ProblemError: 404 for a movie that nobody knows, 503 before any is known.
    """
    movies = serving.repertoire
    row = -1 if movies is None else int(movies.items.rows(np.array([movie_id], np.uint32))[0])
    movie = serving.catalogue.get(movie_id) or (movies.table[row] if movies and row >= 0 else None)
    if movie is not None:
        return movie, row if row >= 0 else None
    if not serving.catalogue:
        raise unavailable("the catalogue is not loaded yet")
    raise ProblemError(
        HTTPStatus.NOT_FOUND,
        "unknown-movie",
        "A movie is not in the catalogue",
        f"no movie has id {movie_id}: find its id with `GET {API}/movies/search`",
        [FieldError(field="path.movie_id", message=f"no movie has id {movie_id}")],
    )


def _json(found: BaseModel) -> Response:
    return Response(json_bytes(found), media_type="application/json")
