import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from infra.cli import app
from infra.commands.data import SCHEMAS, parse_users, schema_files
from producers import formats
from producers.admin import partition_count
from stream.contracts.errors import BrokerUnavailable, ConfigurationError, DatasetError
from stream.contracts.events import RatingEvent
from stream.contracts.topics import Topics
from tests.producers import releases
from tests.producers.kafka import records

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that FRESHET_DATA_DIR names, with one release in it."""
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FRESHET_DATA_DIR", str(tmp_path))
    releases.write(tmp_path / "ml-latest-small", formats.CSV)
    return tmp_path


@pytest.fixture
def log(broker: str, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("FRESHET_KAFKA_BOOTSTRAP_SERVERS", broker)
    monkeypatch.setenv("FRESHET_KAFKA_TOPIC_PREFIX", topics.prefix)
    monkeypatch.setenv("FRESHET_KAFKA_PARTITIONS", "2")
    return {"bootstrap.servers": broker}


def invoke(*words: str) -> str:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_published_schemas_are_current() -> None:
    published = {
        path.name.removesuffix(".schema.json"): path.read_text()
        for path in (ROOT / SCHEMAS).glob("*.schema.json")
    }
    assert published == schema_files(), "run `freshet events schema`"


def test_a_schema_says_what_a_rating_must_be(tmp_path: Path) -> None:
    invoke("events", "schema", "--out", str(tmp_path / "new"))
    schema = json.loads((tmp_path / "new" / "rating.schema.json").read_text())
    rating = schema["$defs"]["RatingEvent"]
    assert rating["properties"]["rating"] == {
        "type": "number",
        "minimum": 0.5,
        "maximum": 5.0,
        "multipleOf": 0.5,
    }
    fields = {field.encode_name for field in msgspec.structs.fields(RatingEvent)}
    assert set(rating["properties"]) == fields | {"type"}
    assert set(rating["required"]) == fields - {"schema_version"} | {"type"}


def test_fetch_says_where(data: Path) -> None:
    assert invoke("data", "fetch") == f"ml-latest-small: {data / 'ml-latest-small'}\n"


def test_check_reports_what_was_dropped_and_why(data: Path) -> None:
    output = invoke("data", "check")
    assert "4 ratings of 3 movies by 2 users, 2000-12-31 to 2000-12-31" in output
    with (data / "ml-latest-small" / "ratings.csv").open("a") as file:
        file.write("1,1,9,978300760\n")
    with pytest.raises(DatasetError, match="1 of 5 lines are bad"):
        invoke("data", "check")
    output = invoke("data", "check", "--lenient")
    assert "ratings.csv:6: rating_range: 1,1,9,978300760" in output


def test_replay_publishes_the_movies_and_the_chosen_ratings(
    data: Path, log: dict[str, str], topics: Topics
) -> None:
    output = invoke("replay", "--users", "1", "--from", "2000-12-31", "--until", "2001-01-01")
    assert "published 2 ratings; the log has all 2 of them" in output
    assert "published 0 ratings" in invoke(
        *("replay", "--users", "1", "--from", "2000-12-31", "--until", "2001-01-01")
    )
    assert partition_count(log, topics.ratings) == 2
    published = records(log, topics.ratings, 2)
    assert sum(map(len, published)) == 2
    assert {record.key() for record in records(log, topics.movies, 1)[0]} == {b"1", b"2", b"5"}


def test_replay_without_a_broker_fails(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRESHET_KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(ConfigurationError, match="freshet up"):
        invoke("replay")
    monkeypatch.setenv("FRESHET_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("producers.admin.ensure_topics.__defaults__", (0.3,))
    with pytest.raises(BrokerUnavailable, match="Connection refused"):
        invoke("replay")


def test_users() -> None:
    assert parse_users("") == []
    assert parse_users("1-100, 205") == [range(1, 101), range(205, 206)]
    for text in ("a", "1-", "-3", "1:2"):
        with pytest.raises(ConfigurationError, match="--users"):
            parse_users(text)
