"""Finding movies by name: what is meant comes first."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from api.catalogue import search
from api.catalogue.names import NameIndex
from api.catalogue.search import CatalogueIndex
from api.catalogue.titles import names
from api.serving.live import LiveMovies
from stream.contracts.events import MovieEvent
from tests.api.conftest import catalogue_movie

# Title, and how many people have rated it. The id is the place, from 1.
KNOWN: Mapping[str, int] = {
    "Godfather, The (1972)": 192,
    "Godfather: Part II, The (1974)": 129,
    "Matrix, The (1999)": 278,
    "Matrix Reloaded, The (2003)": 96,
    "Star Wars: Episode IV - A New Hope (1977)": 251,
    "Star Trek (2009)": 59,
    "Star (2000)": 1,
    "Starship Troopers (1997)": 70,
    "Alien (1979)": 146,
    "Spider-Man (2002)": 122,
    "Shawshank Redemption, The (1994)": 317,
    "City of Lost Children, The (Cité des enfants perdus, La) (1995)": 38,
    "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)": 120,
    "Schindler's List (1993)": 220,
    "Lord of the Rings: The Two Towers, The (2002)": 188,
    "Seven Samurai (Shichinin no samurai) (1954)": 48,
    "Seven (a.k.a. Se7en) (1995)": 203,
    "Terminator, The (1984)": 131,
    "Blade Runner (1982)": 124,
    "Blade Runner 2049 (2017)": 18,
    "King Kong (1933)": 25,
    "King Kong (2005)": 32,
    "攻殻機動隊 (1995)": 5,
    "E.T. the Extra-Terrestrial (1982)": 122,
    "2001: A Space Odyssey (1968)": 109,
}


def catalogue(titles: Mapping[str, int]) -> dict[int, MovieEvent]:
    return {
        id_: structs.replace(catalogue_movie(id_, title), year=int(title[-5:-1]))
        for id_, title in enumerate(titles, start=1)
    }


def live(titles: Mapping[str, int]) -> LiveMovies:
    """The movies in another order than the index has them, one of them unknown to it."""
    ids = np.array([*range(len(titles), 0, -1), 999], np.uint32)
    ratings = np.array([*reversed(titles.values()), 7])
    zeros = np.zeros_like(ratings)
    return LiveMovies(ids, ratings > 0, np.stack([ratings, zeros, zeros]))


INDEX = CatalogueIndex(catalogue(KNOWN))
LIVE = live(KNOWN)


def find(query: str, limit: int = 10) -> list[tuple[str, str]]:
    hits = INDEX.find(query, limit, LIVE)
    return [(INDEX.catalogue[hit.movie_id].title, hit.match) for hit in hits]


@pytest.mark.parametrize(
    ("query", "title", "match"),
    [
        ("godf", "Godfather, The (1972)", "beginning"),
        ("the godf", "Godfather, The (1972)", "beginning"),
        ("the godfather", "Godfather, The (1972)", "exact"),
        ("godfather", "Godfather, The (1972)", "exact"),
        ("Godfather, The (1972)", "Godfather, The (1972)", "exact"),
        ("godfather 1974", "Godfather: Part II, The (1974)", "beginning"),
        ("king kong 1933", "King Kong (1933)", "exact"),
        ("king kong", "King Kong (2005)", "exact"),
        ("new hope", "Star Wars: Episode IV - A New Hope (1977)", "words"),
        ("rings lord", "Lord of the Rings: The Two Towers, The (2002)", "words"),
        ("la cite", "City of Lost Children, The (Cité des enfants perdus, La) (1995)", "beginning"),
        ("AMÉLIE", "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)", "exact"),
        ("schindlers", "Schindler's List (1993)", "beginning"),
        ("se7en", "Seven (a.k.a. Se7en) (1995)", "exact"),
        ("seven sam", "Seven Samurai (Shichinin no samurai) (1954)", "beginning"),
        ("2001", "2001: A Space Odyssey (1968)", "beginning"),
        ("blade runner 2049", "Blade Runner 2049 (2017)", "exact"),
        ("et", "E.T. the Extra-Terrestrial (1982)", "beginning"),
        ("攻殻", "攻殻機動隊 (1995)", "beginning"),
        ("godfater", "Godfather, The (1972)", "similar"),
        ("matirx", "Matrix, The (1999)", "similar"),
        ("shawshenk red", "Shawshank Redemption, The (1994)", "similar"),
        ("alein", "Alien (1979)", "similar"),
        ("spiderman", "Spider-Man (2002)", "similar"),
        ("starwars", "Star Wars: Episode IV - A New Hope (1977)", "similar"),
        ("terminater 1984", "Terminator, The (1984)", "similar"),
    ],
)
def test_what_is_meant_comes_first(query: str, title: str, match: str) -> None:
    assert find(query)[0] == (title, match)


def test_better_matches_first_and_of_equal_ones_the_most_rated() -> None:
    assert find("star", limit=4) == [
        ("Star (2000)", "exact"),
        ("Star Wars: Episode IV - A New Hope (1977)", "beginning"),
        ("Starship Troopers (1997)", "beginning"),
        ("Star Trek (2009)", "beginning"),
    ]


def test_only_as_many_as_wanted() -> None:
    assert len(find("s", limit=2)) == 2


@pytest.mark.parametrize("query", ["xyzzyqqq", "", " ", "?!", "\0", "al quixotic nonsense"])
def test_nothing_is_found_for_nothing(query: str) -> None:
    assert find(query) == []


def test_a_typo_of_two_letters_is_not_told_from_another_word() -> None:
    assert all(match != "similar" for _, match in find("zt"))


def test_without_movies() -> None:
    assert CatalogueIndex({}).find("the", 10, LiveMovies()) == []


def test_what_is_rated_now_counts() -> None:
    index, before = CatalogueIndex(catalogue(KNOWN)), LIVE
    assert [hit.ratings for hit in index.find("king kong", 2, before)] == [32, 25]
    now = dict(KNOWN) | {"King Kong (1933)": 33}
    assert [hit.ratings for hit in index.find("king kong", 2, live(now))] == [33, 32]


def test_an_index_made_from_another_finds_the_same() -> None:
    """Movies that came, went, and changed their title."""
    titles = dict(KNOWN)
    titles.pop("Star Trek (2009)")
    titles["Star Trek Beyond (2016)"] = 40
    known = CatalogueIndex(catalogue(titles), INDEX)
    fresh = CatalogueIndex(catalogue(titles))
    for query in ("star", "star trek beyond", "godfater", "s"):
        assert known.find(query, 10, live(titles)) == fresh.find(query, 10, live(titles))


Changes = st.dictionaries(
    st.integers(1, len(KNOWN) + 5), st.sampled_from([*KNOWN, "Star (1999)", "?!", "Godfather"])
)


@settings(max_examples=60, deadline=None)
@example(looks=[{1: "?!"}], limit=20)  # all that came lately has no name
@given(st.lists(Changes, min_size=1, max_size=3), st.integers(1, 20))
def test_what_came_lately_is_found_as_in_one_whole_index(
    looks: list[dict[int, str]], limit: int
) -> None:
    """Movies that came, changed their title, and got it back, over several looks."""
    movies, index = dict(INDEX.catalogue), INDEX
    for changes in looks:
        movies = movies | {id_: catalogue_movie(id_, title) for id_, title in changes.items()}
        index = CatalogueIndex(movies, index)
    whole = CatalogueIndex(movies)
    for query in ("star", "s", "godfater", "the godfather", "king kong 1933", "starwars 1977"):
        assert index.find(query, limit, LIVE) == whole.find(query, limit, LIVE)


def test_names_are_known_by_title_for_the_next_index() -> None:
    movies = {id_: catalogue_movie(id_, title) for id_, title in enumerate((*KNOWN, "?!", "Alien"))}
    index = NameIndex(movies, {})
    of_title = index.of_title()
    assert of_title == {movie.title: names(movie.title) for movie in movies.values()}
    assert len(of_title["Seven (a.k.a. Se7en) (1995)"]) == 2
    assert NameIndex(movies, of_title).names == index.names


def test_many_that_came_lately_are_put_into_the_large_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []

    def noted(movies: Mapping[int, MovieEvent], known: Mapping[str, tuple[str, ...]]) -> NameIndex:
        made.append(len(movies))
        return NameIndex(movies, known)

    monkeypatch.setattr(search, "NameIndex", noted)
    monkeypatch.setattr(search, "LATELY", 3)
    movies, index = dict(INDEX.catalogue), INDEX
    for id_ in range(101, 107):
        movies = movies | {id_: catalogue_movie(id_)}
        index = CatalogueIndex(movies, index)
    assert made == [1, 2, 3, len(KNOWN) + 4, 1, 2]


@given(st.sampled_from(sorted(KNOWN)), st.data())
def test_every_movie_is_found_by_the_beginning_of_its_title(
    title: str, data: st.DataObject
) -> None:
    length = data.draw(st.integers(4, len(title)))
    assert title in [found for found, _ in find(title[:length], limit=len(KNOWN))]


@settings(max_examples=100)
@given(st.sampled_from([title for title in KNOWN if len(title) > 16]), st.data())
def test_one_wrong_letter_hides_no_movie(title: str, data: st.DataObject) -> None:
    name = title[: title.index("(")].strip()
    at = data.draw(st.sampled_from([i for i, one in enumerate(name) if i and one.isalnum()]))
    typed = name[:at] + data.draw(st.sampled_from("qxz")) + name[at + 1 :]
    assert title in [found for found, _ in find(typed, limit=len(KNOWN))]


@given(st.text(max_size=100))
def test_whatever_is_typed_finds_distinct_movies(query: str) -> None:
    hits = INDEX.find(query, 5, LIVE)
    assert len({hit.movie_id for hit in hits}) == len(hits) <= 5
