"""One list made of two rankers' (team-draft interleaving: Radlinski et al., 2008)."""

from collections.abc import Callable, Hashable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def team_draft(
    control: Sequence[T],
    other: Sequence[T],
    limit: int,
    key: Callable[[T], Hashable],
    random: Random,
) -> tuple[list[T], list[int]]:
    """A list of at most `limit`, and whose each of them is: 0 the control's, 1 the other's.

    The two take turns in pairs of picks, as captains do: a coin says who is first in each pair, and
    each takes its best that is not taken. So at every depth both have as many places, half of them
    the earlier of a pair. Where one has nothing left, the other goes on alone.

    Args:
        control: best first, nothing twice.
        other: likewise.
        key: what makes two of them the same.
        random: the coin.
    """
    left = [iter(control), iter(other)]
    taken: set[Hashable] = set()
    found: list[T] = []
    teams: list[int] = []
    while len(found) < limit:
        before = len(found)
        for team in random.sample((0, 1), 2):
            pick = next((it for it in left[team] if key(it) not in taken), None)
            if pick is not None and len(found) < limit:
                taken.add(key(pick))
                found.append(pick)
                teams.append(team)
        if len(found) == before:
            break
    return found, teams
