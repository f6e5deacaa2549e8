"""What changed from one catalogue to the next."""

from hypothesis import given
from hypothesis import strategies as st

from api.serving.changes import changed_movies
from tests.api.conftest import catalogue_movie

Titles = st.dictionaries(st.integers(1, 9), st.sampled_from("abc"))


@given(Titles, Titles)
def test_what_was_put_into_a_copy_is_told(before: dict[int, str], changes: dict[int, str]) -> None:
    known = {id_: catalogue_movie(id_, title) for id_, title in before.items()}
    put = {id_: catalogue_movie(id_, title) for id_, title in changes.items()}
    changed = changed_movies(known, {**known, **put})
    assert {movie.movie_id: movie for movie in changed} == put
    assert len(changed) == len(put)


@given(Titles, Titles)
def test_nothing_that_differs_is_left_out(before: dict[int, str], after: dict[int, str]) -> None:
    """Whatever was made of what."""
    known = {id_: catalogue_movie(id_, title) for id_, title in before.items()}
    now = {id_: catalogue_movie(id_, title) for id_, title in after.items()}
    now |= {id_: known[id_] for id_ in (now.keys() & known.keys()) if now[id_] == known[id_]}
    told = {movie.movie_id for movie in changed_movies(known, now)}
    assert told >= {id_ for id_, movie in now.items() if known.get(id_) != movie}
