"""Pages of a list: the first as quickly as can be, the others from a list that is ranked once.

What comes after the first page is ranked when it is asked for, which is seldom, and kept while it
is read. So no page repeats or leaves out a movie, whatever is rated, promoted or gets hot in
between; only what the person has rated since is left out.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from api.errors import unavailable
from api.lists.asked import Case
from api.lists.cursor import KEPT, Cursor, expired
from api.lists.everybody import Candidate, Retrieved
from api.lists.kept_list import KeptList
from api.lists.wanted import DEPTH
from api.schemas.freshness import Freshness
from stream.contracts.errors import StoreUnavailable
from stream.kept import Kept
from stream.store import StateStore


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list.

    Attributes:
        found: the movies of the page.
        freshness: of the state that they were found with.
        model_version: that ranked them, None without a model.
        index: its index.
        further: behind it, None at the end of the list.
        cached: whether they were found for an earlier request.
    """

    found: Retrieved
    freshness: Freshness
    model_version: str | None
    index: str | None
    further: Cursor | None
    cached: bool


def first_page(case: Case, found: Retrieved, cached: bool) -> Page:
    """The movies of a list that is as long as a page."""
    further = None
    if len(found.candidates) == case.asked.wanted.limit:
        further = Cursor.after(case.user_id, case.question, _ids(found.candidates))
    return _page(case, found, further, cached)


async def second_page(store: StateStore, case: Case, cursor: Cursor, found: Retrieved) -> Page:
    """What comes after the movies that a cursor carries; the rest of the list is kept.

    Where it cannot be kept, since the state is unknown or another one by now, or is not worth it,
    since something was missing for a better list, the next cursor carries what was shown as well.

    Args:
        store: where the rest is kept.
        case: the request.
        cursor: behind the page before.
        found: a list that is `DEPTH` long.
    """
    shown, limit = cursor.shown_ids(), case.asked.wanted.limit
    before = frozenset(shown)
    left = [it for it in found.candidates if it.movie.movie_id not in before]
    page, rest = left[:limit], left[limit:]
    shown += _ids(page)
    further = None
    if rest:
        further = await _keep(store, case, found, rest)
        if further is None and len(shown) < DEPTH:
            further = Cursor.after(case.user_id, case.question, shown)
    return _page(case, replace(found, candidates=page), further, cached=False)


def kept_page(case: Case, cursor: Cursor) -> Page:
    """A page of a kept list, without what has been rated since.

    Raises ProblemError: it cannot be read now (503), or is not kept any more (410).
    """
    view = case.known
    if view is None:
        raise unavailable("the list of this cursor cannot be read now")
    kept = KeptList.decode(view.kept)
    if kept is None:
        raise expired()
    rated, limit = frozenset(view.record.state.movie_ids().tolist()), case.asked.wanted.limit
    ids = kept.ids()
    places = [at for at in range(cursor.offset, len(ids)) if ids[at] not in rated]
    further = None
    if len(places) > limit:
        further = msgspec.structs.replace(cursor, offset=places[limit])
    return Page(
        found=Retrieved(kept.strategy, kept.candidates(case.serving, places[:limit])),
        freshness=kept.freshness(view.partition, case.asked.after),
        model_version=kept.model_version,
        index=kept.index,
        further=further,
        cached=True,
    )


def _page(case: Case, found: Retrieved, further: Cursor | None, cached: bool) -> Page:
    model = case.serving.model
    return Page(
        found=found,
        freshness=case.freshness(),
        model_version=model.event.version if model else None,
        index=model.event.collection if model else None,
        further=further,
        cached=cached,
    )


async def _keep(
    store: StateStore, case: Case, found: Retrieved, rest: Sequence[Candidate]
) -> Cursor | None:
    """The cursor of the rest of a list, None where it is not kept."""
    view = case.known
    kept = KeptList.of(view, case.serving, found.strategy, rest) if view is not None else None
    if view is None or kept is None or found.degraded:
        return None
    now = time.time()
    # Of too many things the least name goes first: an answer of the cache, or the oldest list.
    name = b"l%012x" % int(now * 1_000) + secrets.token_bytes(4)
    thing = Kept(view.partition, case.user_id, kept.state, name, kept.encode(), KEPT)
    try:
        async with asyncio.timeout(case.deadline.left_or_none()):
            [taken] = await store.keep([thing])
    except (StoreUnavailable, TimeoutError):
        return None
    return Cursor(case.user_id, case.question, int(now) + KEPT, kept=name) if taken else None


def _ids(candidates: Sequence[Candidate]) -> list[int]:
    return [candidate.movie.movie_id for candidate in candidates]
