"""Both movie indexes, on the conformance suite and on what is theirs alone."""

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from qdrant_client import QdrantClient

from stream.coldstart import ItemVectors
from stream.contracts.errors import ArtifactError, IndexUnavailable
from tests.api.doubles import MemoryIndex
from tests.suites.movie_index import (
    DIMENSION,
    Build,
    MovieIndexSuite,
    Vectors,
    movie,
    unit_vectors,
)
from training.index import ALIAS, IndexedMovie, MovieIndex, collection_name
from training.index_edge import EdgeIndex
from training.index_edge_build import _build, build_edge_index
from training.index_server import ServerIndex, build_server_index, connect, switch_alias
from training.movie_table import MovieTable

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


def opened(directory: Path, movies: Sequence[IndexedMovie], vectors: Vectors) -> EdgeIndex:
    """The index in a directory, as that of these movies."""
    table = MovieTable.of(movies)
    return EdgeIndex(directory, ItemVectors("v1", table.movie_ids, vectors), table)


class TestMemory(MovieIndexSuite):
    """The double that the API's tests use."""

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls) -> Build:
        return MemoryIndex


class TestEdge(MovieIndexSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def build(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
        built: list[MovieIndex] = []

        def build(movies: Sequence[IndexedMovie], vectors: Vectors) -> MovieIndex:
            directory = tmp_path_factory.mktemp("edge") / "index"
            build_edge_index(directory, movies, vectors)
            built.append(opened(directory, movies, vectors))
            return built[-1]

        yield build
        for index in built:
            index.close()


class ServerSuite(MovieIndexSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def client(cls) -> Iterator[QdrantClient]:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls, client: QdrantClient) -> Iterator[Build]:
        built: list[str] = []

        def build(movies: Sequence[IndexedMovie], vectors: Vectors) -> MovieIndex:
            built.append(collection_name(uuid.uuid4().hex))
            build_server_index(client, built[-1], movies, vectors)
            return ServerIndex(client, built[-1], DIMENSION)

        yield build
        for collection in built:
            client.delete_collection(collection)

    def test_building_again_replaces_what_a_crash_left(self, client: QdrantClient) -> None:
        collection = collection_name(uuid.uuid4().hex)
        build_server_index(client, collection, [movie(1), movie(2)], unit_vectors(2))
        build_server_index(client, collection, [movie(3)], unit_vectors(1))
        assert ServerIndex(client, collection, DIMENSION).movies([1, 2, 3]) == {3: movie(3)}
        client.delete_collection(collection)

    def test_the_alias_moves_and_what_it_names_is_kept(self, client: QdrantClient) -> None:
        old, new = (collection_name(uuid.uuid4().hex) for _ in range(2))
        for collection, movies in ((old, [movie(1)]), (new, [movie(1), movie(2)])):
            build_server_index(client, collection, movies, unit_vectors(len(movies)))
            switch_alias(client, collection)
            assert client.count(ALIAS, exact=True).count == len(movies)
        switch_alias(client, new)  # again: no harm
        with pytest.raises(ArtifactError, match="in use"):
            build_server_index(client, new, [movie(1)], unit_vectors(1))
        with pytest.raises(IndexUnavailable, match="missing"):
            switch_alias(client, "missing")
        assert client.count(ALIAS, exact=True).count == 2
        client.delete_collection(old)
        client.delete_collection(new)

    def test_no_reader_meets_a_gap_while_the_alias_moves(self, client: QdrantClient) -> None:
        collections = [collection_name(uuid.uuid4().hex) for _ in range(2)]
        for collection in collections:
            build_server_index(client, collection, [movie(1)], unit_vectors(1))
        switch_alias(client, collections[0])

        def switch_to_and_fro() -> None:
            for turn in range(40):
                switch_alias(client, collections[turn % 2])

        with ThreadPoolExecutor(1) as pool:
            switching = pool.submit(switch_to_and_fro)
            while not switching.done():
                assert client.count(ALIAS, exact=True).count == 1
            switching.result()
        for collection in collections:
            client.delete_collection(collection)

    def test_a_missing_collection_is_unavailable(self, client: QdrantClient) -> None:
        with pytest.raises(IndexUnavailable, match="movies-none"):
            ServerIndex(client, "movies-none", DIMENSION)

    def test_a_collection_of_another_dimension_is_refused(self, client: QdrantClient) -> None:
        collection = collection_name(uuid.uuid4().hex)
        build_server_index(client, collection, [movie(1)], unit_vectors(1))
        with pytest.raises(ArtifactError, match="dimension 99"):
            ServerIndex(client, collection, 99)
        client.delete_collection(collection)


# What its local mode warns of: it has no payload indexes and no HNSW.
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
@pytest.mark.filterwarnings("ignore:Local mode performs exact")
class TestClientLocalMode(ServerSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def client(cls) -> Iterator[QdrantClient]:
        client = QdrantClient(":memory:")
        yield client
        client.close()


@pytest.mark.external
class TestServer(ServerSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def client(cls) -> Iterator[QdrantClient]:
        url = os.environ.get("FRESHET_QDRANT_URL")
        if url:
            client = connect(url, os.environ.get("FRESHET_QDRANT_API_KEY"), timeout=30)
            yield client
            client.close()
            return
        if not _docker_answers():
            pytest.skip("no FRESHET_QDRANT_URL and no Docker")
        from testcontainers.community.qdrant import QdrantContainer

        (image,) = re.findall(r"qdrant/qdrant:\S+", COMPOSE.read_text())
        with QdrantContainer(image) as container:
            client = connect(f"http://{container.rest_host_address}", None, timeout=30)
            yield client
            client.close()


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def test_a_server_that_is_not_there_is_unavailable() -> None:
    client = connect("http://127.0.0.1:1", None, timeout=1)
    with pytest.raises(IndexUnavailable, match="movies-x"):
        ServerIndex(client, "movies-x", DIMENSION)


TWO = (movie(1), movie(2))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("built") / "index"
    build_edge_index(directory, TWO, unit_vectors(2))
    return directory


@pytest.fixture
def edge_directory(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "index"))


def snapshot(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def open_files(directory: Path) -> list[str]:
    """Files of it that this process has open, also deleted ones."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of looking itself
            found.append(os.readlink(descriptor))
    return [name for name in found if name.startswith(str(directory))]


def resident(name: str) -> int:
    """Bytes of memory of this process in which deleted files are whose paths end so."""
    found, here = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        key, *values = line.split()
        if not key.endswith(":"):
            here = line.endswith(f"{name} (deleted)")
        elif here and key == "Rss:":
            found += int(values[0]) * 1024
    return found


def test_edge_readers_have_a_copy_each_that_leaves_nothing_behind(
    edge_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    before = snapshot(edge_directory)
    first, second = (opened(edge_directory, TWO, unit_vectors(2)) for _ in range(2))
    assert snapshot(edge_directory) == before
    shutil.rmtree(edge_directory)
    assert list(copies.iterdir()) == []  # a process that is killed now leaves nothing behind
    first.close()
    assert second.search(unit_vectors(2)[1], 1)[0][0] == 2
    assert second.movies([1]) == {1: movie(1)}
    assert open_files(copies)
    second.close()
    assert open_files(copies) == [] == list(copies.iterdir())


def _missing(directory: Path) -> None:
    shutil.rmtree(directory)


def _emptied(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir()


def _damaged(directory: Path) -> None:
    for file in directory.rglob("segment.json"):
        file.write_text("{")


@pytest.mark.parametrize("harm", [_missing, _emptied, _damaged])
def test_edge_without_a_whole_directory_is_unavailable(
    edge_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path], None],
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    harm(edge_directory)
    with pytest.raises(IndexUnavailable, match="index in"):
        opened(edge_directory, TWO, unit_vectors(2))
    assert list(copies.iterdir()) == []


def test_edge_refuses_an_index_of_another_dimension(edge_directory: Path) -> None:
    with pytest.raises(ArtifactError, match="dimension 99"):
        opened(edge_directory, TWO, unit_vectors(2, 99))


def test_edge_with_movies_that_its_model_has_not_is_unavailable(edge_directory: Path) -> None:
    index = opened(edge_directory, [movie(1), movie(3)], unit_vectors(2))
    with pytest.raises(IndexUnavailable, match="its model has not"):
        index.search(unit_vectors(2)[1], 2)
    index.close()


def test_edge_builds_into_an_empty_directory_only(edge_directory: Path) -> None:
    with pytest.raises(ArtifactError, match="empty directory"):
        build_edge_index(edge_directory, [movie(1)], unit_vectors(1))


def test_what_was_walked_by_bytes_is_scored_and_ordered_by_all_of_the_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edge walks from some 10 MB on: few wide vectors are built in half a second."""
    monkeypatch.setattr("training.index_edge_build.QUANTIZED_FROM", 1_000)
    vectors = unit_vectors(1_400, 2_048)
    directory = tmp_path / "index"
    movies = [movie(row) for row in range(len(vectors))]
    _build(directory, movies, vectors)
    segments = [msgspec.json.decode(file.read_bytes()) for file in directory.rglob("segment.json")]
    kinds = [segment["config"]["vector_data"][""] for segment in segments]
    assert any(kind["index"]["type"] == "hnsw" and kind["quantization_config"] for kind in kinds)
    index = opened(directory, movies, vectors)
    query = vectors[:20].sum(axis=0)
    exact = vectors @ query
    found = index.search(query, 64, exclude=range(10))
    assert len(index.search(query, 64, exclude=range(10, 1_000))) == 64
    assert resident("/matrix.dat") < 1 << 20  # what Edge has of 11 MB of vectors, in bytes
    index.close()
    assert found == [(row, pytest.approx(exact[row], abs=1e-5)) for row, _ in found]
    assert found == sorted(found, key=lambda hit: -hit[1])
    nearest = np.argsort(-exact)
    nearest = nearest[nearest >= 10][:64]
    assert len(found) == 64
    assert len({row for row, _ in found} & {*nearest.tolist()}) >= 63


CLOSED = """
import sys
from pathlib import Path
import numpy as np
from stream.coldstart import ItemVectors
from training.index_edge import EdgeIndex
from training.movie_table import MovieTable

def maps():
    return [line for line in Path("/proc/self/maps").open() if "qdrant_edge" in line]

items = ItemVectors("v", np.arange(1, 3, dtype=np.uint32), np.eye(2, dtype=np.float32))
index = EdgeIndex(Path(sys.argv[1]), items, MovieTable.of([]))
before = maps()
index.close()
assert maps() == before, "Edge failed, and looked up a backtrace"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what is mapped is not told")
def test_edge_fails_at_nothing_when_it_is_closed(tmp_path: Path) -> None:
    """In a process of its own: it looks into its library for the first backtrace alone."""
    _build(tmp_path, TWO, np.eye(2, dtype=np.float32))
    subprocess.run([sys.executable, "-c", CLOSED, tmp_path], check=True)


def test_a_closed_edge_index_is_unavailable(edge_directory: Path) -> None:
    index = opened(edge_directory, TWO, unit_vectors(2))
    index.close()
    with pytest.raises(IndexUnavailable):
        index.count()
