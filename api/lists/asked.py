"""What a client asks of one answer, and all that it is answered from."""

from dataclasses import dataclass

from api.lists.cursor import Cursor
from api.lists.deadline import Deadline
from api.lists.freshness import LogPosition, UserView
from api.lists.wanted import Wanted
from api.schemas.freshness import Freshness
from api.schemas.recommendations import DegradedReason
from api.serving.watcher import Serving


@dataclass(frozen=True, slots=True)
class Asked:
    """Which list, how fresh, how soon, and from where on.

    Attributes:
        wanted: the list; `limit` movies of it a page.
        after: an event of this user that the state shall include.
        wait_ms: how long to wait for that.
        timeout_ms: when the answer shall be there, waiting included; None: the API's own time for
            an answer, after `wait_ms` where there is something to wait for.
        cursor: where the page before ended; None for the first page.
        use_cache: whether an answer to the same question may be given again.
        explain: whether to say of each movie why it is in the list.
    """

    wanted: Wanted
    after: LogPosition | None = None
    wait_ms: int = 0
    timeout_ms: int | None = None
    cursor: str | None = None
    use_cache: bool = True
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One person's request, with everything that it is answered from.

    Attributes:
        user_id: who.
        asked: what.
        question: which list that is, see `question_of`.
        cursor: where the page before ended; None for the first page.
        view: the user's state, or why it could not be read.
        serving: what serves: no answer uses another one.
        deadline: by when the answer shall be there.
    """

    user_id: int
    asked: Asked
    question: bytes
    cursor: Cursor | None
    view: UserView | DegradedReason
    serving: Serving
    deadline: Deadline

    @property
    def known(self) -> UserView | None:
        """The state, None where it could not be read."""
        return self.view if isinstance(self.view, UserView) else None

    def freshness(self) -> Freshness:
        """Of what is made from the state."""
        if isinstance(self.view, UserView):
            return self.view.freshness()
        return Freshness(included=None if self.asked.after is None else False)
