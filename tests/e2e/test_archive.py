"""The stack's archiver: each rating is archived once, whatever is killed."""

from collections import Counter

from producers.admin import topic_id
from stream.archive import Archive
from tests.system import PARTITIONS, System, eventually
from tests.traffic import Load


def test_a_killed_archiver_loses_and_doubles_nothing(system: System) -> None:
    users = system.users(20)
    with Load(system, users) as load:
        load.wait_for_more(50)
        system.stack.process("archiver").kill()
        load.wait_for_more(50)
    system.stack.wait_ready("archiver")
    system.assert_applied(load.produced)
    # It may have been back before the last of them came, which then wait to be written.
    assert eventually(lambda: archived(system, users), load.produced.__eq__)


def archived(system: System, users: list[int]) -> Counter[int]:
    """How many rows there are of each of these users; no offset has two."""
    archive = Archive.open(system.stack.settings.archive)
    identity = topic_id(system.kafka, system.topics.ratings)
    ends = [archive.span(identity, partition).end for partition in range(PARTITIONS)]
    table = archive.table(identity, ends)
    events = table["event_id"].to_pylist()
    assert len(set(events)) == len(events)
    return Counter(user for user in table["user_id"].to_pylist() if user in set(users))
