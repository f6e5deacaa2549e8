"""Opens what a promotion names, and tries it, so that requests meet it warm."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from api.lists.ranking import Person, rank
from api.lists.wanted import Wanted
from api.serving.live import LiveHeats
from api.serving.models import ServedModel
from stream.contracts.errors import ArtifactError
from stream.contracts.events import ModelEvent
from stream.features import UserState
from training.artifact import Artifact
from training.index import MovieIndex
from training.index_edge import EdgeIndex
from training.standing import standing_of

# s for a search on a Qdrant server, which takes a few ms: after this a request degrades.
QDRANT_TIMEOUT: Final = 1

# ONNX Runtime allocates in the first calls, and links are read from disk.
_WARM_UP_QUERIES: Final = 5

# s between two of them. The first take some 10 ms, in which requests get half of the interpreter:
# those that waited are answered before the next.
_PAUSE: Final = 0.01


def model_loader(qdrant_url: str | None, qdrant_api_key: str | None) -> Callable[..., ServedModel]:
    """`load_model` for an index in this process, or on a Qdrant server where a URL is given."""
    return partial(load_model, qdrant_url=qdrant_url, qdrant_api_key=qdrant_api_key)


def load_model(
    event: ModelEvent, *, qdrant_url: str | None, qdrant_api_key: str | None
) -> ServedModel:
    """Open a promoted model and its index.

    Raises:
        ArtifactError: the artifact is missing, damaged or of another version.
        IndexUnavailable: the index is missing or damaged, or the server does not answer.
    """
    artifact = Artifact.load(Path(event.artifact))
    if artifact.items.version != event.version:
        raise ArtifactError(
            f"{event.artifact} holds model {artifact.items.version}, promoted was {event.version}"
        )
    index = _open_index(event, artifact, qdrant_url, qdrant_api_key)
    try:
        model = ServedModel(event, artifact, index)
        state, live = _someone(artifact), LiveHeats().movies(artifact.items)
        for before in range(_WARM_UP_QUERIES):
            if before:
                time.sleep(_PAUSE)
            [vector] = artifact.user_vectors([state])
            found = index.search(vector, 10, [1])
            near = artifact.items.rows(np.array([movie_id for movie_id, _ in found], np.uint32))
            standing = standing_of([state], artifact.items.rows)
            person = Person(standing, vector, near[near >= 0], "two_tower")
            rank(artifact.ranking, model.repertoire, live, person, Wanted(10))
        return model
    except BaseException:
        index.close()
        raise


def _open_index(
    event: ModelEvent, artifact: Artifact, qdrant_url: str | None, qdrant_api_key: str | None
) -> MovieIndex:
    if qdrant_url is None:
        return EdgeIndex(artifact.index_directory, artifact.items, artifact.movies())
    # Importing the client takes a second, and only those with a server need it.
    from training.index_server import ServerIndex, connect

    client = connect(qdrant_url, qdrant_api_key, QDRANT_TIMEOUT)
    return ServerIndex(client, event.collection, artifact.items.vectors.shape[1])


def _someone(artifact: Artifact) -> UserState:
    """A person who rated the first movies of the vocabulary."""
    movies = artifact.items.movie_ids[:20].astype("<u4")
    return UserState(
        movies=movies.tobytes(),
        times=bytes(4 * len(movies)),
        half_stars=bytes([8] * len(movies)),
        events=len(movies),
    )
