"""What people think of movies, from the live state as of the API's last look."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from api.lists.freshness import LogPosition
from api.schemas.catalogue import LiveCounts, Window
from api.serving.live import LiveMovies
from stream.features import HEATS
from training.live import FLOOR
from training.tower_inputs import Floats, Ints


class _Decay(NamedTuple):
    """The live feature that a window reads, and days after which a rating counts half as much."""

    feature: str
    half_life: float


_ALL_RATINGS = {heat.name: _Decay(heat.name, heat.half_life) for heat in HEATS}
WINDOWS: Final[Mapping[Window, _Decay]] = {
    "month": _ALL_RATINGS["heat_30"],
    "year": _ALL_RATINGS["heat_365"],
}

_DECIMALS: Final = 3  # of stars
_SHARE_DECIMALS: Final = 6


def shares(live: LiveMovies, window: Window, rows: Ints | slice = slice(None)) -> Floats:
    """f32[k]: the share of the hottest movie's decayed ratings, 0..1, of these movies."""
    feature = live.features[WINDOWS[window].feature][rows]
    share = np.maximum(np.exp2(feature) - np.float32(FLOOR), 0).round(_SHARE_DECIMALS)
    return np.where(live.rated[rows], share, np.float32(0))


def counted_to(live: LiveMovies) -> list[str]:
    """The last event that is counted, of each partition that has any."""
    return [
        str(LogPosition(partition, offset - 1))
        for partition, offset in enumerate(live.offsets)
        if offset
    ]


def mean_of(live: LiveMovies, row: int) -> float:
    """The mean rating in stars of a movie that somebody has rated."""
    count, total, _ = live.sums[:, row].tolist()
    return round(float(total / count / 2), _DECIMALS)


def counts_of(live: LiveMovies, movie_id: int) -> LiveCounts:
    """What people think of one movie."""
    rows = np.flatnonzero(live.ids == movie_id)
    rows = rows[live.rated[rows]]
    if not len(rows):
        return LiveCounts(
            ratings=0,
            mean=None,
            std=None,
            heat=dict.fromkeys(WINDOWS, 0.0),
            positions=counted_to(live),
        )
    [count], [total], [squares] = live.sums[:, rows].tolist()
    variance = max(squares * count - total * total, 0) / count**2
    return LiveCounts(
        ratings=count,
        mean=mean_of(live, int(rows[0])),
        std=round(variance**0.5 / 2, _DECIMALS),
        heat={
            window: round(float(shares(live, window, rows)[0]), _SHARE_DECIMALS)
            for window in WINDOWS
        },
        positions=counted_to(live),
    )
