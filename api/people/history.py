"""What a person has rated, a page at a time, the latest first."""

import re
from itertools import islice
from typing import Final, NamedTuple

from api.errors import FieldError, invalid
from api.lists.freshness import UserView
from api.schemas.users import History, RatedMovie
from api.serving.watcher import Serving

SECOND: Final = 1_000  # ms

# "seconds:movie id", the last one of a page, each within what a state holds.
_CURSOR: Final = re.compile(r"\d{1,10}:\d{1,10}", re.ASCII)


class Place(NamedTuple):
    """Of a rating in the history. None is moved by ratings that come, but for that of its movie."""

    seconds: int
    movie_id: int

    @classmethod
    def parse(cls, cursor: str) -> "Place":
        """Raises ProblemError (422) unless it is a cursor of a history."""
        if not _CURSOR.fullmatch(cursor):
            message = f"{cursor!r} is no cursor of a history: send `next_cursor` of the page before"
            raise invalid([FieldError(field="query.cursor", message=message)])
        return cls(*map(int, cursor.split(":")))

    def __str__(self) -> str:
        return f"{self.seconds}:{self.movie_id}"


def history_of(
    user_id: int, view: UserView, serving: Serving, limit: int, after: Place | None
) -> History:
    """A page of the ratings that stand.

    Args:
        user_id: whose.
        view: their state.
        serving: knows the movies.
        limit: how many ratings.
        after: the last one of the page before; None for the first page.
    """
    state = view.record.state
    stars = dict(zip(state.movie_ids().tolist(), state.ratings().tolist(), strict=True))
    times = state.seconds().tolist()
    places = sorted(map(Place, times, stars), reverse=True)
    rest = (place for place in places if after is None or place < after)
    page = list(islice(rest, limit))
    items = []
    for seconds, movie_id in page:
        movie = serving.movie(movie_id)
        items.append(
            RatedMovie(
                movie_id=movie_id,
                title=movie.title if movie else None,
                genres=list(movie.genres) if movie else [],
                year=movie.year if movie else None,
                rating=stars[movie_id],
                rated_at=seconds * SECOND,
            )
        )
    return History(
        user_id=user_id,
        total=len(places),
        freshness=view.freshness(),
        items=items,
        next_cursor=str(page[-1]) if next(rest, None) is not None else None,
    )
