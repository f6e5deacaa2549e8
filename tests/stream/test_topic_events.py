"""Topics of one partition, read whole."""

from stream.contracts.events import MovieEvent, decode_movie, encode
from stream.contracts.topics import Topics
from stream.log import Record
from stream.topic_events import topic_events, valid_events
from tests.fakes import MemoryLog
from tests.suites.state_store import movie_event


def record(offset: int, event: MovieEvent) -> Record:
    return Record(offset, event.produced_time, b"%d" % event.movie_id, encode(event))


async def test_they_come_in_order_without_those_that_are_invalid() -> None:
    """From where the log begins, over holes and more than one chunk."""
    alpha, beta, anew = movie_event(1, "Alpha"), movie_event(2, "Beta"), movie_event(1, "Anew")
    log = MemoryLog(chunk=2)
    log.append(0, record(0, movie_event(3, "Gone")), record(4, alpha), Record(5, 0, b"2", b"{"))
    log.append(0, record(6, beta), Record(9, 0, b"1", None), record(10, anew))
    log.drop_before(0, 4)
    assert await valid_events(log, decode_movie) == [alpha, beta, anew]


async def test_an_empty_topic_has_none() -> None:
    assert await valid_events(MemoryLog(), decode_movie) == []


def test_before_there_is_such_a_topic_there_are_none(broker: str, topics: Topics) -> None:
    assert topic_events({"bootstrap.servers": broker}, topics.movies, decode_movie) == []
