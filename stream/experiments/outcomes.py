"""What came of what was shown: a pure fold, per person, with what it adds to each variant's sums.

An impression is a list that a person was shown. Feedback belongs to the impression that it names,
where it came within a window after it. The two come in topics of their own, so either may be read
first; feedback that is early waits for its impression. What is counted of an impression is counted
once, however often it is repeated.

A variant's sums over people (how many, of each figure, and of the products of two figures) are all
that a report needs, and integers: in whatever order people come, they are the same.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from stream.contracts.events import ForgetEvent
from stream.contracts.experiments import ExposureEvent, FeedbackEvent, FeedbackKind

# What is counted for each person. Impressions, and those in which at least one movie was clicked,
# watched or skipped; ratings and their sum in half stars; of interleaved impressions those in which
# more of the other variant's movies were chosen, and those in which more of the control's were.
FIGURES: Final = (
    *("impressions", "clicked", "watched", "skipped", "ratings", "half_stars"),
    *("interleaved", "won", "lost"),
)
_AT: Final = {name: place for place, name in enumerate(FIGURES)}
_OF_KIND: Final[dict[FeedbackKind, str]] = {
    "click": "clicked",
    "watch": "watched",
    "skip": "skipped",
}

# ms that feedback may seem to come before its impression: clocks of two machines differ.
SKEW: Final = 60_000

# Impressions, and pieces of early feedback, kept of one person at most; the oldest go first. A
# list every five minutes of a day, or some 20 KB.
MOST_OPEN: Final = 300


class Key(NamedTuple):
    """A variant of an experiment, in one of its rounds."""

    experiment: str
    round: int
    variant: str


class Said(msgspec.Struct, array_like=True, frozen=True):
    """Feedback that waits for its impression."""

    impression: str
    movie: int
    kind: FeedbackKind
    value: float | None
    time: int


class Impression(msgspec.Struct, array_like=True):
    """A list that somebody was shown, as long as feedback may come.

    Attributes:
        time: ms since the epoch.
        counts_for: (experiment, round) of those whose totals it is counted in.
        movies: of the list, in order.
        teams: who chose each, where it is interleaved.
        done: (movie, kind) of clicks, watches and skips.
        ratings: by movie, in half stars.
    """

    time: int
    counts_for: list[tuple[str, int]]
    movies: list[int]
    teams: list[int]
    done: list[tuple[int, FeedbackKind]] = []
    ratings: dict[int, int] = {}

    def figures(self) -> list[int]:
        """What it adds to each of `FIGURES`."""
        counted = [0] * len(FIGURES)
        counted[_AT["impressions"]] = 1
        for _, kind in self.done:
            counted[_AT[_OF_KIND[kind]]] = 1
        counted[_AT["ratings"]] = len(self.ratings)
        counted[_AT["half_stars"]] = sum(self.ratings.values())
        if self.teams:
            # Team-draft interleaving: credit for the movies chosen (Radlinski et al., 2008).
            chosen = {movie for movie, kind in self.done if kind != "skip"}
            teams = [
                team for movie, team in zip(self.movies, self.teams, strict=True) if movie in chosen
            ]
            more = 2 * sum(teams) - len(teams)
            counted[_AT["interleaved"]] = 1
            counted[_AT["won"]] = int(more > 0)
            counted[_AT["lost"]] = int(more < 0)
        return counted


class Total(msgspec.Struct, array_like=True):
    """A person's figures under the variant that they had first in a round."""

    variant: str
    figures: list[int]


class Person(msgspec.Struct, array_like=True):
    """What is kept of one person.

    Attributes:
        totals: by (experiment, round).
        open: impressions that feedback may still come for, by id, oldest first.
        early: feedback without an impression so far, oldest first.
    """

    totals: dict[tuple[str, int], Total] = {}
    open: dict[str, Impression] = {}
    early: list[Said] = []


class Sums(Counter[tuple[Key, int, int]]):
    """What a batch adds to variants' sums: at (variant, a, b) that of the products of a and b.

    Figure 0 is 1 for each person, figure n the one before it in `FIGURES`; a <= b.
    """

    def replace(self, key: Key, before: Total | None, after: Total) -> None:
        """A person's total is another one now."""
        old = [0] * (len(FIGURES) + 1) if before is None else [1, *before.figures]
        new = [1, *after.figures]
        for a in range(len(new)):
            for b in range(a, len(new)):
                if more := new[a] * new[b] - old[a] * old[b]:
                    self[key, a, b] += more


def fold(
    people: dict[int, Person],
    events: Iterable[ExposureEvent | FeedbackEvent | ForgetEvent],
    window: int,
) -> Sums:
    """Apply events of one partition in the order of their topic.

    Args:
        people: by id, changed in place; who is missing is new. Who is forgotten has nothing in the
            end; what variants' sums have of them stays, for it says nothing of anyone.
        events: of one topic or the other.
        window: ms after an impression within which feedback counts.

    Returns:
        What is added to the sums.
    """
    sums = Sums()
    for event in events:
        if isinstance(event, ForgetEvent):
            people[event.user_id] = Person()
            continue
        person = people.setdefault(event.user_id, Person())
        if isinstance(event, ExposureEvent):
            _shown(person, event, window, sums)
        else:
            said = Said(
                event.impression_id, event.movie_id, event.kind, event.value, event.event_time
            )
            _heard(person, said, window, sums)
        _tidy(person, event.produced_time - 2 * window)
    return sums


def _shown(person: Person, event: ExposureEvent, window: int, sums: Sums) -> None:
    if event.impression_id in person.open:
        return
    counts_for = []
    for name, assigned in event.experiments.items():
        of = (name, assigned.round)
        total = person.totals.get(of)
        # Whoever is told another variant later, by an API that has not heard of a change yet, or
        # has heard of it early, stays with the first.
        if assigned.counted and (total is None or total.variant == assigned.variant):
            counts_for.append(of)
            if total is None:
                person.totals[of] = Total(assigned.variant, [0] * len(FIGURES))
                sums.replace(Key(*of, assigned.variant), None, person.totals[of])
    if not counts_for:
        return
    shown = Impression(event.event_time, counts_for, list(event.movies), list(event.teams))
    person.open[event.impression_id] = shown
    _add(person, shown, [0] * len(FIGURES), sums)
    for said in [it for it in person.early if it.impression == event.impression_id]:
        person.early.remove(said)
        _heard(person, said, window, sums)


def _heard(person: Person, said: Said, window: int, sums: Sums) -> None:
    shown = person.open.get(said.impression)
    if shown is None:
        person.early.append(said)
        return
    if said.movie not in shown.movies or not -SKEW <= said.time - shown.time <= window:
        return
    before = shown.figures()
    if said.kind == "rating":
        shown.ratings[said.movie] = int((said.value or 0) * 2)
    elif (said.movie, said.kind) not in shown.done:
        shown.done.append((said.movie, said.kind))
    _add(person, shown, before, sums)


def _add(person: Person, shown: Impression, before: list[int], sums: Sums) -> None:
    """Take what an impression counts now, beside what it did, into all totals and their sums."""
    more = [new - old for new, old in zip(shown.figures(), before, strict=True)]
    if not any(more):
        return
    for of in shown.counts_for:
        total = person.totals[of]
        after = Total(total.variant, [a + b for a, b in zip(total.figures, more, strict=True)])
        sums.replace(Key(*of, total.variant), total, after)
        person.totals[of] = after


def _tidy(person: Person, before: int) -> None:
    """Let go of what no feedback will come for any more, and of what is too much."""
    for impression in list(_old(person, before)):
        del person.open[impression]
    if person.early:
        person.early = [it for it in person.early if it.time >= before][-MOST_OPEN:]


def _old(person: Person, before: int) -> Iterator[str]:
    too_many = len(person.open) - MOST_OPEN
    for place, (impression, shown) in enumerate(person.open.items()):
        if shown.time < before or place < too_many:
            yield impression
