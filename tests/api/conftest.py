"""An API over doubles, with a catalogue and a promoted model."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import numpy as np
import pytest

from api.demo.casting import Casting
from api.deps import Services
from api.experiments.exposures import Exposures
from api.heavy import Heavy
from api.intake.applied import Applied
from api.intake.feedback import FeedbackPublisher
from api.intake.forgetting import Forgetting
from api.intake.idempotency import IdempotentRequests
from api.intake.movies import MoviePublisher
from api.intake.ratings import RatingPublisher
from api.lists.cache import AnswerCache
from api.lists.recommender import Recommender
from api.main import create_app
from api.serving.models import ServedModel
from api.serving.watcher import ServingWatcher
from producers.publisher import Publisher
from stream.coldstart import ItemVectors
from stream.contracts.errors import ArtifactError
from stream.contracts.events import ModelEvent, MovieEvent
from stream.contracts.topics import Topics
from stream.experiments.assignment import Plan
from tests.api.doubles import PARTITIONS, Experiments, Log, MemoryIndex, PlantedArtifact, Store
from training.artifact import Artifact
from training.index import IndexedMovie, collection_name

GENRES = ("Drama", "Comedy", "Action", "Horror", "Children", "Sci-Fi", "Western", "Musical", "War")
MOVIES = 400  # ids 1 to 400; 1 is the most popular, and its neighbours lie nearest to it
DIMENSION = 2


def catalogue_movie(movie_id: int, title: str | None = None) -> MovieEvent:
    return MovieEvent(
        event_id=f"movie-{movie_id}",
        movie_id=movie_id,
        title=title or f"Movie {movie_id}",
        genres=(GENRES[movie_id % len(GENRES)],) if movie_id % 10 else (),
        year=1930 + movie_id % 90,
        event_time=1_000_000_000_000,
        produced_time=1_000_000_000_000,
        source="replay",
    )


def model_event(version: str) -> ModelEvent:
    return ModelEvent(
        event_id=f"promotion-{version}",
        version=version,
        artifact=f"artifacts/{version}",
        collection=collection_name(version),
        event_time=1_000_000_000_000,
        produced_time=1_000_000_000_000,
    )


def items(version: str) -> ItemVectors:
    """Movies on a half circle: the nearest to a movie are those with the nearest ids."""
    angles = np.linspace(0, np.pi, MOVIES)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return ItemVectors(version, np.arange(1, MOVIES + 1, dtype=np.uint32), vectors)


def load(event: ModelEvent) -> ServedModel:
    """A model whose payloads name its version; versions that begin with "bad" cannot be loaded."""
    if event.version.startswith("bad"):
        raise ArtifactError(f"{event.artifact} is told to be damaged")
    planted = items(event.version)
    movies = [
        IndexedMovie(
            movie_id=movie_id,
            title=f"Movie {movie_id} of {event.version}",
            genres=catalogue_movie(movie_id).genres,
            year=catalogue_movie(movie_id).year,
            popularity=MOVIES + 1 - movie_id,
        )
        for movie_id in planted.movie_ids.tolist()
    ]
    artifact = cast(Artifact, PlantedArtifact(planted, movies))
    return ServedModel(event, artifact, MemoryIndex(movies, planted.vectors))


@dataclass
class World:
    """The API under test, and everything around it."""

    store: Store
    log: Log
    experiments: Experiments
    watcher: ServingWatcher
    services: Services
    client: httpx.AsyncClient = field(init=False)

    async def get(self, user_id: int, **params: Any) -> dict[str, Any]:
        answer = await self.client.get(f"/api/v1/recommendations/{user_id}", params=params)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def rate(self, user_id: int, *movies: int, stars: float = 5.0) -> str:
        """The position of the last rating."""
        body = [{"user_id": user_id, "movie_id": movie, "rating": stars} for movie in movies]
        answer = await self.client.post("/api/v1/ratings", json=body)
        assert answer.status_code == 202, answer.text
        position: str = answer.json()["positions"][str(user_id)]
        return position

    async def promote(self, version: str) -> None:
        await self.store.put_model(model_event(version))
        await self.watcher.refresh()

    @property
    def index(self) -> MemoryIndex:
        assert self.watcher.current.model is not None
        return cast(MemoryIndex, self.watcher.current.model.index)


async def make_world(redis_url: str) -> World:
    """Partitions are known, nothing else; there is no client yet."""
    store = Store()
    await store.put_partitions(PARTITIONS)
    log = Log(store)
    experiments = Experiments()

    async def plan() -> Plan:
        return Plan(await experiments.definitions())

    watcher = ServingWatcher(store, load, pause=0.001, plan=plan)
    publisher = cast(Publisher, log)
    idempotent = IdempotentRequests(redis_url)
    applied = Applied()
    ratings = RatingPublisher(publisher, Topics(), watcher, applied)
    exposures = Exposures(log, Topics().exposures)
    heavy = Heavy(patience=60)
    services = Services(
        store=store,
        publisher=publisher,
        watcher=watcher,
        recommender=Recommender(
            store, watcher, AnswerCache(store, seconds=3_600), exposures, heavy, time_for_answers=60
        ),
        heavy=heavy,
        ratings=ratings,
        idempotent=idempotent,
        forgetting=Forgetting(store, publisher, Topics(), idempotent),
        movies=MoviePublisher(publisher, Topics().movies),
        applied=applied,
        exposures=exposures,
        feedback=FeedbackPublisher(publisher, Topics().feedback, ratings),
        experiments=experiments,
        demo=Casting(store, watcher),
    )
    await watcher.refresh()
    return World(store, log, experiments, watcher, services)


async def furnish(world: World) -> None:
    """The catalogue is loaded and model v1 is served."""
    await world.store.put_movies(catalogue_movie(id_) for id_ in range(1, MOVIES + 1))
    await world.promote("v1")


@pytest.fixture
async def empty_world(redis_url: str) -> AsyncIterator[World]:
    """Partitions are known, nothing else."""
    world = await make_world(redis_url)
    transport = httpx.ASGITransport(create_app(world.services), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as world.client:
        yield world
    await world.services.close()


@pytest.fixture
async def world(empty_world: World) -> World:
    """The catalogue is loaded and model v1 is served."""
    await furnish(empty_world)
    return empty_world
