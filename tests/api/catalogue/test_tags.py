"""Finding movies by tag, and tags by what is typed of them."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from api.catalogue.search import CatalogueIndex
from api.catalogue.titles import plain
from stream.contracts.events import MovieEvent
from tests.api.conftest import catalogue_movie

Tags = tuple[str, ...]

KNOWN: Mapping[int, Tags] = {
    1: ("dystopia", "Stanley Kubrick"),
    2: ("Dystopia", "dystopic future", "!!!"),
    3: ("space opera", "sci-fi"),
    4: (),
    5: ("Sci Fi", "dystopia", "dystopia"),
    6: ("amélie", "opera"),
}


def catalogue(tags: Mapping[int, Tags]) -> dict[int, MovieEvent]:
    return {id_: structs.replace(catalogue_movie(id_), tags=own) for id_, own in tags.items()}


INDEX = CatalogueIndex(catalogue(KNOWN))


def named(index: CatalogueIndex, typed: str, limit: int = 10) -> list[tuple[str, int]]:
    return [(tag.name, tag.movies) for tag in index.tags.find(typed, limit)]


def test_movies_that_have_a_tag_however_it_is_written() -> None:
    for tag, movies in {
        "dystopia": [1, 2, 5],
        "SCI-FI ": [3, 5],
        "Amelie": [6],
        "kubrick": [],
        "!!!": [],
        "": [],
        "\U0010ffff": [],
    }.items():
        assert INDEX.tagged(tag).tolist() == movies, tag


def test_tags_with_words_that_begin_so_then_similar_ones() -> None:
    assert named(INDEX, "dys") == [("dystopia", 3), ("dystopic future", 1)]
    assert named(INDEX, "opera") == [("opera", 1), ("space opera", 1)]
    assert named(INDEX, "kub") == [("Stanley Kubrick", 1)]
    assert named(INDEX, "distopia") == [("dystopia", 3)]
    assert named(INDEX, "opéra s") == [("opera", 1)]
    assert named(INDEX, "western") == []
    assert named(INDEX, "fi") == [("sci-fi", 2)]


def test_without_anything_typed_the_most_common_ones() -> None:
    assert named(INDEX, "", 2) == [("dystopia", 3), ("sci-fi", 2)]
    assert len(named(INDEX, "")) == 7  # "!!!" is none
    assert named(CatalogueIndex({}), "") == named(CatalogueIndex(catalogue({1: ()})), "a") == []
    assert CatalogueIndex(catalogue({1: ()})).tagged("a").tolist() == []


some = st.sampled_from(["dystopia", "sci-fi", "space opera", "heist", "opera", "!!!"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.integers(1, 9), st.lists(some, unique=True, max_size=3).map(tuple)),
        max_size=3,
    )
)
def test_what_came_lately_is_found_as_in_one_whole_index(looks: list[dict[int, Tags]]) -> None:
    """Movies that came with tags, got others, and lost them, over several looks."""
    movies = catalogue(KNOWN)
    index = CatalogueIndex(movies)
    for changes in looks:
        movies = movies | catalogue(changes)
        index = CatalogueIndex(movies, index)
    whole = CatalogueIndex(movies)
    for typed in ("", "s", "opera", "dystopai"):
        found = {plain(name): count for name, count in named(index, typed)}
        assert found == {plain(name): count for name, count in named(whole, typed)}
    for tag in ("Dystopia", "sci fi", "heist", "opera", "stanley kubrick"):
        found_by = sorted(index.tagged(tag).tolist())
        assert found_by == sorted(
            id_ for id_, movie in movies.items() if plain(tag) in map(plain, movie.tags)
        )
