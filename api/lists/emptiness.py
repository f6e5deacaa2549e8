"""Why a list has no movies."""

from collections.abc import Collection

from api.lists.asked import Case
from api.lists.everybody import Retrieved
from api.serving.watcher import Serving
from training.movie_filter import ALL_MOVIES, MovieFilter


def why_empty(case: Case, found: Retrieved) -> str:
    """One sentence, for whoever chose the filters."""
    if case.cursor is not None:
        return "there are no more movies"
    wanted = case.asked.wanted.filter
    if reason := impossible(case.serving, wanted):
        return reason
    if found.degraded:
        return "nothing was found without what `degraded` names"
    if wanted == ALL_MOVIES:
        return "everything that can be recommended is rated already"
    return "no movie that is not rated yet meets every filter"


def impossible(serving: Serving, wanted: MovieFilter) -> str | None:
    """Why filters leave no movie of those there are, None where it is not for the filters alone."""
    return contradiction(wanted) or _unknown_genres(wanted, serving)


def contradiction(wanted: MovieFilter) -> str | None:
    """Which filters no movie whatever can meet together, None where some could."""
    first, last = wanted.year_from, wanted.year_to
    if first is not None and last is not None and first > last:
        return f"`year_from` {first} is after `year_to` {last}"
    if both := wanted.genres_all & wanted.genres_none:
        return f"{_named(both)} cannot be both in `genres_all` and in `genres_none`"
    if wanted.genres_any and wanted.genres_any <= wanted.genres_none:
        return "every genre of `genres_any` is in `genres_none`"
    if wanted.only is not None and wanted.only <= wanted.exclude:
        return (
            "every movie of `only_ids` is in `exclude_ids`"
            if wanted.only
            else ("`only_ids` has no movie")
        )
    return None


def _unknown_genres(wanted: MovieFilter, serving: Serving) -> str | None:
    """Which genres no movie has, where that is why there are none."""
    asked = wanted.genres_any | wanted.genres_all
    if not asked:
        return None
    known = frozenset(
        serving.repertoire.table.genre_names  # to read the whole catalogue takes 20 ms
        if serving.repertoire is not None
        else (genre for movie in serving.catalogue.values() for genre in movie.genres)
    )
    unknown = wanted.genres_all - known
    if wanted.genres_any and wanted.genres_any.isdisjoint(known):
        unknown |= wanted.genres_any
    if not unknown:
        return None
    return f"no movie has the genre {_named(unknown)}; there are {_named(known)}"


def _named(genres: Collection[str]) -> str:
    return ", ".join(sorted(genres))
