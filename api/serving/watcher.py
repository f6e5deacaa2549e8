"""What requests are answered from: one immutable `Serving`, swapped as a whole.

A promotion loads the new model and a private copy of its index beside the old, tries them, and
swaps. A request takes the `Serving` once and uses only that, so that no answer mixes two versions.
The old model is kept for a time, so that a rollback only swaps (`api.serving.models`).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, TypeAlias

from api import metrics
from api.catalogue.search import CatalogueIndex
from api.lists.ranking import HOTTEST, trends
from api.schemas.common import MAX_LIMIT
from api.serving.live import LiveHeats, LiveMovies
from api.serving.memory import give_back
from api.serving.models import Models, ServedModel
from stream.contracts.errors import StoreUnavailable
from stream.contracts.events import ModelEvent, MovieEvent
from stream.experiments.assignment import Plan
from stream.store import StateStore
from stream.tasks import end
from training.index import IndexedMovie
from training.repertoire import Repertoire

log = logging.getLogger(__name__)

Movie: TypeAlias = MovieEvent | IndexedMovie

# Trending movies kept at hand, as many as the longest answer takes: whoever has seen some of them
# gets popular ones as well.
TRENDING: Final = MAX_LIMIT


@dataclass(frozen=True, slots=True)
class Serving:
    """Everything a request needs besides the user's own state.

    Attributes:
        model: None before the first promotion was loaded.
        catalogue: movies by id.
        live: the movies as of the last look, those of the repertoire first.
        trending: (movie id, score) of movies with a known title, best first.
        partitions: of the `ratings` topic, None before anyone said.
        repertoire: what the model can recommend, None without one.
        lookup: finds movies by name and tag, for a moment in the catalogue before.
        plan: all experiments there are.
        beside: the same by another model, which an experiment names; None where none does, or it
            cannot be had.
    """

    model: ServedModel | None = None
    catalogue: Mapping[int, MovieEvent] = field(default_factory=lambda: MappingProxyType({}))
    live: LiveMovies = field(default_factory=LiveMovies)
    trending: tuple[tuple[int, float], ...] = ()
    partitions: int | None = None
    repertoire: Repertoire | None = None
    lookup: CatalogueIndex = field(default_factory=lambda: CatalogueIndex({}))
    plan: Plan = field(default_factory=Plan)
    beside: "Serving | None" = None

    def by(self, version: str) -> "Serving | None":
        """This, or what is beside it: by the model of this version. None where neither is."""
        for serving in (self, self.beside):
            if serving and serving.model and serving.model.event.version == version:
                return serving
        return None

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
        keep: s for which a model stays at hand that another one has taken the place of.
        plan: all experiments as of now. Raises StoreUnavailable.
    """

    def __init__(
        self,
        store: StateStore,
        load: Callable[[ModelEvent], ServedModel],
        pause: float,
        keep: float = 0.0,
        plan: Callable[[], Awaitable[Plan]] | None = None,
    ) -> None:
        self._plan = plan
        self.current = Serving()
        self._store = store
        self._pause = pause
        self._models = Models(load, keep)
        self._heats = LiveHeats()
        self._catalogue_version = 0
        self._beside_of: LiveMovies | None = None  # what `current.beside` was made as new as
        self._moved = False  # whether a look took in what `current` does not show yet
        self._reachable = True
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    @property
    def refused(self) -> str:
        """What was promoted last and cannot be loaded, and why; '' where nothing is amiss."""
        return self._models.refused

    async def stop(self) -> None:
        """Stop watching and close the models once they are idle."""
        if self._task is not None:
            await end(self._task)
        self.current = replace(self.current, model=None, repertoire=None, beside=None)
        await self._models.close()

    async def refresh(self) -> None:
        """Look at the store once. Raises StoreUnavailable; what is served stays then."""
        self._models.let_go_if_due()
        partitions = await self._store.partitions()
        changed = await self._store.catalogue(self._catalogue_version)
        if changed is not None:
            self._catalogue_version, movies, whole = changed
            catalogue = movies if whole else {**self.current.catalogue, **movies}  # 1 ms
            self.current = replace(self.current, catalogue=catalogue)
            metrics.CATALOGUE.set(len(catalogue))
            self._moved = True
        serving = self.current
        if partitions is not None:
            self._moved |= await self._heats.refresh(self._store, partitions)
            serving = replace(serving, partitions=partitions)
        if self._moved or (serving.model is not None and serving.model.behind):
            serving = await self._seen_by(serving)
            self._moved = False
        self.current = serving  # who may be asked about, and what is trending, at once
        event = await self._store.model()
        if event is not None and self._models.is_new(event):
            await self._serve(event)
        if self._plan is not None:
            await self._take_over(await self._plan())
        serving = self.current
        metrics.LATER_MOVIES.set(len(serving.repertoire.later) if serving.repertoire else 0)
        if serving.lookup.catalogue is not serving.catalogue:  # last: only who searches waits
            lookup = await asyncio.to_thread(CatalogueIndex, serving.catalogue, serving.lookup)
            self.current = replace(self.current, lookup=lookup)
            await asyncio.to_thread(give_back)
        metrics.LOOKS.inc()

    async def _seen_by(self, serving: Serving) -> Serving:
        """The same with catalogue and heats as of the last look, as its model sees them."""
        model, movies, newcomers = serving.model, None, HOTTEST
        if model is not None:
            await asyncio.to_thread(model.take_in, serving.catalogue)
            movies, newcomers = model.repertoire, model.artifact.ranking.newcomers
        live = await asyncio.to_thread(self._heats.movies, movies.items if movies else None)
        hottest = await asyncio.to_thread(trends, live, newcomers, TRENDING)
        if model is not None:
            await asyncio.to_thread(live.common, model.artifact.ranking)
        serving = replace(serving, repertoire=movies, live=live)
        known = tuple(hit for hit in hottest if serving.movie(hit[0]) is not None)
        return replace(serving, trending=known)

    async def _serve(self, event: ModelEvent) -> None:
        """Load, then swap. A model that cannot be loaded leaves the old one in place."""
        began = time.monotonic()
        self.current = replace(self.current, beside=None)  # it may have to make room
        model = await self._models.find(event)
        if model is None:
            return
        if model is not self.current.model:
            try:
                self.current = await self._seen_by(replace(self.current, model=model))
            except BaseException:
                self._models.give_back(model, event)
                raise
            seconds = time.monotonic() - began
            metrics.MODEL.clear()
            metrics.MODEL.labels(event.version).set(1)
            metrics.MODEL_SWITCH.set(seconds)
            log.info(
                "serving model %s with index %s, %.2f s after it was noticed",
                event.version,
                event.collection,
                seconds,
            )
        self._models.put_first(model, event)

    async def _take_over(self, plan: Plan) -> None:
        """These experiments, and the first model that one of them names and that does not serve."""
        now, serving, before = int(time.time() * 1000), self.current, self.current.beside
        version = serving.model.event.version if serving.model else None
        named = [it.model for of in plan.running(now) for it in of.variants if it.model]
        others = [choice for choice in named if choice.version != version]
        if before is not None and not any(before.by(it.version) for it in others[:1]):
            serving = self.current = replace(serving, beside=None)  # before it is let go of
        model = beside = None
        if others:
            model = await self._models.beside(others[0])
        else:
            self._models.nothing_beside()
        if model is not None:
            beside = replace(serving, model=model, beside=None, plan=plan)
            if before is None or before.model is not model or self._beside_of is not serving.live:
                beside = await self._seen_by(beside)
                self._beside_of = serving.live
            else:
                beside = replace(
                    beside,
                    live=before.live,
                    trending=before.trending,
                    repertoire=before.repertoire,
                )
        self.current = replace(self.current, plan=plan, beside=beside)

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
