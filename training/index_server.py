"""The movie index on a Qdrant server: a collection per model version, an alias to the one in use.

An API process searches the collection of the version it serves, never the alias, so that tower
and index cannot differ; the alias is for everyone else.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ApiException
from qdrant_client.models import (
    CreateAlias,
    CreateAliasOperation,
    DeleteAlias,
    DeleteAliasOperation,
    Distance,
    FieldCondition,
    Filter,
    HasIdCondition,
    MatchAny,
    PayloadSchemaType,
    PointStruct,
    Range,
    SearchParams,
    VectorParams,
)

from stream.contracts.errors import ArtifactError, IndexUnavailable
from training.index import (
    ALIAS,
    EXACT_FROM,
    HNSW_EF,
    PAYLOAD_INDEXES,
    AnyOf,
    Between,
    Condition,
    HasId,
    IndexedMovie,
    check_dimension,
    check_points,
    conditions,
    split_exclusions,
)
from training.movie_filter import ALL_MOVIES, MovieFilter

# Points per upload request: 512 x 128 floats are about 1 MB of JSON, far below the 32 MB limit.
UPLOAD_POINTS: Final = 512


def connect(url: str, api_key: str | None, timeout: int) -> QdrantClient:
    """A client whose calls take at most `timeout` seconds. Connects with the first call."""
    return QdrantClient(url=url, api_key=api_key, timeout=timeout, check_compatibility=False)


class ServerIndex:
    """A `MovieIndex` over one collection; closes the client it was given."""

    in_process = False

    def __init__(self, client: QdrantClient, collection: str, dimension: int) -> None:
        """
        Raises:
            IndexUnavailable: the server does not answer, or has no such collection.
            ArtifactError: the collection holds vectors of another dimension.
        """
        self._client = client
        self._collection = collection
        self._dimension = dimension
        with _server_errors(f"cannot open collection {collection}"):
            params = client.get_collection(collection).config.params.vectors
        if not isinstance(params, VectorParams) or params.size != dimension:
            raise ArtifactError(
                f"collection {collection} holds {params}, its model has dimension {dimension}: "
                "train and promote a model again"
            )

    def search(
        self,
        vector: npt.NDArray[np.float32],
        limit: int,
        exclude: Collection[int] = (),
        wanted: MovieFilter = ALL_MOVIES,
    ) -> list[tuple[int, float]]:
        check_dimension(vector, self._dimension)
        filtered, dropped = split_exclusions({*exclude, *wanted.exclude})
        with _server_errors("the search failed"):
            found = self._client.query_points(
                self._collection,
                query=vector.tolist(),
                limit=limit + len(dropped),
                query_filter=_filter(wanted, filtered),
                search_params=SearchParams(
                    hnsw_ef=HNSW_EF + len(filtered), exact=len(filtered) > EXACT_FROM
                ),
                with_payload=False,
            ).points
        hits = [(int(hit.id), hit.score) for hit in found]
        return [hit for hit in hits if hit[0] not in dropped][:limit]

    def movies(self, movie_ids: Collection[int]) -> dict[int, IndexedMovie]:
        with _server_errors("reading movies failed"):
            records = self._client.retrieve(self._collection, list(movie_ids), with_payload=True)
        return {int(record.id): msgspec.convert(record.payload, IndexedMovie) for record in records}

    def count(self) -> int:
        with _server_errors("counting movies failed"):
            return self._client.count(self._collection, exact=True).count

    def upsert(self, movies: Sequence[IndexedMovie], vectors: npt.NDArray[np.float32]) -> None:
        check_points([movie.movie_id for movie in movies], vectors, self._dimension)
        with _server_errors("adding movies failed"):
            self._client.upload_points(
                self._collection, _points(movies, vectors), batch_size=UPLOAD_POINTS, wait=True
            )

    def close(self) -> None:
        self._client.close()


def build_server_index(
    client: QdrantClient,
    collection: str,
    movies: Sequence[IndexedMovie],
    vectors: npt.NDArray[np.float32],
) -> None:
    """Upload an index and count it; a half-built collection of the same name is replaced.

    Args:
        client: of the server to build on.
        collection: see `training.index.collection_name`.
        movies: n distinct movies.
        vectors: f32[n, d], row i that of movies[i].

    Raises:
        ArtifactError: the collection is in use, or movies and vectors do not match.
        IndexUnavailable: the server does not answer, or does not hold every movie afterwards.
    """
    check_points([movie.movie_id for movie in movies], vectors)
    with _server_errors(f"building collection {collection} failed"):
        if client.collection_exists(collection):
            if _aliased(client) == collection:
                raise ArtifactError(f"collection {collection} is in use: build another version")
            client.delete_collection(collection)
        client.create_collection(
            collection, vectors_config=VectorParams(size=vectors.shape[1], distance=Distance.DOT)
        )
        for name, kind in PAYLOAD_INDEXES.items():
            client.create_payload_index(collection, name, PayloadSchemaType(kind), wait=True)
        client.upload_points(
            collection,
            _points(movies, vectors),
            batch_size=UPLOAD_POINTS,
            wait=True,
        )
        stored = client.count(collection, exact=True).count
    if stored != len(movies):
        raise IndexUnavailable(
            f"collection {collection} holds {stored} of {len(movies)} movies: build it again"
        )


def holds(client: QdrantClient, collection: str, movies: int) -> bool:
    """Whether the server has this collection with all its movies, and maybe later ones.

    Raises IndexUnavailable.
    """
    with _server_errors(f"looking for collection {collection} failed"):
        return (
            client.collection_exists(collection)
            and client.count(collection, exact=True).count >= movies
        )


def switch_alias(client: QdrantClient, collection: str) -> None:
    """Point the alias at `collection`, in one step that no reader can see the middle of.

    Raises:
        IndexUnavailable: the server does not answer, or has no such collection.
    """
    with _server_errors(f"switching alias {ALIAS} to {collection} failed"):
        client.update_collection_aliases(
            [
                DeleteAliasOperation(delete_alias=DeleteAlias(alias_name=ALIAS)),
                CreateAliasOperation(
                    create_alias=CreateAlias(collection_name=collection, alias_name=ALIAS)
                ),
            ]
        )


def drop_collection(client: QdrantClient, collection: str) -> None:
    """Delete a collection; nothing happens where there is none of that name.

    Raises:
        ArtifactError: it has the alias, so others use it.
        IndexUnavailable: the server does not answer.
    """
    with _server_errors(f"dropping collection {collection} failed"):
        if _aliased(client) == collection:
            raise ArtifactError(f"collection {collection} is in use: promote another version first")
        client.delete_collection(collection)


def _points(
    movies: Sequence[IndexedMovie], vectors: npt.NDArray[np.float32]
) -> Iterator[PointStruct]:
    for movie, row in zip(movies, vectors, strict=True):
        yield PointStruct(
            id=movie.movie_id, vector=row.tolist(), payload=msgspec.to_builtins(movie)
        )


def _filter(wanted: MovieFilter, without: Collection[int]) -> Filter | None:
    must, must_not = conditions(wanted, without)
    if not must and not must_not:
        return None
    return Filter(must=[*map(_condition, must)], must_not=[*map(_condition, must_not)])


def _condition(condition: Condition) -> FieldCondition | HasIdCondition:
    match condition:
        case AnyOf(field, values):
            return FieldCondition(key=field, match=MatchAny(any=sorted(values)))
        case Between(field, low, high):
            return FieldCondition(key=field, range=Range(gte=low, lte=high))
        case HasId(movie_ids):
            return HasIdCondition(has_id=list(movie_ids))


def _aliased(client: QdrantClient) -> str | None:
    """The collection that the alias points at."""
    aliases = {alias.alias_name: alias.collection_name for alias in client.get_aliases().aliases}
    return aliases.get(ALIAS)


@contextmanager
def _server_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (ApiException, ValueError) as error:  # ValueError: the client's local mode
        raise IndexUnavailable(f"{what}: {error}") from error
