"""A catalogue and models whose right answers are known: nothing is trained.

Every movie has one genre and one decade. A model sees one of the two: to someone who likes movies
of one group it recommends that group, so that an answer shows which model it came from, and one
put together from two models shows that too.
"""

from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy import sparse

from stream.coldstart import INDIFFERENT, MANIFEST, RECENCY, VECTORS, VOCABULARY
from stream.features import FEATURE_VERSION
from tests.planted_ratings import planted_predictor
from training.artifact import CATALOGUE as CATALOGUE_FILE
from training.artifact import INDEX, ITEM_TOWER, LAYOUT, USER_TOWER, Manifest, sha256
from training.index import IndexedMovie
from training.index_edge_build import build_edge_index
from training.movie_table import MovieTable
from training.ranking import TOWERS, Links, Ranking
from training.ranking_files import write_ranking
from training.rating_files import write_rating
from training.tower_inputs import MOVIE_COLUMNS, USER_FEATURES

Trait: TypeAlias = Literal["genre", "decade"]

GENRES: Final = ("Comedy", "Drama", "Horror", "Musical", "Romance", "Western")
DECADES: Final = (1950, 1960, 1970, 1980, 1990, 2000)
HISTORY: Final = 50  # ratings that the user tower reads
MOVIES: Final = 288  # eight of every genre and decade
DIMENSIONS: Final = 16
COMPANY: Final = 5  # movies that each is linked to
SPREAD: Final = 0.2  # length of what is a movie's own in its vector; the rest is its group's

OPSET: Final = 17


class Movie(NamedTuple):
    movie_id: int
    title: str
    genre: str
    year: int

    @property
    def decade(self) -> int:
        return self.year // 10 * 10

    def group(self, trait: Trait) -> str | int:
        return self.genre if trait == "genre" else self.decade


CATALOGUE: Final = tuple(
    Movie(
        movie_id=10 + 7 * i,
        title=f"Movie {i}",
        genre=GENRES[i % 6],
        year=DECADES[i // 6 % 6] + i % 10,
    )
    for i in range(MOVIES)
)
BY_ID: Final = {movie.movie_id: movie for movie in CATALOGUE}  # and what tests add to a catalogue


def write_model(directory: Path, version: str, trait: Trait) -> None:
    """Write a whole artifact that groups movies by `trait`; `directory` must be missing."""
    directory.mkdir(parents=True)
    vectors = _vectors(trait)
    np.save(directory / VOCABULARY, np.array([movie.movie_id for movie in CATALOGUE], np.uint32))
    np.save(directory / VECTORS, vectors)
    onnx.save(_user_tower(), directory / USER_TOWER)
    onnx.save(_item_tower(trait), directory / ITEM_TOWER)
    movies = [
        IndexedMovie(
            movie_id=movie.movie_id,
            title=movie.title,
            genres=(movie.genre,),
            year=movie.year,
            popularity=MOVIES - i,
            mean_rating=1 + i % 17 / 4,
        )
        for i, movie in enumerate(CATALOGUE)
    ]
    MovieTable.of(movies).write(directory / CATALOGUE_FILE)
    build_edge_index(directory / INDEX, movies, vectors)
    write_ranking(directory, _ranking(trait))
    write_rating(directory, planted_predictor(movies))
    manifest = Manifest(
        layout=LAYOUT,
        version=version,
        feature_version=FEATURE_VERSION,
        created_at="2026-01-01T00:00:00+00:00",
        dimensions=DIMENSIONS,
        history=HISTORY,
        genres=GENRES,
        data_hash="planted",
        until=1_767_225_600_000,  # as created
        config={},
        metrics={},
        files={
            str(path.relative_to(directory)): sha256(path)
            for path in directory.rglob("*")
            if path.is_file()
        },
    )
    (directory / MANIFEST).write_bytes(msgspec.json.encode(manifest))


def _ranking(trait: Trait) -> Ranking:
    """The group decides; within it the next movies of the group, and what is hot, come first."""
    groups = [movie.group(trait) for movie in CATALOGUE]
    links = np.zeros((MOVIES, MOVIES), np.float32)
    for row, group in enumerate(groups):
        others = [other for other in range(MOVIES) if groups[other] == group]
        after = others.index(row) + 1
        links[row, (others + others)[after : after + COMPANY]] = 1 / np.arange(1, COMPANY + 1)
    return Ranking(
        links={"company": Links(sparse.csr_array(links), recency=0.9, liked_from=7)},
        weights={
            TOWERS: np.array([10, 0.1, 1], np.float32),
            "company": np.array([0.5, 0.1, 0.2], np.float32),
            "heat_30": np.array([0.1, 0, 0.05], np.float32),
            "new_365": np.array([0.05, 0.01, 0], np.float32),
        },
        newcomers={name: np.array([0.5, 0, 0.1], np.float32) for name in ("heat_30", "new_30")},
        proposed={TOWERS: 120, "company": 20, "heat_30": 20},
        trade_off=0.1,
    )


def _vectors(trait: Trait) -> npt.NDArray[np.float32]:
    """f32[MOVIES, DIMENSIONS], L2-normalised: an axis for each group, and noise."""
    groups = sorted({movie.group(trait) for movie in CATALOGUE}, key=str)
    noise = np.random.default_rng(len(trait)).normal(size=(MOVIES, DIMENSIONS))
    vectors = SPREAD * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    for row, movie in zip(vectors, CATALOGUE, strict=True):
        row[groups.index(movie.group(trait))] += 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def _user_tower() -> onnx.ModelProto:
    """The history's vectors, weighted by liking and recency, summed and normalised."""
    constants = {
        "indifferent": np.float32(INDIFFERENT),
        "recency": np.float32(RECENCY),
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "last": np.array([-1], np.int64),
        "second": np.array([1], np.int64),
        "tiny": np.float32(1e-9),
    }
    nodes = [
        helper.make_node("Sub", ["ratings", "indifferent"], ["liking"]),
        helper.make_node("Shape", ["ratings"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["width"]),
        helper.make_node("Range", ["zero", "width", "one"], ["steps"]),
        helper.make_node("Cast", ["steps"], ["exponents"], to=TensorProto.FLOAT),
        helper.make_node("Pow", ["recency", "exponents"], ["decay"]),
        helper.make_node("Mul", ["liking", "decay"], ["weight"]),
        helper.make_node("Unsqueeze", ["weight", "last"], ["column"]),
        helper.make_node("Mul", ["rated", "column"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "second"], ["sum"], keepdims=0),
        helper.make_node("ReduceL2", ["sum"], ["norm"], axes=[1], keepdims=1),
        helper.make_node("Max", ["norm", "tiny"], ["length"]),
        helper.make_node("Div", ["sum", "length"], ["vector"]),
    ]
    inputs = [
        helper.make_tensor_value_info("rated", TensorProto.FLOAT, ["users", "length", DIMENSIONS]),
        helper.make_tensor_value_info("known", TensorProto.BOOL, ["users", "length"]),
        helper.make_tensor_value_info("ratings", TensorProto.FLOAT, ["users", "length"]),
        helper.make_tensor_value_info("ages", TensorProto.FLOAT, ["users", "length"]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["users", USER_FEATURES]),
    ]
    return _model("user_tower", nodes, inputs, constants, "users")


def _item_tower(trait: Trait) -> onnx.ModelProto:
    """The axis of the group that a movie's content says.

    Movies of one genre lie a little apart by their years.
    """
    constants = {
        "of_content": _of_genres_and_years(),
        "of_decade": np.eye(DIMENSIONS, dtype=np.float32),
        "years": np.array([len(GENRES) + 1], np.int64),  # `movie_features`: after "has a year"
        "decades": np.float32(2),  # 20 years are 1 there
        "first": np.float32(4.05),  # decades from 1949.5 to 1990, where 0 is
        "last": np.array([-1], np.int64),
    }
    by_content = {
        "genre": [
            helper.make_node("MatMul", ["features", "of_content"], ["sum"]),
            helper.make_node("LpNormalization", ["sum"], ["vector"], axis=-1, p=2),
        ],
        "decade": [
            helper.make_node("Gather", ["features", "years"], ["scaled"], axis=1),
            helper.make_node("Mul", ["scaled", "decades"], ["since_1990"]),
            helper.make_node("Add", ["since_1990", "first"], ["since_first"]),
            helper.make_node("Floor", ["since_first"], ["decade"]),
            helper.make_node("Cast", ["decade"], ["column"], to=TensorProto.INT64),
            helper.make_node("Squeeze", ["column", "last"], ["group"]),
            helper.make_node("Gather", ["of_decade", "group"], ["vector"]),
        ],
    }
    nodes = by_content[trait]
    inputs = [
        helper.make_tensor_value_info(
            "features", TensorProto.FLOAT, ["movies", len(GENRES) + MOVIE_COLUMNS]
        ),
    ]
    read = {name for node in nodes for name in node.input}
    constants = {name: value for name, value in constants.items() if name in read}
    return _model("item_tower", nodes, inputs, constants, "movies")


def _of_genres_and_years() -> npt.NDArray[np.float32]:
    """f32[columns of `movie_features`, DIMENSIONS]: an axis a genre, and one of years."""
    matrix = np.eye(len(GENRES) + MOVIE_COLUMNS, DIMENSIONS, dtype=np.float32)
    matrix[len(GENRES) :] = 0
    matrix[len(GENRES) + 1, -1] = SPREAD
    return matrix


def _model(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    constants: dict[str, npt.NDArray[np.generic] | np.float32],
    rows: str,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        name,
        inputs,
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [rows, DIMENSIONS])],
        [numpy_helper.from_array(np.asarray(v, order="C"), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 10  # ONNX Runtime lags behind what the onnx package writes by default
    onnx.checker.check_model(model)
    return model
