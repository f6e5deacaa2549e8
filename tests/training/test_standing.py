import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.events import RatingEvent
from stream.features import fold
from tests.training.build import START, ratings
from training.histories import Histories
from training.standing import Standing, standing_of


def _event(user: int, movie: int, stars: float, seconds: int) -> RatingEvent:
    return RatingEvent(
        event_id=f"{user}-{movie}-{seconds}",
        user_id=user,
        movie_id=movie,
        rating=stars,
        event_time=seconds * 1000,
        produced_time=seconds * 1000,
        source="replay",
    )


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 6), st.sampled_from([0.5, 3.0, 4.0, 5.0])),
        min_size=1,
        max_size=30,
    )
)
def test_live_state_and_log_say_the_same(given_ratings: list[tuple[int, int, float]]) -> None:
    """Movie 6 is one that the model does not know."""
    log = ratings(
        [(*one, at * 1000) for at, one in enumerate(given_ratings)], movie_ids=range(1, 7)
    )
    events = [(at, _event(*one, START // 1000 + at)) for at, one in enumerate(given_ratings)]
    folded = fold({}, {}, events)
    users = sorted(folded.users)
    live = standing_of(
        [folded.users[user] for user in users],
        lambda ids: np.where(ids < 6, ids.astype(int) - 1, -1),
    )
    of_log = Histories.of_users(log, np.array(users)).standing()
    of_log = of_log._replace(rows=np.where(of_log.rows < 5, of_log.rows, -1))
    assert live.users == of_log.users
    for one, other in zip(live[1:], of_log[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_evidence_by_hand() -> None:
    """The second user's only rating is of an unknown movie; the first's dislike is no step."""
    standing = Standing(
        users=3,
        lists=np.array([0, 0, 0, 0, 1]),
        rows=np.array([2, 0, 1, -1, -1]),
        half_stars=np.array([8, 10, 2, 9, 10]),
    )
    liked = standing.evidence(3, liked_from=8, recency=0.5)
    np.testing.assert_array_equal(liked.toarray(), [[0.5, 0, 0.25], [0, 0, 0], [0, 0, 0]])
    assert liked.indices.dtype == liked.indptr.dtype == np.int32  # or links would be copied
    all_of_them = standing.evidence(3, liked_from=1, recency=0.5).toarray()
    np.testing.assert_array_equal(all_of_them, [[0.25, 0.5, 0.125], [0, 0, 0], [0, 0, 0]])


def test_evidence_that_has_faded_is_left_out() -> None:
    """0.85^28 is 0.0106, 0.85^29 is 0.0090; where nothing fades, everything counts."""
    steps = np.arange(100)
    standing = Standing(1, 0 * steps, steps, 0 * steps + 8)
    assert standing.evidence(100, 1, recency=0.85).indices.min() == 99 - 28
    assert standing.evidence(100, 1, recency=1).nnz == 100
