"""People, movies and models to serve, as they would be after years, without living through them."""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from benchmarks.ranking import untrained_ranking
from infra import services
from infra.local import FRESHET
from infra.services import LOOPBACK
from infra.supervisor import Service, Supervisor
from producers.tagging import MOST
from stream.coldstart import MANIFEST, records_of
from stream.contracts.events import ModelEvent, MovieEvent
from stream.contracts.keys import Position
from stream.contracts.topics import partition_of
from stream.features import DAY, HEAT_HALF_LIFE, HEATS, MovieState, UserState
from stream.redis_store import RedisStore
from stream.store import Batch
from training.artifact import Artifact
from training.config import Config
from training.dataset import Ratings
from training.export import write_artifact
from training.index import collection_name
from training.options import RunOptions
from training.rating_served import learn
from training.split import split_by_time
from training.trainer import Trainer

PARTITIONS: Final = 8
CATALOGUE_CHUNK: Final = 1_000  # movies a command
START_TIMEOUT: Final = 120.0  # s: the API checks and copies 150 MB of model before it is ready

# Who asks: of ten users one is unknown and two have rated three movies; the others have MovieLens'
# mean of 154 ratings, and its spread.
UNKNOWN: Final = {0}
NEW: Final = {1, 2}
FEW: Final = 3


# Of the tags that more than one person uses there are as many in MovieLens 25M, and a movie has ten
# at most of them.
_TAGS: Final = 30_000
_TAGGED: Final = 5

_LETTERS: Final = "etaoinshrdlu"  # the most frequent ones of English, so that trigrams repeat


def words_of(count: int, chance: np.random.Generator) -> list[str]:
    """So many made-up words, some of which are the same."""
    lengths = chance.integers(2, 10, count)
    letters = chance.choice(list(_LETTERS), lengths.sum())
    return ["".join(word) for word in np.split(letters, np.cumsum(lengths)[:-1])]


def tags_of(movies: int, chance: np.random.Generator) -> list[tuple[str, ...]]:
    """Tags for so many movies, a few of which most of them have."""
    often = 1 / np.arange(1, _TAGS + 1)
    counts = np.minimum(chance.poisson(_TAGGED, movies), MOST)
    chosen = chance.choice(_TAGS, counts.sum(), p=often / often.sum())
    first, second = words_of(_TAGS, chance), words_of(_TAGS, chance)
    names = [" ".join(words) for words in zip(first, second, strict=True)]
    return [
        tuple(names[number] for number in dict.fromkeys(some.tolist()))
        for some in np.split(chosen, np.cumsum(counts)[:-1])
    ]


def users_of(ratings: Ratings) -> dict[int, UserState]:
    """Every known user's state; see UNKNOWN and NEW."""
    ids = np.array([movie.movie_id for movie in ratings.movies], "<u4")
    begins = np.flatnonzero(np.diff(ratings.users, prepend=-1))
    users = {}
    for begin, end in zip(begins, [*begins[1:], len(ratings)], strict=True):
        user = int(ratings.users[begin])
        if user % 10 in UNKNOWN:
            continue
        own = slice(begin, min(end, begin + FEW) if user % 10 in NEW else end)
        rows, first = np.unique(ratings.rows[own], return_index=True)
        times = ratings.times[own][first]
        users[user] = UserState(
            ids[rows].tobytes(),
            (times // 1_000).astype("<u4").tobytes(),
            ratings.half_stars[own][first].astype("u1").tobytes(),
            events=len(rows),
            last_offset=0,
            last_event_time=int(times.max()),
            last_produced_time=int(times.max()),
        )
    return users


def untrained(home: Path, ratings: Ratings, seed: int = 0) -> Artifact:
    """Towers and a ranker as they are before training: as large and as fast as any."""
    config, events = Config(), np.arange(len(ratings))
    towers = Trainer(ratings, events, config, RunOptions(seed=seed)).towers
    counts, _ = ratings.counts(events)
    ranking = untrained_ranking(len(counts), np.random.default_rng(seed), counts)
    predictor = learn(ratings, split_by_time(ratings)).model
    return Artifact.load(
        write_artifact(home, towers, ranking, predictor, ratings, events, config, {})
    )


def under_another_name(artifact: Artifact, version: str) -> Artifact:
    """The same model as another version, in no room of its own."""
    directory = artifact.directory.with_name(version)
    shutil.copytree(artifact.directory, directory, copy_function=os.link)
    (directory / MANIFEST).unlink()
    renamed = msgspec.structs.replace(artifact.manifest, version=version)
    (directory / MANIFEST).write_bytes(msgspec.json.encode(renamed))
    return Artifact.load(directory)


async def fill(
    store: RedisStore,
    ratings: Ratings,
    users: Mapping[int, UserState],
    artifact: Artifact,
    topic_id: str = "benchmark",
) -> None:
    """The state of users and movies, with this model's vectors, and the catalogue.

    Args:
        store: an empty one.
        ratings: of which the movies are.
        users: their state.
        artifact: the model.
        topic_id: of the topic, nothing of which is in the state yet.
    """
    chance = np.random.default_rng(1)
    await store.put_partitions(PARTITIONS)
    counts = np.bincount(ratings.rows, minlength=len(ratings.movies))
    now = int(ratings.times.max()) / DAY / HEAT_HALF_LIFE
    known = np.array([movie.movie_id for movie in ratings.movies])
    for partition in range(PARTITIONS):
        here = {u: state for u, state in users.items() if partition_of(u, PARTITIONS) == partition}
        heats = now + np.log2(chance.poisson(counts / PARTITIONS) + 1e-3)
        ids = np.frombuffer(b"".join([state.movies for state in here.values()]), "<u4")
        half_stars = np.frombuffer(b"".join([state.half_stars for state in here.values()]), "u1")
        sums = np.stack(
            [
                np.bincount(ids, half_stars.astype(np.int64) ** power, minlength=known.max() + 1)
                for power in range(3)
            ]
        ).astype(np.int64)
        movies = {
            movie.movie_id: MovieState(count, total, squares, (heat,) * len(HEATS), 8.0)
            for movie, heat, (count, total, squares) in zip(
                ratings.movies, heats.tolist(), sums.T[known].tolist(), strict=True
            )
        }
        generation = await store.new_generation(partition)
        position = Position(generation, topic_id, 0)
        batch = Batch(records_of(here, artifact.items), movies)
        await store.commit(partition, None, position, batch)
    catalogue = [
        MovieEvent(
            event_id=f"movie-{movie.movie_id}",
            movie_id=movie.movie_id,
            title=movie.title,
            genres=movie.genres,
            year=movie.year,
            tags=tags,
            event_time=int(ratings.times.max()),
            produced_time=int(ratings.times.max()),
            source="replay",
        )
        for movie, tags in zip(ratings.movies, tags_of(len(ratings.movies), chance), strict=True)
    ]
    for start in range(0, len(catalogue), CATALOGUE_CHUNK):
        await store.put_movies(catalogue[start : start + CATALOGUE_CHUNK])


def promotion(artifact: Artifact, event_id: str) -> ModelEvent:
    """What has this model served."""
    now = int(time.time() * 1_000)
    return ModelEvent(
        event_id=event_id,
        version=artifact.items.version,
        artifact=str(artifact.directory),
        collection=collection_name(artifact.items.version),
        event_time=now,
        produced_time=now,
    )


def start_api(supervisor: Supervisor, redis_url: str, broker: str, ready: str = "/readyz") -> str:
    """The URL of an API, the service `api` of the supervisor, once `ready` says that it is."""
    port = services.free_port()
    url = f"http://{LOOPBACK}:{port}"
    api = Service(
        name="api",
        command=[*FRESHET, "api"],
        address=url,
        ready=lambda: services.http_ready(f"{url}{ready}"),
        env={
            "FRESHET_REDIS_URL": redis_url,
            "FRESHET_KAFKA_BOOTSTRAP_SERVERS": broker,
            "FRESHET_API_PORT": str(port),
        },
    )
    supervisor.start(api, timeout=START_TIMEOUT)
    return url


def start_worker(supervisor: Supervisor, redis_url: str, broker: str, home: Path) -> None:
    """A worker, ready."""
    port = services.free_port()
    worker = Service(
        name="worker",
        command=[*FRESHET, "worker"],
        address=f"http://{LOOPBACK}:{port}/metrics",
        ready=lambda: services.http_ready(f"http://{LOOPBACK}:{port}/readyz"),
        env={
            "FRESHET_HOME": str(home),
            "FRESHET_REDIS_URL": redis_url,
            "FRESHET_KAFKA_BOOTSTRAP_SERVERS": broker,
            "FRESHET_WORKER_METRICS_PORT": str(port),
        },
    )
    supervisor.start(worker, timeout=START_TIMEOUT)
