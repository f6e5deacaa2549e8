"""Waiting until what people have just rated is in the state that a prediction is made from."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from api.errors import FieldError, invalid
from api.lists.deadline import Deadline
from api.lists.freshness import LogPosition, includes, wait_for
from api.schemas.predictions import BatchQuestion, RatingQuestion
from api.stages import stage
from stream.contracts.errors import StoreUnavailable
from stream.contracts.keys import Position
from stream.contracts.topics import partition_of
from stream.store import StateStore


async def wait(
    store: StateStore, partitions: int | None, asked: RatingQuestion | BatchQuestion
) -> list[LogPosition]:
    """The events that the question names, once the state includes them or `wait_ms` have passed.

    At once where nobody knows how far the state is: the answer says that it could not be read.

    Raises ProblemError: a position is in a partition that has none of the question's people (422).
    """
    users, named = _named(asked)
    positions = list(named.values())
    if partitions is None or not positions:
        return positions
    theirs = {partition_of(user, partitions) for user in users}
    wrong = [
        FieldError(
            field=field,
            message=f"no events of who is asked about are in partition {position.partition}: "
            f"theirs are in {', '.join(map(str, sorted(theirs)))}",
        )
        for field, position in named.items()
        if position.partition not in theirs
    ]
    if wrong:
        raise invalid(wrong)
    latest: dict[int, LogPosition] = {}
    for position in positions:
        latest[position.partition] = max(position, latest.get(position.partition, position))
    deadline = Deadline.after(asked.wait_ms / 1_000)
    with suppress(StoreUnavailable), stage("state"):  # of which the answer will say so
        for position in latest.values():
            await wait_for(store, position, int(deadline.left() * 1_000))
    return positions


def _named(asked: RatingQuestion | BatchQuestion) -> tuple[set[int], dict[str, LogPosition]]:
    """Who is asked about, and by field the events that the state shall include."""
    if isinstance(asked, BatchQuestion):
        users = {pair.user_id for pair in asked.pairs}
        texts = {f"body.after[{at}]": text for at, text in enumerate(asked.after)}
    else:
        users = {asked.user_id}
        texts = {} if asked.after is None else {"body.after": asked.after}
    return users, {field: LogPosition.parse(text) for field, text in texts.items()}


def all_included(
    after: Sequence[LogPosition], applied: Mapping[int, Position | None] | None
) -> bool | None:
    """Whether a state includes all that was named; None where nothing was.

    Args:
        after: what was named.
        applied: how far each partition had got; None where nobody knows.
    """
    if not after:
        return None
    return applied is not None and all(includes(applied.get(it.partition), it) for it in after)
