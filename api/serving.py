"""What requests are answered from: one immutable `Serving`, swapped as a whole.

A promotion loads the new model and a private copy of its index beside the old, tries them, and
swaps. A request takes the `Serving` once and uses only that, so that no answer mixes two versions;
the old model is closed when the last request that uses it is done.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, TypeAlias

from api import metrics
from api.live import LiveHeats, LiveMovies
from api.ranking import HOTTEST, trends
from api.schemas import MAX_LIMIT
from stream.contracts.errors import FreshetError, StoreUnavailable
from stream.contracts.events import ModelEvent, MovieEvent
from stream.store import StateStore
from training.artifact import Artifact
from training.index import IndexedMovie, MovieIndex

log = logging.getLogger(__name__)

Movie: TypeAlias = MovieEvent | IndexedMovie

# s until a model that could not be loaded is tried again: its files may still be on their way.
RETRY: Final = 5.0

# Most popular movies of a model kept at hand: what is left of them after a heavy user's seen ones
# still fills an answer, and every genre and decade has some to suggest.
POPULAR: Final = 3_000

# Trending movies kept at hand, as many as the longest answer takes: whoever has seen some of them
# gets popular ones as well.
TRENDING: Final = MAX_LIMIT


class ServedModel:
    """One model version and its index.

    Attributes:
        event: the promotion: version, artifact, collection.
        artifact: towers and item vectors.
        index: its index, of the same version.
        popular: the most popular movies of its training data by id, most popular first, equally
            popular ones by id: an index gives those in any order, and another one at every start.
        most_ratings: how many ratings the first of them has, at least 1.
    """

    def __init__(self, event: ModelEvent, artifact: Artifact, index: MovieIndex) -> None:
        self.event = event
        self.artifact = artifact
        self.index = index
        self.popular: dict[int, IndexedMovie] = {
            movie.movie_id: movie
            for movie in sorted(
                index.popular(POPULAR), key=lambda movie: (-movie.popularity, movie.movie_id)
            )
        }
        self.most_ratings = max([1, *(movie.popularity for movie in self.popular.values())])
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

    async def retire(self) -> None:
        """Close the index once nobody uses it; nobody may begin to."""
        await self._idle.wait()
        await asyncio.to_thread(self.index.close)


@dataclass(frozen=True, slots=True)
class Serving:
    """Everything a request needs besides the user's own state.

    Attributes:
        model: None before the first promotion was loaded.
        catalogue: movies by id.
        live: the movies as of the last look, those of the model first.
        trending: (movie id, score) of movies with a known title, best first.
        partitions: of the `ratings` topic, None before anyone said.
    """

    model: ServedModel | None = None
    catalogue: Mapping[int, MovieEvent] = field(default_factory=lambda: MappingProxyType({}))
    live: LiveMovies = field(default_factory=LiveMovies)
    trending: tuple[tuple[int, float], ...] = ()
    partitions: int | None = None

    def movie(self, movie_id: int) -> Movie | None:
        """What is known of a movie without asking the index."""
        known = self.catalogue.get(movie_id)
        if known is None and self.model is not None:
            return self.model.popular.get(movie_id)
        return known


class ServingWatcher:
    """Keeps `current` up to date with the store.

    Args:
        store: names the model to serve, and has the catalogue and the movies' heats.
        load: opens a promoted model; runs in a thread. Raises FreshetError.
        pause: s between two looks: how late a promotion, a new movie or what is hot may be noticed.
    """

    def __init__(
        self, store: StateStore, load: Callable[[ModelEvent], ServedModel], pause: float
    ) -> None:
        self.current = Serving()
        self._store = store
        self._load = load
        self._pause = pause
        self._heats = LiveHeats()
        self._catalogue_version = -1
        self._moved = False  # whether a look took in what `current` does not show yet
        self._failed: tuple[str, float] = ("", 0.0)  # event id, when to try it again
        self._reachable = True
        self._task: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching and close the models once they are idle."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        model = self.current.model
        self.current = replace(self.current, model=None)
        if model is not None:
            self._retire(model)
        await asyncio.gather(*self._retiring)

    async def refresh(self) -> None:
        """Look at the store once. Raises StoreUnavailable; what is served stays then."""
        partitions = await self._store.partitions()
        changed = await self._store.catalogue(self._catalogue_version)
        if changed is not None:
            self._catalogue_version, catalogue = changed
            self.current = replace(self.current, catalogue=catalogue)
            metrics.CATALOGUE.set(len(catalogue))
            self._moved = True
        serving = self.current
        if partitions is not None:
            self._moved |= await self._heats.refresh(self._store, partitions)
            serving = replace(serving, partitions=partitions)
        if self._moved:
            serving = await self._seen_by(serving)
            self._moved = False
        self.current = serving  # who may be asked about, and what is trending, at once
        event = await self._store.model()
        if event is not None and self._is_new(event):
            await self._serve(event)
        metrics.LOOKS.inc()

    async def _seen_by(self, serving: Serving) -> Serving:
        """The same with the heats as of the last look, as its model sees them."""
        model = serving.model
        items = model.artifact.items if model is not None else None
        newcomers = model.artifact.ranking.newcomers if model is not None else HOTTEST
        live = await asyncio.to_thread(self._heats.movies, items)
        hottest = await asyncio.to_thread(trends, live, newcomers, TRENDING)
        serving = replace(serving, live=live)
        known = tuple(hit for hit in hottest if serving.movie(hit[0]) is not None)
        return replace(serving, trending=known)

    def _is_new(self, event: ModelEvent) -> bool:
        model = self.current.model
        if model is not None and model.event.event_id == event.event_id:
            return False
        failed, retry_at = self._failed
        return event.event_id != failed or time.monotonic() >= retry_at

    async def _serve(self, event: ModelEvent) -> None:
        """Load, then swap. A model that cannot be loaded leaves the old one in place."""
        try:
            model = await asyncio.to_thread(self._load, event)
        except Exception as error:
            # Any exception: a broken artifact must not take down the version that works.
            self._failed = (event.event_id, time.monotonic() + RETRY)
            metrics.MODEL_FAILURES.inc()
            log.error(
                "model %s cannot be served, %s stays: %s",
                event.version,
                self.current.model.event.version if self.current.model else "none",
                error,
                exc_info=None if isinstance(error, FreshetError) else error,
            )
            return
        old = self.current.model
        self.current = await self._seen_by(replace(self.current, model=model))
        metrics.MODEL.clear()
        metrics.MODEL.labels(event.version).set(1)
        log.info("serving model %s with index %s", event.version, event.collection)
        if old is not None:
            self._retire(old)

    def _retire(self, model: ServedModel) -> None:
        task = asyncio.create_task(model.retire())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _watch(self) -> None:
        while True:
            try:
                await self.refresh()
                if not self._reachable:
                    log.info("Redis answers again")
                self._reachable = True
            except StoreUnavailable as error:
                if self._reachable:  # once, not at every look
                    log.warning("serving what is at hand, Redis does not answer: %s", error)
                self._reachable = False
            except Exception:  # whatever it was, the next look must still happen
                log.exception("cannot tell what to serve, trying again")
            await asyncio.sleep(self._pause)
