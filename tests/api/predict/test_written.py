"""What is written without pydantic is what the schema says, in its names and its order."""

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from api.predict.predictor import Answers
from api.predict.questions import Rated
from api.predict.written import written
from api.schemas.predictions import MovieBasis, Prediction
from stream.contracts.events import MAX_ID, MAX_MOVIE_ID
from training.rating_model import Predicted

BASES: list[MovieBasis] = ["learnt", "content", "unknown"]

stars = st.floats(0.5, 5, width=32)
pairs = st.lists(
    st.tuples(
        st.tuples(st.integers(1, MAX_ID), st.integers(1, MAX_MOVIE_ID)),
        st.integers(0, 20_000),  # ratings of the person
        st.tuples(stars, stars, stars),
        st.integers(0, 10),  # half stars of their own, 0 for none
        st.integers(0, 10**9),  # others who have rated the movie
        st.sampled_from(BASES),
    ),
    min_size=1,
    max_size=5,
)


@given(pairs, st.booleans())
def test_the_schema_would_say_the_same(
    asked: list[tuple[tuple[int, int], int, tuple[float, float, float], int, int, MovieBasis]],
    stateless: bool,
) -> None:
    ids, ratings, bounds, own, others, movies = zip(*asked, strict=True)
    of_pairs = np.arange(len(ids))
    answers = Answers(
        Predicted(*np.array(bounds, np.float32).T),
        Rated([], of_pairs, np.array(own)),
        np.array(others),
        movies,
        None,
    )
    for found, one in zip(written(ids, np.array(ratings), answers, stateless), asked, strict=True):
        said = Prediction.model_validate_json(msgspec.json.encode(found), strict=True)
        assert said.model_dump_json().encode() == msgspec.json.encode(found)
        (user, movie), count, (expected, low, high), half_stars, people, basis = one
        assert (said.user_id, said.movie_id) == (user, movie)
        assert (said.stars, said.low, said.high) == tuple(
            round(bound, 4) for bound in (expected, low, high)
        )
        assert said.rated == (half_stars / 2 or None)
        known = "unavailable" if stateless else "ratings" if count else "new"
        assert (said.basis.user, said.basis.user_ratings) == (known, count)
        assert said.basis.movie == basis
        assert said.basis.movie_ratings == people + (half_stars > 0)
