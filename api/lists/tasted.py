"""Movies for a taste: what of it can be gone by, and the list."""

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from api.catalogue.described import movie_at, named, unrated
from api.lists.people import left_out_of, why_none, without_model
from api.lists.ranking import MOST_DIVERSE
from api.lists.taste import Chosen, Weights, choose, stated, utilities_of
from api.schemas.taste import Ignored, TasteMovie, TasteProfile, TasteRecommendations
from api.serving.models import ServedModel
from api.serving.watcher import TRENDING, Serving
from api.stages import stage
from stream.contracts.events import new_event_id
from training.movie_table import Mask, MovieTable
from training.repertoire import Repertoire

# Of a movie that nobody has rated: its logarithm is finite, and no weight makes up for it.
_LEAST: Final = 1e-30

_NEAR: Final = 5  # tags that may be meant by one that no movie has


async def for_taste(serving: Serving, profile: TasteProfile) -> TasteRecommendations:
    """Movies for a taste that somebody describes, without those that they name."""
    model, movies = serving.model, serving.repertoire
    ignored = await asyncio.to_thread(lambda: list(_ignored(serving, profile)))
    without = {one.value for one in ignored if one.field in ("liked", "disliked")}
    liked, disliked = (
        [movie_id for movie_id in set(ids) if str(movie_id) not in without]
        for ids in (profile.liked, profile.disliked)
    )
    found = None
    if model is not None and movies is not None:
        with stage("rank"), model.use():
            # Not in the thread: the masks that a repertoire remembers are the event loop's.
            named_movies = {*profile.liked, *profile.disliked}
            left_out = left_out_of(movies, named_movies, profile.filters.to_filter())
            found = await asyncio.to_thread(
                _chosen, serving, model, movies, liked, disliked, left_out, profile
            )
    if found is None or movies is None:
        items = _weighted_trends(serving, profile)
    else:
        items = [
            TasteMovie(**named(movie_at(serving, movies, row)), score=score, stated=added)
            for row, score, added in zip(*(of.tolist() for of in found), strict=True)
        ]
    return TasteRecommendations(
        impression_id=new_event_id(),
        strategy="two_tower" if found is not None and (liked or disliked) else "trending",
        degraded=["model_unavailable"] if found is None else [],
        model_version=model.event.version if model else None,
        ignored=ignored,
        items=items,
        empty_because=None
        if items
        else why_none(serving, profile.filters.to_filter(), left_out="named"),
    )


def _ignored(serving: Serving, profile: TasteProfile) -> Iterator[Ignored]:
    """What a profile says and cannot be gone by."""
    for tag in profile.tags:
        if not len(serving.lookup.tagged(tag)):
            near = ", ".join(it.name for it in serving.lookup.tags.find(tag, _NEAR))
            reason = f"no movie has this tag{near and f': there are {near}'}"
            yield Ignored(field="tags", value=tag, reason=reason)
    for era in profile.eras:
        if era.year_from > era.year_to:
            years = f"{era.year_from}-{era.year_to}"
            yield Ignored(field="eras", value=years, reason="it ends before it begins")
    movies = serving.repertoire
    if movies is not None:
        genres = movies.table.genre_names
        for name in profile.genres:
            if name not in genres:
                reason = f"no movie has this genre: there are {', '.join(genres)}"
                yield Ignored(field="genres", value=name, reason=reason)
    both = set(profile.liked) & set(profile.disliked)
    for movie_id in dict.fromkeys((*profile.liked, *profile.disliked)):
        if why_not := _why_not(serving, movie_id, movie_id in both):
            yield Ignored(
                field="liked" if movie_id in profile.liked else "disliked",
                value=str(movie_id),
                reason=why_not,
            )


def _why_not(serving: Serving, movie_id: int, both: bool) -> str | None:
    """Why a movie that is named cannot be gone by, None where it can."""
    if both:
        return "it is both liked and disliked"
    movies = serving.repertoire
    if movies is None:
        return None if movie_id in serving.catalogue else "no movie has this id"
    row = int(movies.items.rows(np.array([movie_id], np.uint32))[0])
    if 0 <= row < movies.learnt:
        return None
    known = row >= 0 or movie_id in serving.catalogue
    return "the model has not learnt this movie yet" if known else "no movie has this id"


def _chosen(
    serving: Serving,
    model: ServedModel,
    movies: Repertoire,
    liked: Collection[int],
    disliked: Collection[int],
    left_out: Mask,
    profile: TasteProfile,
) -> Chosen | None:
    """None where towers or ranker fail."""
    try:
        utilities = utilities_of(model.artifact, movies, serving.live, liked, disliked)
        ratings = serving.live.ratings[: len(movies.table)]
        added = stated(_weights(serving, profile), movies.table, ratings)
        ranking = model.artifact.ranking
        if profile.diversity is not None:
            ranking = replace(ranking, trade_off=min(profile.diversity, MOST_DIVERSE))
        return choose(ranking, movies, utilities, added, left_out, profile.limit)
    except Exception as error:  # noqa: BLE001 - whatever it is, there is an answer without it
        model.note_failure("model_unavailable", error)
        return None


def _weighted_trends(serving: Serving, profile: TasteProfile) -> list[TasteMovie]:
    """What is trending, weighted: its scores are odds, so that weights add to their logarithms."""
    named_movies = {*profile.liked, *profile.disliked}
    trends = without_model(serving, named_movies, profile.filters.to_filter(), TRENDING)
    table = MovieTable.of([unrated(movie) for movie, _ in trends])
    rows = [np.flatnonzero(serving.live.ids == movie_id) for movie_id in table.movie_ids]
    ratings = np.array([serving.live.ratings[row].sum() for row in rows], np.int64)
    added = stated(_weights(serving, profile), table, ratings)
    scores = np.array([score for _, score in trends], np.float64)
    worth = np.log(np.maximum(scores, _LEAST)) + added
    best = np.argsort(-worth, kind="stable")[: profile.limit]
    return [
        TasteMovie(
            **named(trends[at][0]),
            score=float(np.exp(worth[at] - worth[best[0]])),
            stated=float(added[at]),
        )
        for at in best.tolist()
    ]


def _weights(serving: Serving, profile: TasteProfile) -> Weights:
    eras = [(era.year_from, era.year_to, era.weight) for era in profile.eras]
    tags = [(serving.lookup.tagged(tag), weight) for tag, weight in profile.tags.items()]
    return Weights(profile.genres, eras, tags, profile.popularity)
