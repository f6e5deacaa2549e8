"""Waiting until what people have just rated is in the state that a prediction is made from."""

from collections.abc import Mapping

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
) -> None:
    """Returns once the state includes what the question names, or its `wait_ms` have passed.

    At once where nobody knows how far the state is: the answer says that it could not be read.

    Raises ProblemError: a position is in a partition that has none of the question's people (422).
    """
    if partitions is None or not asked.after:
        return
    if isinstance(asked, BatchQuestion):
        theirs = {partition_of(pair.user_id, partitions) for pair in asked.pairs}
    else:
        theirs = {partition_of(asked.user_id, partitions)}
    positions = positions_of(asked)
    wrong = [
        FieldError(
            field=f"body.after[{at}]" if isinstance(asked, BatchQuestion) else "body.after",
            message=f"no events of who is asked about are in partition {position.partition}: "
            f"theirs are in {', '.join(map(str, sorted(theirs)))}",
        )
        for at, position in enumerate(positions)
        if position.partition not in theirs
    ]
    if wrong:
        raise invalid(wrong)
    latest: dict[int, LogPosition] = {}
    for position in positions:
        latest[position.partition] = max(position, latest.get(position.partition, position))
    deadline = Deadline.after(asked.wait_ms / 1_000)
    try:
        with stage("state"):
            for position in latest.values():
                await wait_for(store, position, int(deadline.left() * 1_000))
    except StoreUnavailable:
        return


def positions_of(asked: RatingQuestion | BatchQuestion) -> list[LogPosition]:
    """The events that the state shall include."""
    if isinstance(asked, BatchQuestion):
        return [LogPosition.parse(text) for text in asked.after]
    return [] if asked.after is None else [LogPosition.parse(asked.after)]


def all_included(
    asked: BatchQuestion, applied: Mapping[int, Position | None] | None
) -> bool | None:
    """Whether a state includes all that was named; None where nothing was.

    Args:
        asked: the question.
        applied: how far each partition had got; None where nobody knows.
    """
    if not asked.after:
        return None
    positions = positions_of(asked)
    return applied is not None and all(includes(applied.get(it.partition), it) for it in positions)
