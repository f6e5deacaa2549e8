"""What a worker knows of the catalogue and the model, kept as new as the store is."""

import asyncio
import logging
from pathlib import Path

from stream.coldstart import ItemVectors
from stream.contracts.errors import ArtifactError
from stream.contracts.events import ModelEvent
from stream.metrics import Metrics
from stream.store import StateStore

logger = logging.getLogger(__name__)


class Views:
    """The movies known and the item vectors to pool, as of the last `refresh`.

    Every worker polls the store, because only one of them reads the `models` topic.

    Attributes:
        known_movies: ids of the catalogue's movies.
        model: the model to serve, None before the first.
        items: its item vectors. While they cannot be read, those of the model before, which the API
            goes on serving too; None where there were none.
    """

    def __init__(self, store: StateStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._version = 0
        self.known_movies: frozenset[int] = frozenset()
        self.model: ModelEvent | None = None
        self.items: ItemVectors | None = None

    async def refresh(self) -> None:
        """Take over what has changed in the store. Raises StoreUnavailable."""
        catalogue = await self._store.catalogue(self._version)
        if catalogue is not None:
            self._version, movies, whole = catalogue
            known = frozenset() if whole else self.known_movies
            self.known_movies = known | movies.keys()
        before, self.model = self.model, await self._store.model()
        if self.model is None:
            self.items = None
        elif self.items is None or self.items.version != self.model.version:
            await self._load(self.model, complain=self.model != before)

    async def _load(self, model: ModelEvent, complain: bool) -> None:
        try:
            items = await asyncio.to_thread(ItemVectors.load, Path(model.artifact))
            if items.version != model.version:
                raise ArtifactError(f"{model.artifact} holds model {items.version}")
        except ArtifactError as error:
            if complain:  # it may still come, so it is looked for again, but said once
                stays = f", those of {self.items.version} stay" if self.items else ""
                logger.error("model %s: no cold-start vectors%s: %s", model.version, stays, error)
                self._metrics.artifact_failures.inc()
        else:
            self.items = items
            logger.info("model %s: cold-start vectors from now on", model.version)
            self._metrics.model(model.version)
