"""The models at hand: the one that serves and the one before it, so that a rollback only swaps.

Loading is done beside both the requests and the model that serves. There are never more than two.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from api import metrics
from api.serving.changes import changed_movies
from stream.contracts.errors import FreshetError
from stream.contracts.events import ModelEvent, MovieEvent
from stream.contracts.experiments import ModelChoice
from training.artifact import Artifact
from training.index import IndexedMovie, MovieIndex
from training.repertoire import Repertoire

log = logging.getLogger(__name__)

# s until a model that could not be loaded is tried again: its files may still be on their way.
RETRY: Final = 5.0

# Most popular movies of a model kept at hand: what is left of them after a heavy user's seen ones
# still fills an answer, and every genre and decade has some to suggest.
POPULAR: Final = 3_000


class ServedModel:
    """One model version and its index.

    Attributes:
        event: the promotion: version, artifact, collection.
        artifact: towers and item vectors.
        index: its index, of the same version.
        repertoire: what it can recommend.
        behind: whether it lacks a movie that it was to take in.
        popular: the most popular movies of its training data by id, most popular first.
        most_ratings: how many ratings the first of them has, at least 1.
    """

    def __init__(self, event: ModelEvent, artifact: Artifact, index: MovieIndex) -> None:
        self.event = event
        self.artifact = artifact
        self.index = index
        self.repertoire = Repertoire.of(artifact)
        self.behind = False
        self._catalogue: Mapping[int, MovieEvent] = {}  # which was taken in
        table = self.repertoire.table
        most = (table[row] for row in table.most_rated(POPULAR).tolist())
        self.popular: dict[int, IndexedMovie] = {movie.movie_id: movie for movie in most}
        self.most_ratings = max(1, int(table.popularity.max(initial=0)))
        self._noted: set[str] = set()
        self._users = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def use(self) -> Iterator[None]:
        """Keeps the model open for the duration."""
        self._users += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._idle.set()

    def note_failure(self, what: str, error: Exception) -> None:
        """Log what failed the first time it does; the metrics count every time."""
        if what not in self._noted:
            self._noted.add(what)
            log.error("%s of model %s: %s", what, self.event.version, error, exc_info=error)

    def take_in(self, catalogue: Mapping[int, MovieEvent]) -> None:
        """Embed what the catalogue has and this lacks, or has otherwise, and put it in the index.

        1. The item tower makes vectors of the movies' content.
        2. The index has them.
        3. Requests see them from now on, all at once.

        What fails is said once and leaves all as it was, but for the index, which may have them
        already; `behind` asks for another try, which changes nothing twice.
        """
        if catalogue is self._catalogue:
            return
        try:
            # 1.
            changed = changed_movies(self._catalogue, catalogue)
            lacking = self.repertoire.lacking(self.artifact, changed)
            # 2.
            if lacking.movies:
                self.index.upsert(lacking.movies, lacking.vectors)
        except Exception as error:  # noqa: BLE001 - what it learnt is served, and looks go on
            self.note_failure("later movies", error)
            self.behind = True
            return
        # 3.
        self.repertoire = self.repertoire.taking_in(lacking)
        self._catalogue, self.behind = catalogue, False

    def is_what(self, event: ModelEvent) -> bool:
        """Whether this is what a promotion names."""
        own = self.event
        return (own.version, own.artifact, own.collection) == (
            event.version,
            event.artifact,
            event.collection,
        )

    async def retire(self) -> None:
        """Close the index once nobody uses it; nobody may begin to."""
        await self._idle.wait()
        await asyncio.to_thread(self.index.close)


class Models:
    """At most two models, and which promotion they were loaded for.

    Args:
        load: opens a promoted model; runs in a thread. Raises FreshetError.
        keep: s for which a model stays at hand that another one has taken the place of.

    Attributes:
        refused: what was promoted last and cannot be loaded, and why; '' where nothing is amiss.
    """

    def __init__(self, load: Callable[[ModelEvent], ServedModel], keep: float) -> None:
        self.refused = ""
        self._load = load
        self._keep = keep
        self._first: ServedModel | None = None
        self._before: ServedModel | None = None
        self._until = 0.0  # when to let go of it
        self._taken = ""  # event id of the promotion that is served
        self._failed: tuple[str, float] = ("", 0.0)  # event id, when to try it again
        self._not_beside: tuple[str, float] = ("", 0.0)  # version, when to try it again
        self._retiring: set[asyncio.Task[None]] = set()

    def is_new(self, event: ModelEvent) -> bool:
        """Whether there is something to do about a promotion, now."""
        failed, retry_at = self._failed
        return event.event_id != self._taken and (
            event.event_id != failed or time.monotonic() >= retry_at
        )

    async def find(self, event: ModelEvent) -> ServedModel | None:
        """What a promotion names: one of those at hand, or loaded; None where that fails.

        To load, the one before is let go of first, and the last request that uses it waited for,
        which takes a second at most.
        """
        at_hand = [it for it in (self._first, self._before) if it is not None and it.is_what(event)]
        if at_hand:
            return at_hand[0]
        self.let_go()
        if self._retiring:
            await asyncio.wait(self._retiring)
        try:
            return await asyncio.to_thread(self._load, event)
        except Exception as error:
            # Any exception: a broken artifact must not take down the version that works.
            self._failed = (event.event_id, time.monotonic() + RETRY)
            self.refused = f"{event.version} cannot be served: {error}"
            metrics.MODEL_FAILURES.inc()
            log.error(
                "model %s cannot be served, %s stays: %s",
                event.version,
                self._first.event.version if self._first else "none",
                error,
                exc_info=None if isinstance(error, FreshetError) else error,
            )
            return None

    def give_back(self, model: ServedModel, event: ModelEvent) -> None:
        """What was found and could not be put first after all. It is tried again later."""
        self._failed = (event.event_id, time.monotonic() + RETRY)
        if model not in (self._first, self._before):
            self._retire(model)

    async def beside(self, choice: ModelChoice) -> ServedModel | None:
        """A model that an experiment names: one of those at hand, or loaded in the place of the one
        before; None where that fails. It stays until `nothing_beside` or a promotion."""
        event = ModelEvent(
            event_id=f"beside-{choice.version}",
            version=choice.version,
            artifact=choice.artifact,
            collection=choice.collection,
            event_time=0,
            produced_time=0,
        )
        if self._before is not None and self._before.is_what(event):
            self._until = math.inf
            return self._before
        failed, retry_at = self._not_beside
        if failed == choice.version and time.monotonic() < retry_at:
            return None
        self.let_go()
        if self._retiring:
            await asyncio.wait(self._retiring)
        try:
            self._before = await asyncio.to_thread(self._load, event)
        except Exception as error:  # noqa: BLE001 - of an experiment: who serves is not touched
            self._not_beside = (choice.version, time.monotonic() + RETRY)
            metrics.MODEL_FAILURES.inc()
            log.error("model %s, which an experiment names: %s", choice.version, error)
            return None
        self._until = math.inf
        return self._before

    def nothing_beside(self) -> None:
        """No experiment names a model any more."""
        if self._until == math.inf:
            self._until = time.monotonic() + self._keep

    def put_first(self, model: ServedModel, event: ModelEvent) -> None:
        """This model is the one that serves from now on; the one that did is kept for a time."""
        self._taken, self.refused = event.event_id, ""
        if model is self._first:
            return
        self._first, self._before = model, self._first
        self._until = time.monotonic() + self._keep
        self.let_go_if_due()

    def let_go_if_due(self) -> None:
        """Of the model before, where it was kept for long enough."""
        if time.monotonic() >= self._until:
            self.let_go()

    def let_go(self) -> None:
        """Of the model before."""
        if self._before is not None:
            self._retire(self._before)
            self._before = None

    async def close(self) -> None:
        """Let go of both, and return once they are closed."""
        self.let_go()
        if self._first is not None:
            self._retire(self._first)
            self._first = None
        await asyncio.gather(*self._retiring)

    def _retire(self, model: ServedModel) -> None:
        task = asyncio.create_task(model.retire())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
