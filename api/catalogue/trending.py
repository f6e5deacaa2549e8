"""What is rated most of late, of the movies that somebody wants."""

from itertools import islice

from api.catalogue.counts import WINDOWS, counted_to, mean_of, shares
from api.catalogue.described import named
from api.catalogue.hottest import hottest
from api.lists.emptiness import impossible
from api.schemas.catalogue import TrendingMovie, TrendingMovies, Window
from api.serving.watcher import Serving
from training.movie_filter import MovieFilter


def trending(serving: Serving, window: Window, wanted: MovieFilter, limit: int) -> TrendingMovies:
    """At most `limit` of the wanted movies, the hottest first, of equal ones by id."""
    live = serving.live
    items = []
    if live.rated.any():
        share = shares(live, window)
        for row, movie in islice(hottest(serving, share, wanted, limit), limit):
            items.append(
                TrendingMovie(
                    **named(movie),
                    share=float(share[row]),
                    ratings=int(live.ratings[row]),
                    mean=mean_of(live, row),
                )
            )
    return TrendingMovies(
        window=window,
        half_life_days=WINDOWS[window].half_life,
        positions=counted_to(live),
        items=items,
        empty_because=None if items else _why_none(serving, wanted),
    )


def _why_none(serving: Serving, wanted: MovieFilter) -> str:
    if not serving.live.rated.any():
        return "nobody has rated anything yet"
    return impossible(serving, wanted) or "no movie that anybody has rated meets every filter"
