"""Recommendations for a user: read the state, choose what is possible, say what was done."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Final

from api import metrics
from api.errors import unavailable
from api.experiments.exposures import Exposures
from api.experiments.interleaving import team_draft
from api.experiments.trial import Trial, trial_of
from api.heavy import Heavy
from api.lists.asked import Asked, Case
from api.lists.cache import AnswerCache
from api.lists.cursor import Cursor, question_of
from api.lists.deadline import Deadline, DeadlinePassed
from api.lists.emptiness import why_empty
from api.lists.everybody import Retrieved, popular
from api.lists.explained import explanations
from api.lists.freshness import UserView, view_user
from api.lists.pages import Page, first_page, kept_page, second_page
from api.lists.profile import profile_of
from api.lists.retrieval import retrieve
from api.lists.wanted import DEPTH, Wanted
from api.schemas.explanations import Explanation
from api.schemas.recommendations import DegradedReason, Recommendations, RecommendedMovie
from api.serving.watcher import ServingWatcher
from api.stages import stage
from stream.contracts.errors import StoreUnavailable
from stream.contracts.events import new_event_id
from stream.store import StateStore

# s that are left for the list at least when the state is waited for until a deadline: ranking takes
# some milliseconds, and a wait that leaves nothing would only end in a worse answer.
RESERVE: Final = 0.05


class Recommender:
    """Answers requests for recommendations.

    Args:
        store: has the users' state, and what is kept for them.
        watcher: knows what is served.
        cache: of answers.
        exposures: say what was shown.
        heavy: has places for explanations.
        time_for_answers: s in which an answer shall be there, where a request does not say.
    """

    def __init__(
        self,
        store: StateStore,
        watcher: ServingWatcher,
        cache: AnswerCache,
        exposures: Exposures,
        heavy: Heavy,
        time_for_answers: float,
    ) -> None:
        self._store = store
        self._watcher = watcher
        self._cache = cache
        self._exposures = exposures
        self._heavy = heavy
        self._coin = Random()
        self._time = time_for_answers

    async def recommend(self, user_id: int, asked: Asked) -> Recommendations:
        """Movies from the state that includes what was asked for, or from what there is.

        What fails or would be late is done without, and the answer says so.

        1. Read the state, with the answer given before, or the list that is paged through.
        2. Take that answer or list; else make one.
        3. Keep it, where it may be asked for again.
        4. Say what was shown.

        What the person's experiments choose is part of the question, and of what answers it.

        Args:
            user_id: known or not.
            asked: which list, and how.

        Raises:
            ProblemError: `after` is not a position of this user, or the cursor none of this list
                (422); the cursor has expired (410); there is nothing at all to recommend from, or
                the list that is paged through cannot be read (503).
        """
        question = question_of(asked.wanted)
        cursor = None
        if asked.cursor is not None:
            cursor = Cursor.decode(asked.cursor, user_id, question)
        deadline = self._deadline(asked)
        # 1.
        current = self._watcher.current
        before = self._trial(user_id, asked)
        name = cursor.kept if cursor is not None else b""
        if cursor is None and asked.use_cache and before.rival is None:
            changed = before.wanted is not asked.wanted
            name = self._cache.name(
                before.serving,
                question_of(before.wanted) if changed else question,
                asked.wanted.limit,
            )
        with stage("state"):
            view = await self._view(user_id, asked, deadline, name)
        # From here on this one only, with what serves it.
        moved = self._watcher.current is not current
        trial = self._trial(user_id, asked) if moved else before
        if trial.wanted is not asked.wanted:
            asked = replace(asked, wanted=trial.wanted)
        case = Case(user_id, asked, question, cursor, view, trial.serving, deadline)
        # 2., 3.
        teams: list[int] = []
        if trial.rival is not None:
            page, teams = await self._interleaved(case, trial.rival)
        elif cursor is None:
            page = await self._first_page(case, name if trial.makes_the_same(before) else b"")
        elif cursor.kept:
            page = kept_page(case, cursor)
        else:
            found = await self._list(case, replace(asked.wanted, limit=DEPTH))
            page = await second_page(self._store, case, cursor, found)
        reasons = await _reasons(self._heavy, case, page)
        _measure(case, page)
        # 4.
        answer = _answer(case, page, trial, reasons)
        self._exposures.shown(
            user_id, answer, answer.strategy, trial.assigned, teams, _position(case)
        )
        return answer

    async def close(self) -> None:
        """Keep what is to be kept."""
        await self._cache.settled()

    def _trial(self, user_id: int, asked: Asked) -> Trial:
        now, first = int(time.time() * 1_000), asked.cursor is None
        return trial_of(self._watcher.current, user_id, asked.wanted, now, first=first)

    def _deadline(self, asked: Asked) -> Deadline:
        if asked.timeout_ms is not None:
            return Deadline.after(asked.timeout_ms / 1_000)
        waiting = 0 if asked.after is None else asked.wait_ms / 1_000
        return Deadline.after(self._time + waiting)

    async def _view(
        self, user_id: int, asked: Asked, deadline: Deadline, name: bytes
    ) -> UserView | DegradedReason:
        """The state with what is kept under a name, or why it is not known."""
        partitions = self._watcher.current.partitions
        if partitions is None:  # nobody has said yet what is in the store
            return "state_unavailable"
        wait_ms = min(asked.wait_ms, int(max(deadline.left() - RESERVE, 0) * 1_000))
        try:
            async with asyncio.timeout(deadline.left_or_none()):
                return await view_user(self._store, partitions, user_id, asked.after, wait_ms, name)
        except StoreUnavailable:
            return "state_unavailable"
        except TimeoutError:
            return "state_late"

    async def _first_page(self, case: Case, name: bytes) -> Page:
        """The answer given before to the same question, or a new one."""
        view = case.known
        if not name or view is None or not view.record.state.events:  # others are quickly made
            metrics.CACHE.labels("bypass").inc()
            return first_page(case, await self._list(case, case.asked.wanted), cached=False)
        found = self._cache.find(case.serving, view)
        if found is not None:
            metrics.CACHE.labels("hit").inc()
            return first_page(case, found, cached=True)
        metrics.CACHE.labels("miss").inc()
        found = await self._list(case, case.asked.wanted)
        self._cache.put(case.user_id, view, case.serving, name, found)
        return first_page(case, found, cached=False)

    async def _interleaved(self, case: Case, rival: Wanted) -> tuple[Page, list[int]]:
        """A list of two, and whose each of its movies is."""
        metrics.CACHE.labels("bypass").inc()
        found, other = await self._list(case, case.asked.wanted), await self._list(case, rival)
        candidates, teams = team_draft(
            found.candidates,
            other.candidates,
            case.asked.wanted.limit,
            lambda candidate: candidate.movie.movie_id,
            self._coin,
        )
        degraded = list(dict.fromkeys([*found.degraded, *other.degraded]))
        both = replace(found, candidates=candidates, degraded=degraded)
        return first_page(case, both, cached=False), teams

    async def _list(self, case: Case, wanted: Wanted) -> Retrieved:
        """Raises ProblemError (503) where there is nothing to recommend from."""
        view, serving = case.view, case.serving
        if isinstance(view, UserView):
            found = await retrieve(serving, view.record, wanted, case.deadline)
        else:
            found = popular(serving, wanted, view)
        if not found.candidates and serving.model is None:
            if not isinstance(view, UserView):
                raise unavailable(
                    "there is nothing to recommend from: Redis does not answer, no model is served"
                )
            if not serving.trending:
                raise unavailable("there is nothing to recommend from: no model is served")
        return found


def _position(case: Case) -> int:
    """Of the page's first movie in the list, from 0, if all pages are of one length."""
    cursor = case.cursor
    if cursor is None:
        return 0
    before = 2 * case.asked.wanted.limit if cursor.kept else len(cursor.shown_ids())
    return before + cursor.offset


def _answer(
    case: Case, page: Page, trial: Trial, reasons: Mapping[int, Explanation]
) -> Recommendations:
    found, view = page.found, case.known
    return Recommendations(
        user_id=case.user_id,
        impression_id=new_event_id(),
        experiments=trial.names(),
        experiments_left_out=trial.left_out,
        strategy=found.strategy,
        degraded=found.degraded,
        model_version=page.model_version,
        index=page.index,
        cached=page.cached,
        freshness=page.freshness,
        profile=None if view is None else profile_of(view.record.state, case.serving),
        items=[
            RecommendedMovie(
                movie_id=movie.movie_id,
                title=movie.title,
                genres=list(movie.genres),
                year=movie.year,
                score=score,
                source=source,
                explanation=reasons.get(movie.movie_id),
            )
            for movie, score, source in found.candidates
        ],
        next_cursor=page.further.encode() if page.further else None,
        empty_because=None if found.candidates else why_empty(case, found),
    )


async def _reasons(heavy: Heavy, case: Case, page: Page) -> dict[int, Explanation]:
    """Why each movie is listed, by id; not where its model has gone, or the state is not there."""
    view, model = case.known, case.serving.model
    if not case.asked.explain:
        return {}
    if view is None or page.model_version != (model.event.version if model else None):
        page.found.degraded.append("explanation_unavailable")
        return {}
    listed = [(movie.movie_id, source) for movie, _, source in page.found.candidates]
    try:
        with stage("explain"):
            # A hundred ratings are left out one by one, in which others are to be answered.
            strategy = page.found.strategy
            why = partial(explanations, case.serving, view.record.state, strategy, listed)
            told = await heavy.run(why, case.deadline)
    except DeadlinePassed:
        page.found.degraded.append("explanation_late")
        return {}
    except Exception as error:  # noqa: BLE001 - whatever it is, the list is there
        if model is not None:
            model.note_failure("explanation_unavailable", error)
        page.found.degraded.append("explanation_unavailable")
        return {}
    return {movie_id: why for (movie_id, _), why in zip(listed, told, strict=True)}


def _measure(case: Case, page: Page) -> None:
    found = page.found
    metrics.RECOMMENDATIONS.labels(found.strategy).inc()
    metrics.EXPLORED.inc(sum(candidate.source == "new" for candidate in found.candidates))
    for reason in found.degraded:
        metrics.DEGRADED.labels(reason).inc()
    view = case.known
    if view is None or not view.record.state.events:
        return
    age = max(time.time() - view.record.state.last_produced_time / 1000, 0.0)
    metrics.STATE_AGE.observe(age)
    if view.included:
        metrics.EVENT_TO_RECOMMENDATION.observe(age)
