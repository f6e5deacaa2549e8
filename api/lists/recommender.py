"""Recommendations for a user: read the state, choose what is possible, say what was done."""

import time

from api import metrics
from api.errors import unavailable
from api.lists.freshness import LogPosition, UserView, view_user
from api.lists.retrieval import Retrieved, popular, retrieve
from api.lists.wanted import Wanted
from api.schemas.freshness import Freshness
from api.schemas.recommendations import Recommendations, RecommendedMovie
from api.serving.watcher import Serving, ServingWatcher
from stream.contracts.errors import StoreUnavailable
from stream.store import StateStore


class Recommender:
    def __init__(self, store: StateStore, watcher: ServingWatcher) -> None:
        self._store = store
        self._watcher = watcher

    async def recommend(
        self, user_id: int, limit: int, after: LogPosition | None = None, wait_ms: int = 0
    ) -> Recommendations:
        """At most `limit` movies from the state that includes `after`, or from what there is.

        Args:
            user_id: known or not.
            limit: how many movies.
            after: an event of this user that the state shall include.
            wait_ms: how long to wait for that.

        Raises:
            ProblemError: `after` is not a position of this user (422), or there is nothing at all
                to recommend from (503).
        """
        view = await self._view(user_id, after, wait_ms)
        serving = self._watcher.current  # from here on this one only
        if view is None:
            found = popular(serving, Wanted(limit), "state_unavailable")
        else:
            found = await retrieve(serving, view.record, Wanted(limit))
        if not found.candidates and (view is None or _nothing_to_serve(serving)):
            raise unavailable(
                "there is nothing to recommend from: "
                + ("no model is served" if view else "Redis does not answer, no model is served")
            )
        _measure(view, found)
        return _answer(user_id, serving, view, found, after)

    async def _view(self, user_id: int, after: LogPosition | None, wait_ms: int) -> UserView | None:
        """None where the store does not answer, or nobody has said yet what is in it."""
        partitions = self._watcher.current.partitions
        if partitions is None:
            return None
        try:
            return await view_user(self._store, partitions, user_id, after, wait_ms)
        except StoreUnavailable:
            return None


def _nothing_to_serve(serving: Serving) -> bool:
    return serving.model is None and not serving.trending


def _answer(
    user_id: int,
    serving: Serving,
    view: UserView | None,
    found: Retrieved,
    after: LogPosition | None,
) -> Recommendations:
    model = serving.model
    if view is not None:
        freshness = view.freshness()
    else:
        freshness = Freshness(included=None if after is None else False)
    return Recommendations(
        user_id=user_id,
        strategy=found.strategy,
        degraded=found.degraded,
        model_version=model.event.version if model else None,
        index=model.event.collection if model else None,
        freshness=freshness,
        items=[
            RecommendedMovie(
                movie_id=movie.movie_id,
                title=movie.title,
                genres=list(movie.genres),
                year=movie.year,
                score=score,
                source=source,
            )
            for movie, score, source in found.candidates
        ],
    )


def _measure(view: UserView | None, found: Retrieved) -> None:
    metrics.RECOMMENDATIONS.labels(found.strategy).inc()
    metrics.EXPLORED.inc(sum(candidate.source == "new" for candidate in found.candidates))
    for reason in found.degraded:
        metrics.DEGRADED.labels(reason).inc()
    if view is None or not view.record.state.events:
        return
    age = max(time.time() - view.record.state.last_produced_time / 1000, 0.0)
    metrics.STATE_AGE.observe(age)
    if view.included:
        metrics.EVENT_TO_RECOMMENDATION.observe(age)
