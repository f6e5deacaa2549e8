import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import services
from infra.supervisor import Supervisor
from producers import resume
from producers.admin import ensure_topics
from producers.pace import Pace
from producers.publisher import BulkPublisher
from producers.replay import Status, publish_movies, replay, run_id, select
from producers.tables import MOVIES, RATINGS, TAGS
from stream.contracts.errors import BrokerUnavailable, ConfigurationError
from stream.contracts.events import RatingEvent, decode_movie, decode_user_event, encode
from stream.contracts.topics import Topics, partition_of
from tests.producers.kafka import records

PARTITIONS = 4
RATE = 60_000  # events a second of a replay that is to be killed before it is through
START = 978_300_000_000  # ms


def ratings_of(count: int, users: int = 50, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        [
            rng.integers(1, users + 1, count),
            rng.integers(1, 1000, count).astype(np.uint32),
            (rng.integers(1, 11, count) / 2).astype(np.float32),
            START + np.sort(rng.integers(0, 10_000_000, count)),
        ],
        schema=RATINGS,
    )


@pytest.fixture(autouse=True)
def quick_to_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here nothing is on a network for long."""
    monkeypatch.setattr(resume, "SETTLED", 0.05)


@pytest.fixture
def config(broker: str, topics: Topics) -> dict[str, str]:
    config = {"bootstrap.servers": broker}
    ensure_topics(config, topics, PARTITIONS, 1)
    return config


def in_the_log(config: dict[str, str], topics: Topics) -> list[list[RatingEvent]]:
    """The replayed events of each partition, each of them valid."""
    found = []
    for partition in records(config, topics.ratings, PARTITIONS):
        events = [decode_user_event(r.value(), r.key(), r.timestamp()[1]) for r in partition]
        found.append([event for event in events if event.source == "replay"])
    return found


def assert_once_and_in_order(
    log: list[list[RatingEvent]], ratings: pa.Table, laps: int = 1
) -> None:
    """Each partition has exactly its rows, in the order of the table, lap after lap."""
    run, rows = run_id(ratings), ratings.to_pylist()
    expected: list[list[tuple[Any, ...]]] = [[] for _ in log]
    for lap in range(laps):
        for number, row in enumerate(rows, start=lap * len(rows)):
            home = partition_of(row["user_id"], PARTITIONS)
            expected[home].append((f"{run}:{number}", *row.values()))
    assert expected == [
        [(e.event_id, e.user_id, e.movie_id, e.rating, e.event_time) for e in events]
        for events in log
    ]


def test_publishes_everything_once_and_in_order(config: dict[str, str], topics: Topics) -> None:
    ratings = ratings_of(3_000)
    seen: list[Status] = []
    assert replay(ratings, config, topics, on_progress=seen.append) == 3_000
    assert_once_and_in_order(in_the_log(config, topics), ratings)
    assert [status.done for status in seen] == sorted(status.done for status in seen)
    assert seen[-1] == Status(done=3_000, total=3_000, waiting=0, trouble="")


def test_the_librdkafka_partitioner_agrees_about_where_users_live(
    config: dict[str, str], topics: Topics
) -> None:
    with BulkPublisher(config) as publisher:
        for user in range(1, 500):
            publisher.publish(topics.ratings, b"%d" % user, b"")
    for partition, found in enumerate(records(config, topics.ratings, PARTITIONS)):
        assert {partition_of(int(r.key() or b""), PARTITIONS) for r in found} == {partition}


def test_a_replay_that_is_whole_is_not_repeated(config: dict[str, str], topics: Topics) -> None:
    ratings = ratings_of(500)
    replay(ratings, config, topics)
    seen: list[Status] = []
    assert replay(ratings, config, topics, on_progress=seen.append) == 0
    assert seen[0] == Status(done=500, total=500, waiting=0, trouble="")
    assert_once_and_in_order(in_the_log(config, topics), ratings)


def test_other_ratings_are_another_run(config: dict[str, str], topics: Topics) -> None:
    ratings = ratings_of(600)
    past, rest = ratings.slice(0, 400), ratings.slice(400)
    assert len({run_id(table) for table in (ratings, past, rest)}) == 3
    assert replay(past, config, topics) == 400
    assert replay(rest, config, topics) == 200
    log = in_the_log(config, topics)
    times = [[event.event_time for event in events] for events in log]
    assert times == [sorted(of_one) for of_one in times]
    assert sum(map(len, times)) == 600


def test_laps_have_ids_of_their_own(config: dict[str, str], topics: Topics) -> None:
    ratings = ratings_of(300)
    assert replay(ratings, config, topics, laps=2) == 600
    assert replay(ratings, config, topics, laps=3) == 300
    assert_once_and_in_order(in_the_log(config, topics), ratings, laps=3)


def test_nothing_to_replay(config: dict[str, str], topics: Topics) -> None:
    assert replay(ratings_of(0), config, topics, laps=None) == 0


def test_nothing_is_published_before_its_time(config: dict[str, str], topics: Topics) -> None:
    ratings = ratings_of(200)
    pace = Pace(speed=20_000)  # 10,000 s in half a second
    due = pace.due(ratings["timestamp"].to_numpy())
    start = time.monotonic()

    def look(status: Status) -> None:
        elapsed = time.monotonic() - start
        assert status.done + status.waiting <= np.searchsorted(due, elapsed, side="right")

    replay(ratings, config, topics, pace=pace, on_progress=look)
    assert_once_and_in_order(in_the_log(config, topics), ratings)


def test_a_topic_that_is_not_there(config: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"has no topic absent\.ratings"):
        replay(ratings_of(1), config, Topics("absent."))


def test_no_broker() -> None:
    with pytest.raises(BrokerUnavailable, match="127"):
        resume.last_sequences({"bootstrap.servers": "127.0.0.1:1"}, "x", 1, "run", patience=0.3)


@pytest.mark.parametrize("seed", [1])
def test_killed_at_any_moment_it_goes_on_without_a_gap_or_a_repeat(
    seed: int, config: dict[str, str], topics: Topics, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    ratings = ratings_of(60_000, users=2_000, seed=seed)
    pq.write_table(ratings, tmp_path / "ratings.parquet")
    for share in sorted(chance.uniform(0, 0.8) for _ in range(2)):
        _kill_when(config, topics, tmp_path / "ratings.parquet", share * ratings.num_rows)
        _others_publish(config, topics, chance.choice([0, 10, 20_000]))
    assert replay(ratings, config, topics) > 0
    assert_once_and_in_order(in_the_log(config, topics), ratings)


def _kill_when(config: dict[str, str], topics: Topics, ratings: Path, done: float) -> None:
    command = [sys.executable, "-m", "tests.producers.replayer", config["bootstrap.servers"]]
    process = subprocess.Popen(
        [*command, topics.prefix, str(ratings), str(RATE)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout as output:
        for line in output:
            if int(line) >= done:
                process.kill()


def _others_publish(config: dict[str, str], topics: Topics, count: int) -> None:
    """What an API would put behind the replay's events."""
    with BulkPublisher(config) as publisher:
        for number in range(count):
            event = RatingEvent(
                event_id=f"other:{number}",
                user_id=number + 1,
                movie_id=1,
                rating=3.0,
                event_time=START,
                produced_time=START,
                source="api",
            )
            publisher.publish(topics.ratings, b"%d" % event.user_id, encode(event))


def test_a_partition_that_has_nothing_yet_begins_at_the_start(
    config: dict[str, str], topics: Topics
) -> None:
    """What is left by a kill need not reach equally far in each partition."""
    ratings = ratings_of(400)
    run = run_id(ratings)
    row = ratings.to_pylist()
    with BulkPublisher(config) as publisher:
        for number, event in enumerate(row[:100]):
            home = partition_of(event["user_id"], PARTITIONS)
            if home:
                made = RatingEvent(
                    event_id=f"{run}:{number}",
                    user_id=event["user_id"],
                    movie_id=event["movie_id"],
                    rating=event["rating"],
                    event_time=event["timestamp"],
                    produced_time=START,
                    source="replay",
                )
                publisher.publish(topics.ratings, b"%d" % made.user_id, encode(made))
    replay(ratings, config, topics)
    assert_once_and_in_order(in_the_log(config, topics), ratings)


@pytest.mark.parametrize("first_look", [1, 7, 2_000])
def test_the_end_of_a_run_is_found_however_far_back(
    first_look: int, config: dict[str, str], topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "FIRST_LOOK", first_look)
    ratings = ratings_of(100)
    replay(ratings, config, topics)
    _others_publish(config, topics, 3_000)
    homes = [partition_of(user, PARTITIONS) for user in ratings["user_id"].to_pylist()]
    last = [max(n for n, home in enumerate(homes) if home == p) for p in range(PARTITIONS)]

    def found(run: str) -> list[int]:
        return resume.last_sequences(config, topics.ratings, PARTITIONS, run, patience=30)

    assert found(run_id(ratings)) == last
    assert found("f" * 16) == [-1] * PARTITIONS


@pytest.mark.apache
def test_a_broker_that_is_killed_and_comes_back_gets_every_event_once(
    apache_broker: str, servers: Supervisor, topics: Topics
) -> None:
    config = {"bootstrap.servers": apache_broker}
    ensure_topics(config, topics, PARTITIONS, 1)
    ratings = ratings_of(50_000)
    killed = False

    def kill_once(status: Status) -> None:
        nonlocal killed
        if status.done > 10_000 and not killed:
            killed = True
            servers.child("apache").kill()

    replay(ratings, config, topics, pace=Pace(rate=20_000), on_progress=kill_once)
    assert killed
    assert_once_and_in_order(in_the_log(config, topics), ratings)


def test_a_broker_that_stays_away_ends_the_replay(tmp_path: Path, topics: Topics) -> None:
    with Supervisor(tmp_path, say=print) as supervisor:
        service = services.tansu(services.free_port())
        supervisor.start(service, timeout=60)
        config = {"bootstrap.servers": service.address}
        ensure_topics(config, topics, PARTITIONS, 1)

        def stop(status: Status) -> None:
            if status.done and supervisor.children():
                supervisor.stop(["broker"], timeout=10)

        with pytest.raises(BrokerUnavailable, match=r"publishing .* of .* messages failed"):
            replay(
                ratings_of(20_000),
                config,
                topics,
                pace=Pace(rate=10_000),
                on_progress=stop,
                patience=1,
            )


def test_the_catalogue(config: dict[str, str], topics: Topics) -> None:
    movies = pa.table(
        [[1, 2], ["Toy Story", "Babylon 5"], [1995, None], [["Comedy"], []]], schema=MOVIES
    )
    tags = pa.table([[7, 8] * 2, [2] * 4, ["Space", "war", "WAR", "space"], [0] * 4], schema=TAGS)
    publish_movies(movies, tags, config, topics)
    found = records(config, topics.movies, 1)[0]
    assert [record.key() for record in found] == [b"1", b"2"]
    first, second = (decode_movie(record.value()) for record in found)
    assert (first.title, first.year, first.genres) == ("Toy Story", 1995, ("Comedy",))
    assert (first.tags, second.tags) == ((), ("space", "war"))
    assert (second.title, second.year, second.genres) == ("Babylon 5", None, ())
    assert first.event_id != second.event_id


def test_selecting() -> None:
    ratings = ratings_of(500)
    assert select(ratings) == ratings
    rows = ratings.to_pylist()
    middle = rows[250]["timestamp"]
    assert select(ratings, start=middle).to_pylist() == [
        row for row in rows if row["timestamp"] >= middle
    ]
    assert select(ratings, end=middle).to_pylist() == [
        row for row in rows if row["timestamp"] < middle
    ]
    some = select(ratings, users=[range(3, 6), range(40, 41)])
    assert some.to_pylist() == [row for row in rows if row["user_id"] in (3, 4, 5, 40)]
    assert select(ratings, users=[range(9, 9)]).num_rows == 0
