"""Whether movies' counts differ by nothing but the ratings of people who were forgotten.

Live state keeps those counts, for they say nothing of anyone; an archive that has erased the
ratings cannot give them any more. What they were is gone for good, but not every difference can be
made of ratings.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from stream.features import HEATS, MovieState

MOST: Final = 10  # half stars of a rating

# How far sums of the same terms may be apart that were added in another order.
ROUNDING: Final = 1e-6

# The heat of newcomers may go either way: whom the archive has erased in part is new to the rest.
_GROWING: Final = [place for place, heat in enumerate(HEATS) if not heat.newcomers]

_NEVER_RATED: Final = MovieState()


def explained(
    erased: int,
    log: Mapping[int, MovieState],
    live: Mapping[int, MovieState],
    movies: Iterable[int],
) -> set[int]:
    """Those of `movies` of which `erased` more ratings in all can make what is live.

    Args:
        erased: how many ratings the log may lack.
        log: the movies by what is left of the log.
        live: the movies as they are.
        movies: which of them differ.
    """
    found = set()
    for movie in movies if erased else ():
        ours, theirs = log.get(movie, _NEVER_RATED), live.get(movie, _NEVER_RATED)
        more = theirs.count - ours.count
        if more <= erased and _adds_up(ours, theirs):
            found.add(movie)
            erased -= more
    return found


def _adds_up(log: MovieState, live: MovieState) -> bool:
    """Whether `live` can be `log` and more ratings.

    The ratings of n more people, of 1 to 10 half stars, have a sum s with n <= s <= 10 n; their
    squares have a sum q with s^2 <= n q (Cauchy-Schwarz), and q <= 11 s - 10 n, for no rating x has
    (x - 1) (10 - x) < 0. Every rating event adds to the heat, and moves the recent mean by its
    share.
    """
    n, s, q = (getattr(live, name) - getattr(log, name) for name in ("count", "total", "squares"))
    counts = 0 <= n <= s <= MOST * n and s <= q <= (MOST + 1) * s - MOST * n and s * s <= n * q
    heats = all(live.heats[place] >= log.heats[place] - ROUNDING for place in _GROWING)
    if not (counts and heats):
        return False
    share: float = min(2.0 ** (log.heat - live.heat), 1.0)  # of what is recent, in the log
    added = live.recent_mean - share * log.recent_mean
    return (1 - share) - ROUNDING <= added <= MOST * (1 - share) + ROUNDING
