"""A person's state as it would be without some of their ratings: what each of them is worth."""

import numpy as np
import numpy.typing as npt

from stream.features import UserState


def keeping(state: UserState, kept: npt.NDArray[np.bool_]) -> UserState:
    """The state with these of the ratings that stand alone, in their order.

    Args:
        state: is left as it is.
        kept: bool[n] of the n ratings that stand.
    """
    of_kept = state.copy()
    of_kept.movies = state.movie_ids()[kept].tobytes()
    of_kept.times = state.seconds()[kept].tobytes()
    of_kept.half_stars = np.frombuffer(state.half_stars, np.uint8)[kept].tobytes()
    return of_kept
