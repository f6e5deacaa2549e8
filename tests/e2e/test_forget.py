"""A person is forgotten: by everyone who answers, keeps or learns from what they did."""

from stream.archive import Archive
from stream.contracts.topics import partition_of
from stream.dead_letters import Buried, read_dead_letters
from tests.planted_model import CATALOGUE
from tests.system import PARTITIONS, Outgoing, System, eventually


def test_a_person_is_forgotten_everywhere(system: System) -> None:
    user, loved = system.fan()
    partition = partition_of(user, PARTITIONS)
    (stranger,) = system.users(1, partition)
    retried = system.post(user, (CATALOGUE[0].movie_id, 4.0), key=f"forget-{user}")
    archive = Archive.open(system.stack.settings.archive)
    assert forget(system, stranger)["ratings"] == 0  # has the archive write what it has read
    eventually(lambda: archive.contains(user) == len(loved) + 1)

    said = forget(system, user)
    assert (said["ratings"], said["answers"]) == (len(loved) + 1, 1)
    assert system.recommend(user)["strategy"] == "trending"
    again = system.post(user, (CATALOGUE[0].movie_id, 4.0), key=f"forget-{user}")
    assert (retried.status_code, again.status_code) == (202, 410)

    proof = system.freshet("user", "forget", str(user), "--verify")
    assert f"nothing is left of user {user}" in proof
    assert archive.contains(user) == 0

    position = system.rate(user, (loved[0].movie_id, 5.0))
    system.recommend_after(user, position)
    assert system.applied([user]) == {user: 1}
    system.freshet("verify")


def test_what_is_left_is_named(system: System) -> None:
    """Nobody edits the dead letters."""
    user = system.user()
    (place,) = system.produce(system.topics.ratings, Outgoing(b"%d" % user, b"{"))
    eventually(lambda: place in {(it.partition, it.offset) for it in letters(system)})
    said = system.freshet("user", "forget", str(user), "--verify", status=1)
    assert f"{system.topics.ratings}/{place.partition}/{place.offset}" in said


def forget(system: System, user: int) -> dict[str, int]:
    answer = system.api.delete(f"/api/v1/users/{user}", params={"wait_ms": 10_000})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def letters(system: System) -> list[Buried]:
    return read_dead_letters(system.kafka, system.topics.dead_letters)
