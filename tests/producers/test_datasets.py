import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers import datasets, formats, rows
from producers.datasets import Dataset, find, load
from producers.formats import Format
from producers.tables import MOVIES, RATINGS, TAGS
from producers.validation import EXAMPLES, MAX_TAG
from stream.contracts.errors import DatasetError, Unavailable
from tests.producers import releases
from tests.producers.releases import Title


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded here; test_download.py has a server."""

    def unreachable(url: str, *_: Any) -> None:
        raise Unavailable(f"{url} cannot be downloaded: no route to host")

    monkeypatch.setattr(datasets, "fetch", unreachable)


def read(dataset: str | Path, cache: Path, lenient: bool = False, **options: Any) -> Dataset:
    return load(find(str(dataset), cache=cache, **options), lenient)


@pytest.mark.parametrize(
    ("name", "folder", "layout"),
    [
        ("100k", "ml-100k", formats.U_100K),
        ("1m", "ml-1m", formats.DAT_1M),
        ("10m", "ml-10M100K", formats.DAT_10M),
        ("20m", "ml-20m", formats.CSV),
        ("25m", "ml-25m", formats.CSV),
        ("32m", "ml-32m", formats.CSV),
        ("latest-small", "ml-latest-small", formats.CSV),
        ("latest", "ml-latest", formats.CSV),
    ],
)
def test_every_release_reads_alike(name: str, folder: str, layout: Format, tmp_path: Path) -> None:
    releases.write(tmp_path / "data" / folder, layout)
    for spelling in (name, f"ml-{name}", name.upper()):
        dataset = read(spelling, tmp_path / "cache", data_dir=tmp_path / "data")
        assert dataset.source.name == f"ml-{name}"
        assert dataset.ratings.schema == RATINGS
        assert dataset.movies.schema == MOVIES
        assert dataset.ratings.to_pylist() == releases.IN_ORDER
        assert dataset.movies.to_pylist() == [
            {**movie._asdict(), "genres": list(movie.genres)} for movie in releases.MOVIES
        ]
        assert [report.bad for report in dataset.reports] == [0, 0]


def test_the_bundled_format_reads_alike(tmp_path: Path) -> None:
    directory = releases.write(tmp_path, formats.ATOMIC_100K)
    layout = formats.ATOMIC_100K
    source = datasets.Source("x", "", directory / layout.ratings, directory / layout.movies, layout)
    dataset = load(source)
    assert dataset.ratings.to_pylist() == releases.IN_ORDER
    assert dataset.movies["title"].to_pylist() == [movie.title for movie in releases.MOVIES]
    assert dataset.movies["year"].to_pylist() == [1995, 1995, None]


def test_the_order_in_which_places_are_searched(tmp_path: Path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    said: list[str] = []

    def origin() -> str:
        return find("latest-small", cache=cache, data_dir=data, say=said.append).origin

    assert origin() == "bundled, in place of ml-latest-small"
    assert "no route to host" in said[0]
    assert "Using the bundled MovieLens 100K in place of ml-latest-small" in said[0]
    releases.write(cache / "ml-latest-small", formats.CSV)
    assert origin() == str(cache / "ml-latest-small")
    releases.write(data, formats.CSV)
    assert origin() == str(data)
    releases.write(data / "ml-latest-small", formats.CSV)
    assert origin() == str(data / "ml-latest-small")
    assert len(said) == 1


def test_a_data_directory_of_another_release_is_not_taken_for_this_one(tmp_path: Path) -> None:
    data = releases.write(tmp_path / "ml-latest-small", formats.CSV)
    assert find("latest-small", cache=tmp_path, data_dir=data).origin == str(data)
    other = find("25m", cache=tmp_path / "cache", data_dir=data, say=lambda _: None)
    assert other.name == "ml-100k"


def test_the_bundled_100k(tmp_path: Path) -> None:
    dataset = read("latest-small", tmp_path, say=lambda _: None)
    assert dataset.ratings.num_rows == 100_000
    assert dataset.movies.num_rows == 1_682
    assert [report.bad for report in dataset.reports] == [0, 0]
    by_id = {movie["movie_id"]: movie for movie in dataset.movies.to_pylist()}
    assert by_id[1] == {
        "movie_id": 1,
        "title": "Toy Story",
        "year": 1995,
        "genres": ["Animation", "Children's", "Comedy"],
    }
    assert by_id[1412]["year"] == 1995  # whose year the source has wrong, and in the title


@pytest.mark.skipif("FRESHET_DATA_DIR" not in os.environ, reason="needs the real files")
def test_the_real_latest_small(tmp_path: Path) -> None:
    dataset = read("latest-small", tmp_path, data_dir=Path(os.environ["FRESHET_DATA_DIR"]))
    assert (dataset.ratings.num_rows, dataset.movies.num_rows) == (100_836, 9_742)
    assert [(report.bad, report.superseded) for report in dataset.reports] == [(0, 0)] * 3
    assert dataset.tags.num_rows == 3_683
    movies = {movie["movie_id"]: movie for movie in dataset.movies.to_pylist()}
    assert (movies[1]["title"], movies[1]["year"]) == ("Toy Story", 1995)
    assert movies[40697]["year"] is None  # Babylon 5
    assert movies[27008]["year"] == 1999  # with a blank after the year
    times = dataset.ratings["timestamp"].to_pylist()
    assert times == sorted(times)


def test_your_own_csv_with_or_without_a_header(tmp_path: Path) -> None:
    ratings = tmp_path / "mine.csv"
    movies = tmp_path / "films.csv"
    ratings.write_bytes(b'\xef\xbb\xbf1,2,3.5,978300275\r\n"7", 3 ,4,978300276.5\r\n\r\n')
    movies.write_text("item,title\n2,Alpha (2001)\n3,Beta\n")
    dataset = read(ratings, tmp_path, movies_file=movies)
    assert dataset.source.name == "mine"
    assert dataset.ratings.to_pylist() == [
        {"user_id": 1, "movie_id": 2, "rating": 3.5, "timestamp": 978300275000},
        {"user_id": 7, "movie_id": 3, "rating": 4.0, "timestamp": 978300276500},
    ]
    assert dataset.movies.to_pylist() == [
        {"movie_id": 2, "title": "Alpha", "year": 2001, "genres": []},
        {"movie_id": 3, "title": "Beta", "year": None, "genres": []},
    ]


def test_your_own_directory(tmp_path: Path) -> None:
    for layout in (formats.CSV, formats.U_100K, formats.DAT_10M):
        directory = releases.write(tmp_path / layout.ratings, layout)
        assert read(directory, tmp_path).ratings.to_pylist() == releases.IN_ORDER


def test_parquet(tmp_path: Path) -> None:
    written = read(releases.write(tmp_path / "text", formats.CSV), tmp_path)
    directory = tmp_path / "parquet"
    directory.mkdir()
    bad = {"user_id": 3, "movie_id": 99, "rating": 3.0, "timestamp": 978300275000}
    rows = [*written.ratings.to_pylist(), bad]
    schema = {
        "user_id": pl.Int64,
        "movie_id": pl.UInt32,
        "rating": pl.Float32,
        "timestamp": pl.Int64,
    }
    pl.DataFrame(rows[::-1], schema=schema).write_parquet(directory / "ratings.parquet")
    pl.DataFrame(written.movies).write_parquet(directory / "movies.parquet")
    dataset = read(directory, tmp_path, lenient=True)
    assert dataset.ratings == written.ratings
    assert dataset.movies == written.movies
    assert dataset.reports[0].dropped == {"orphan": 1}


def test_parquet_as_other_programs_write_it(tmp_path: Path) -> None:
    """Wide types, an id that is no number, movies without a title or genres, one twice."""
    ratings = [
        ("1", 2, 3.5, 978300275000),
        ("7", 3, 4.0, 978300276000),
        ("x", 2, 4.0, 978300277000),
    ]
    names = ["user_id", "movie_id", "rating", "timestamp"]
    schema = {
        "movie_id": pl.Int64,
        "title": pl.String,
        "year": pl.Int64,
        "genres": pl.List(pl.String),
    }
    movies = [
        (3, "Beta", None, None),
        (2, "Alpha", 2001, ["War"]),
        (2, "Another", 2001, ["War"]),
        (4, None, 1999, ["War"]),
        (0, "Nothing", 1999, ["War"]),
    ]
    pl.DataFrame(ratings, names, orient="row").write_parquet(tmp_path / "ratings.parquet")
    pl.DataFrame(movies, schema, orient="row").write_parquet(tmp_path / "movies.parquet")
    dataset = read(tmp_path, tmp_path, lenient=True)
    assert [list(row.values()) for row in dataset.ratings.to_pylist()] == [
        [1, 2, 3.5, 978300275000],
        [7, 3, 4.0, 978300276000],
    ]
    assert [list(row.values()) for row in dataset.movies.to_pylist()] == [
        [2, "Alpha", 2001, ["War"]],
        [3, "Beta", None, []],
    ]
    assert dataset.reports[0].dropped == {"user_id": 1}
    assert dataset.reports[1].dropped == {"movie_id": 1, "title": 1, "duplicate": 1}


def test_a_parquet_file_that_is_something_else(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "ratings.parquet")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "movies.parquet")
    with pytest.raises(DatasetError, match=r"movies.parquet lacks the column movie_id, title"):
        read(tmp_path, tmp_path)
    (tmp_path / "movies.parquet").write_text("movie_id,title,genres")
    with pytest.raises(DatasetError, match="cannot be read"):
        read(tmp_path, tmp_path)


def test_a_header_may_use_words_of_its_own(tmp_path: Path) -> None:
    releases.write(tmp_path, formats.CSV)
    for header in ("Person,Film,Score,When", "USER_ID,film,stars,unix", '"userId","movieId",r,t'):
        (tmp_path / "ratings.csv").write_text(f"{header}\n1,1,4.0,978300760\n")
        dataset = read(tmp_path, tmp_path)
        assert (dataset.ratings.num_rows, dataset.reports[0].lines) == (1, 1)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    written = read(releases.write(tmp_path / "text", formats.CSV), tmp_path)
    pl.DataFrame(written.movies).write_parquet(tmp_path / "movies.parquet")
    ratings = pl.DataFrame(written.ratings).drop("timestamp")
    ratings.write_parquet(tmp_path / "ratings.parquet")
    with pytest.raises(
        DatasetError,
        match=r"ratings.parquet lacks the column timestamp: it has user_id, movie_id, rating",
    ):
        read(tmp_path, tmp_path)
    (tmp_path / "text" / "ratings.csv").write_text("userId,movieId,rating\n1,1,4.0\n")
    with pytest.raises(
        DatasetError, match=r"ratings.csv lacks the column timestamp: it has user, movie, rating"
    ):
        read(tmp_path / "text", tmp_path)
    (tmp_path / "text" / "ratings.csv").write_text(
        "movieId,userId,rating,time\n1,1,4.0,978300275\n"
    )
    with pytest.raises(
        DatasetError, match=r"needed are user, movie, rating, timestamp, in this order"
    ):
        read(tmp_path / "text", tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "movies.csv",
            "movieId,genres\n1,War\n",
            "movies.csv lacks the column title: it has movie, ",
        ),
        (
            "movies.csv",
            "title,genres\nA,War\n",
            "movies.csv lacks the column movie: it has title, g",
        ),
        ("movies.csv", "title,movieId\nA,1\n", "needed are movie, title, genres, in this order"),
        ("movies.csv", "movieId,title,year,genres\n1,A,1999,War\n", "'movieId,title,year,genres'"),
        (
            "tags.csv",
            "userId,movieId,timestamp\n1,1,978300275\n",
            "tags.csv lacks the column tag: ",
        ),
    ],
)
def test_a_column_missing_beside_the_ratings_is_named(
    file: str, content: str, message: str, tmp_path: Path
) -> None:
    releases.write(tmp_path, formats.CSV)
    (tmp_path / file).write_text(content)
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, tmp_path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="one of 100k, 1m"):
        find("26m", cache=tmp_path)
    with pytest.raises(DatasetError, match="neither ratings"):
        find(str(tmp_path), cache=tmp_path)
    (tmp_path / "mine.csv").write_text("1,2,3,978300275\n")
    with pytest.raises(DatasetError, match="--movies"):
        find(str(tmp_path / "mine.csv"), cache=tmp_path)


GOOD = (1, 1, 4.0, 978300760)
BAD = [
    ("fields", "1,1,4.0"),
    ("fields", "1,1,4.0,978300760,more"),
    ("fields", "nonsense"),
    ("user_id", "x,1,4.0,978300760"),
    ("user_id", "0,1,4.0,978300760"),
    ("user_id", "-4,1,4.0,978300760"),
    ("user_id", "9007199254740992,1,4.0,978300760"),
    ("user_id", "1.5,1,4.0,978300760"),
    ("user_id", ",1,4.0,978300760"),
    ("movie_id", "1,,4.0,978300760"),
    ("movie_id", "1,4294967296,4.0,978300760"),
    ("movie_id", "1,0,4.0,978300760"),
    ("rating", "1,1,four,978300760"),
    ("rating", "1,1,nan,978300760"),
    ("rating_range", "1,1,0,978300760"),
    ("rating_range", "1,1,5.5,978300760"),
    ("rating_range", "1,1,-inf,978300760"),
    ("rating_step", "1,1,3.7,978300760"),
    ("timestamp", "1,1,4.0,yesterday"),
    ("timestamp", "1,1,4.0,nan"),
    ("time_range", "1,1,4.0,0"),
    ("time_range", "1,1,4.0,978300760000"),  # milliseconds
    ("orphan", "1,77,4.0,978300760"),
]


@pytest.mark.parametrize(("reason", "line"), BAD)
def test_bad_lines_are_named_and_the_rest_is_used(reason: str, line: str, tmp_path: Path) -> None:
    directory = releases.write(tmp_path, formats.CSV, [GOOD, *[(2, 2, 3.0, 978300275)] * 200])
    lines = (directory / "ratings.csv").read_text().splitlines()
    lines.insert(2, line)
    (directory / "ratings.csv").write_text("\n".join(lines))
    dataset = read(directory, tmp_path)
    report = dataset.reports[0]
    assert dict(report.dropped) == {reason: 1}
    assert [(bad.number, bad.reason, bad.text) for bad in report.examples] == [(3, reason, line)]
    assert (report.lines, report.superseded) == (202, 199)
    assert dataset.ratings.num_rows == 2


def test_over_one_percent_of_bad_lines_is_an_error_unless_lenient(tmp_path: Path) -> None:
    users = range(1, 100)
    good = [(user, 1, 4.0, 978300760) for user in users]
    at_one = releases.write(tmp_path / "at", formats.CSV, [*good, (1, 1, 9, 978300760)])
    assert read(at_one, tmp_path).ratings.num_rows == 99
    over = releases.write(tmp_path / "over", formats.CSV, [*good, *[(1, 1, 9, 978300760)] * 9])
    with pytest.raises(DatasetError) as error:
        read(over, tmp_path)
    assert "9 of 108 lines are bad (rating_range 9), over 1%" in str(error.value)
    assert str(error.value).count("\n  line ") == EXAMPLES
    assert "line 101: rating_range: '1,1,9,978300760'" in str(error.value)
    assert "--lenient" in str(error.value)
    assert read(over, tmp_path, lenient=True).ratings.num_rows == 99


def test_nothing_good_is_an_error_even_if_lenient(tmp_path: Path) -> None:
    directory = releases.write(tmp_path, formats.CSV, [("a", "b", "c", "d")])
    (directory / "ratings.csv").write_text("a;b\nc;d\n")
    with pytest.raises(DatasetError, match="lines are bad"):
        read(directory, tmp_path, lenient=True)
    (directory / "ratings.csv").write_text("userId,movieId,rating,timestamp\n")
    with pytest.raises(DatasetError, match="has no data"):
        read(directory, tmp_path, lenient=True)


def test_bytes_that_are_no_text_cost_one_line(tmp_path: Path) -> None:
    directory = releases.write(tmp_path, formats.CSV)
    with (directory / "ratings.csv").open("ab") as file:
        file.write(b"\xff\xfe,1,3.0,978300275\n3,1,3.0,978300275\n")
    dataset = read(directory, tmp_path, lenient=True)
    assert dataset.ratings.num_rows == len(releases.RATINGS) + 1
    assert dict(dataset.reports[0].dropped) == {"user_id": 1}


def test_a_file_is_read_alike_in_blocks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [(1 + n % 7, (1, 2, 5)[n % 3], 0.5 + n % 10 / 2, 978300000 + n) for n in range(200)]
    lines[50] = lines[150] = (1, 1, 9, 978300275)
    directory = releases.write(tmp_path, formats.CSV, lines)
    with (directory / "ratings.csv").open("ab") as file:
        file.write(b"\xff\xfe,1,3.0,978300275\n9,1,3.0,978300275")
    whole = read(directory, tmp_path, lenient=True)
    assert whole.reports[0].lines == 202
    for size in (7, 64, 1000):
        monkeypatch.setattr(rows, "_BLOCK", size)
        in_blocks = read(directory, tmp_path, lenient=True)
        assert in_blocks.ratings == whole.ratings
        assert in_blocks.reports == whole.reports


def test_bad_movies_are_named_too(tmp_path: Path) -> None:
    movies = [Title(n, f"Film {n}", 2000, ()) for n in range(1, 400)]
    directory = releases.write(tmp_path, formats.CSV, movies=movies)
    with (directory / "movies.csv").open("a") as file:
        file.write("1,Film 1 again,Drama\nx,No number,Drama\n400,,Drama\n401\n")
    dataset = read(directory, tmp_path, lenient=True)
    report = dataset.reports[1]
    assert dict(report.dropped) == {"duplicate": 1, "movie_id": 1, "title": 1, "fields": 1}
    assert [bad.number for bad in report.examples] == [401, 402, 403, 404]
    assert dataset.movies.num_rows == 399
    assert dataset.movies["title"][0].as_py() == "Film 1"


def test_the_last_rating_in_time_counts_then_the_last_in_the_file(tmp_path: Path) -> None:
    ratings = [
        (1, 1, 1.0, 978300300),
        (1, 1, 2.0, 978300200),
        (1, 2, 3.0, 978300100),
        (1, 2, 4.0, 978300100),
    ]
    dataset = read(releases.write(tmp_path, formats.CSV, ratings), tmp_path)
    assert dataset.ratings.to_pylist() == [
        {"user_id": 1, "movie_id": 2, "rating": 4.0, "timestamp": 978300100000},
        {"user_id": 1, "movie_id": 1, "rating": 1.0, "timestamp": 978300300000},
    ]
    assert dataset.reports[0].superseded == 2
    assert dataset.reports[0].bad == 0


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.sampled_from([1, 2, 5]),
            st.integers(1, 10).map(lambda half_stars: half_stars / 2),
            st.integers(978300000, 978300003),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_order_and_uniqueness_whatever_the_file(
    tmp_path_factory: pytest.TempPathFactory, ratings: list[tuple[int, int, float, int]]
) -> None:
    directory = tmp_path_factory.mktemp("any")
    found = read(releases.write(directory, formats.CSV, ratings), directory).ratings.to_pylist()
    latest: dict[tuple[int, int], tuple[int, float]] = {}
    for user, movie, stars, seconds in ratings:
        if seconds >= latest.get((user, movie), (0, 0.0))[0]:
            latest[user, movie] = (seconds, stars)
    expected = sorted(
        (s * 1000, user, movie, stars) for (user, movie), (s, stars) in latest.items()
    )
    assert [(r["timestamp"], r["user_id"], r["movie_id"], r["rating"]) for r in found] == expected


@pytest.mark.parametrize("layout", [formats.CSV, formats.DAT_1M, formats.DAT_10M])
def test_tags_where_there_are_any(layout: Format, tmp_path: Path) -> None:
    releases.write(tmp_path, layout)
    without = read(tmp_path, tmp_path)
    assert (without.tags.schema, without.tags.num_rows, len(without.reports)) == (TAGS, 0, 2)
    dataset = read(releases.write_tags(tmp_path, layout), tmp_path)
    assert dataset.tags.schema == TAGS
    assert dataset.tags.to_pylist() == [
        {"user_id": 1, "movie_id": 1, "tag": 'so "fun"', "timestamp": 978300280000},
        {"user_id": 2, "movie_id": 5, "tag": "no idea, really", "timestamp": 978300300000},
    ]
    assert dataset.reports[2].lines == 2


def test_tags_beside_your_own_ratings_file_and_in_parquet(tmp_path: Path) -> None:
    releases.write_tags(releases.write(tmp_path, formats.CSV), formats.CSV)
    text = read(tmp_path / "ratings.csv", tmp_path)
    assert text.tags.num_rows == 2
    directory = tmp_path / "parquet"
    directory.mkdir()
    for name in ("ratings", "movies", "tags"):
        pl.DataFrame(getattr(text, name)).write_parquet(directory / f"{name}.parquet")
    assert read(directory, tmp_path).tags == text.tags


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("fields", (1, 1, "good")),
        ("fields", (1, 1, "good", 978300280, "more")),
        ("user_id", ("x", 1, "good", 978300280)),
        ("movie_id", (1, "x", "good", 978300280)),
        ("tag", (1, 1, "  ", 978300280)),
        ("tag", (1, 1, "x" * (MAX_TAG + 1), 978300280)),
        ("timestamp", (1, 1, "good", "today")),
        ("time_range", (1, 1, "good", 5)),
        ("orphan", (1, 3, "good", 978300280)),
    ],
)
def test_bad_tags_are_named_too(reason: str, fields: tuple[object, ...], tmp_path: Path) -> None:
    tags = [*[(1, 1, f"tag {n}", 978300280) for n in range(200)], fields]
    releases.write_tags(releases.write(tmp_path, formats.CSV), formats.CSV, tags)
    dataset = read(tmp_path, tmp_path)
    report = dataset.reports[2]
    assert dict(report.dropped) == {reason: 1}
    assert [(bad.number, bad.reason) for bad in report.examples] == [(202, reason)]
    assert dataset.tags.num_rows == 200


def test_a_tags_file_that_nobody_wrote_in_is_no_error_and_one_of_something_else_is(
    tmp_path: Path,
) -> None:
    releases.write_tags(releases.write(tmp_path, formats.CSV), formats.CSV, [])
    assert read(tmp_path, tmp_path).tags.num_rows == 0
    (tmp_path / "tags.csv").write_text("1;1;good;978300280\n" * 3)  # the first may be a header
    with pytest.raises(DatasetError, match=r"tags.csv: 2 of 2 lines are bad \(fields 2\)"):
        read(tmp_path, tmp_path, lenient=True)
