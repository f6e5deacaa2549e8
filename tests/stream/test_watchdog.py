"""A partition stands still when it is behind and has been at one place for longer than patience."""

from collections.abc import Mapping

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream.transport import Progress
from stream.watchdog import LONG, PATIENCE, Fetches, Mark, Watchdog

HERE, THERE = TP("ratings", 0), TP("ratings", 1)


def test_a_partition_that_stands_still_is_named_once_patience_is_over() -> None:
    watchdog = Watchdog(patience=10)
    standing, moving = Mark(True, 5), 0
    for now in range(0, 11, 2):
        moving += 1
        marks = {HERE: standing, THERE: Mark(True, moving)}
        assert watchdog.stalled(marks, now) == []
    assert watchdog.stalled({HERE: standing, THERE: Mark(True, moving + 1)}, 11) == [HERE]


def test_nothing_to_do_is_not_standing_still() -> None:
    watchdog = Watchdog(patience=10)
    watchdog.stalled({HERE: Mark(False, 5)}, 0)
    assert watchdog.stalled({HERE: Mark(False, 5)}, 1000) == []
    # What arrives after a quiet time has all the patience from then on.
    assert watchdog.stalled({HERE: Mark(True, 5)}, 1001) == []
    assert watchdog.stalled({HERE: Mark(True, 5)}, 1011) == []
    assert watchdog.stalled({HERE: Mark(True, 5)}, 1012) == [HERE]


def test_a_partition_that_was_away_begins_anew() -> None:
    watchdog = Watchdog(patience=10)
    watchdog.stalled({HERE: Mark(True, 5)}, 0)
    watchdog.stalled({}, 8)
    assert watchdog.stalled({HERE: Mark(True, 5)}, 12) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(1, 5)), max_size=30))
def test_agrees_with_a_look_at_the_whole_history(steps: list[tuple[bool, int, int]]) -> None:
    patience = 7
    watchdog = Watchdog(patience)
    now, history = 0, []
    for behind, at, passed in steps:
        now += passed
        history.append((now, Mark(behind, at)))
        same = now
        for when, mark in reversed(history):
            if mark != Mark(behind, at):
                break
            same = when
        expected = [HERE] if behind and now - same > patience else []
        assert watchdog.stalled({HERE: Mark(behind, at)}, now) == expected


class Looks:
    """At partitions, a second after one another."""

    def __init__(self) -> None:
        self.fetches, self.watchdog, self.now = Fetches(), Watchdog(), 0

    def stalled(
        self, seconds: float, progress: Mapping[TP, Progress], applied: Mapping[TP, int]
    ) -> set[TP]:
        """Who was found to stand still meanwhile; what is applied goes on by so much a second."""
        found: set[TP] = set()
        for _ in range(int(seconds) + 1):
            self.now += 1
            marks = self.fetches.marks(
                progress, lambda tp: applied.get(tp, 0) * self.now, float(self.now)
            )
            found |= {*self.watchdog.stalled(marks, self.now)}
        return found


LATER = Progress(fetched=10, end=12, unfinished=0)
BUSY = Progress(fetched=10, end=10, unfinished=5)


def test_who_waits_for_a_long_fetch_of_others_does_not_stand_still() -> None:
    looks = Looks()
    assert looks.stalled(3 * PATIENCE, {HERE: BUSY, THERE: LATER}, {HERE: 1}) == set()
    assert looks.stalled(PATIENCE + 1, {HERE: BUSY, THERE: LATER}, {}) == {HERE}


def test_what_was_fetched_together_is_finished_together() -> None:
    looks, together = Looks(), {HERE: BUSY, THERE: BUSY}
    assert looks.stalled(3 * PATIENCE, together, {HERE: 1}) == set()
    assert looks.stalled(PATIENCE + 1, together, {}) == {HERE, THERE}


def test_one_that_is_never_fetched_from_while_others_are_is_named() -> None:
    looks, found = Looks(), set[TP]()
    for fetch in range(int(PATIENCE / LONG) + 2):
        busy = Progress(fetched=fetch, end=fetch, unfinished=5)
        found |= looks.stalled(LONG - 1, {HERE: busy, THERE: LATER}, {HERE: 1})
    assert found == {THERE}
