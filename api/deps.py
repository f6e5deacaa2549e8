"""What the routes work with, made once for the process."""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Final

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from api.demo.casting import Casting
from api.experiments.exposures import Exposures, count_lost
from api.guard.access import OPEN, Guard
from api.guard.keyring import KeyRing
from api.guard.keys import KeyStore
from api.guard.limits import RateLimits, quota
from api.heavy import Heavy
from api.intake.applied import Applied
from api.intake.feedback import FeedbackPublisher
from api.intake.forgetting import Forgetting
from api.intake.idempotency import Answer, IdempotentRequests
from api.intake.movies import MoviePublisher
from api.intake.ratings import RatingPublisher
from api.lists.cache import AnswerCache
from api.lists.recommender import Recommender
from api.serving.loading import model_loader
from api.serving.watcher import ServingWatcher
from infra.settings import Settings
from producers.offers import Offers
from producers.publisher import Publisher
from stream.contracts.topics import Topics
from stream.experiments.assignment import Plan
from stream.experiments.store import ExperimentStore, RedisExperiments
from stream.redis_store import RedisStore
from stream.store import StateStore

# s for one call to Redis: it takes under a millisecond, and a request must have time to degrade.
REDIS_TIMEOUT: Final = 1.0

# s in which the broker must acknowledge, before the client is told to try again.
PUBLISH_TIMEOUT: Final = 3.0


# What paths begin with, but for those for operators. Each router carries it itself, so that the
# route that metrics see is the whole path.
API: Final = "/api/v1"


@dataclass(frozen=True)
class Services:
    store: StateStore
    publisher: Publisher
    watcher: ServingWatcher
    recommender: Recommender
    heavy: Heavy
    ratings: RatingPublisher
    idempotent: IdempotentRequests
    forgetting: Forgetting
    movies: MoviePublisher
    applied: Applied
    exposures: Exposures
    feedback: FeedbackPublisher
    experiments: ExperimentStore
    demo: Casting
    guard: Guard = OPEN
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # told to stop, still answering

    def start(self) -> None:
        """Begin to watch what changes elsewhere."""
        self.watcher.start()
        self.guard.start()

    async def close(self) -> None:
        """Finish what is under way, then let go of everything."""
        await self.demo.close()
        await self.watcher.stop()
        await asyncio.to_thread(self.publisher.close)
        await asyncio.to_thread(self.exposures.close)
        await self.experiments.close()
        await self.idempotent.close()
        await self.guard.close()
        await self.recommender.close()
        await self.store.close()


def connect(settings: Settings) -> Services:
    """The services that the settings name. Nothing is asked of them yet.

    Raises ConfigurationError where broker or Redis are not configured.
    """
    topics = Topics(settings.kafka_topic_prefix)
    store = RedisStore(settings.redis(), REDIS_TIMEOUT)
    experiments = RedisExperiments(settings.redis(), REDIS_TIMEOUT)
    publisher = Publisher(settings.librdkafka(), PUBLISH_TIMEOUT)
    api_key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    watcher = ServingWatcher(
        store,
        model_loader(settings.qdrant_url, api_key),
        settings.api_look_seconds,
        settings.api_keep_seconds,
        partial(_plan, experiments, settings.experiment_holdout),
    )
    idempotent = IdempotentRequests(settings.redis())
    offers = Offers(settings.librdkafka(), count_lost) if settings.api_exposures else None
    exposures = Exposures(offers, topics.exposures)
    applied = Applied()
    ratings = RatingPublisher(publisher, topics, watcher, applied)
    time_for_answers = settings.api_deadline_ms / 1_000
    heavy = Heavy(time_for_answers)
    return Services(
        store=store,
        publisher=publisher,
        watcher=watcher,
        recommender=Recommender(
            store,
            watcher,
            AnswerCache(store, settings.api_cache_seconds),
            exposures,
            heavy,
            time_for_answers,
        ),
        heavy=heavy,
        ratings=ratings,
        idempotent=idempotent,
        forgetting=Forgetting(store, publisher, topics, idempotent),
        movies=MoviePublisher(publisher, topics.movies),
        applied=applied,
        exposures=exposures,
        feedback=FeedbackPublisher(publisher, topics.feedback, ratings),
        experiments=experiments,
        demo=Casting(store, watcher),
        guard=_guard(settings),
    )


async def _plan(experiments: ExperimentStore, holdout: float) -> Plan:
    return Plan(await experiments.definitions(), holdout)


def _guard(settings: Settings) -> Guard:
    """Raises ConfigurationError where a rate cannot be read."""
    per_key, per_address = settings.api_rate_per_key, settings.api_rate_per_address
    keys = KeyRing(KeyStore(settings.redis())) if settings.api_keys_needed else None
    if keys is None and per_address is None:  # no key has a rate of its own, either
        if per_key is not None:
            quota(per_key)  # a wrong one is told now, and not when keys are asked for
        return OPEN
    return Guard(keys, RateLimits(settings.redis(), per_key, per_address))


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Deps = Annotated[Services, Depends(_services)]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Any string that the client makes up for this request. Sent again within 24 "
        "hours, the request is not done again and gets the same answer.",
    ),
]


def json_bytes(model: BaseModel) -> bytes:
    """The model as JSON, without the detour over Python objects that FastAPI would take."""
    encoded: bytes = model.__pydantic_serializer__.to_json(model)
    return encoded


def respond(answer: Answer) -> Response:
    return Response(answer.body, status_code=answer.status, media_type="application/json")
