"""Titles as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.catalogue.titles import Wording, names, plain, without_article, worded


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Toy Story (1995)", ("toy story",)),
        ("Godfather, The (1972)", ("the godfather",)),
        (
            "City of Lost Children, The (Cité des enfants perdus, La) (1995)",
            ("the city of lost children", "la cite des enfants perdus"),
        ),
        ("Seven (a.k.a. Se7en) (1995)", ("seven", "se7en")),
        ("E.T. the Extra-Terrestrial (1982)", ("et the extra terrestrial",)),
        ("Schindler's List (1993)", ("schindlers list",)),
        ("Frontière(s) (2007)", ("frontiere s",)),
        ("Fast & Furious (2009)", ("fast and furious",)),
        ("Victor/Victoria (1982)", ("victor victoria",)),
        ("WALL·E (2008)", ("wall e",)),
        ("2001: A Space Odyssey (1968)", ("2001 a space odyssey",)),
        ("Good, the Bad and the Ugly, The (1966)", ("the good the bad and the ugly",)),
        ("Crouching Tiger, Hidden Dragon (2000)", ("crouching tiger hidden dragon",)),
        ("攻殻機動隊 (1995)", ("攻殻機動隊",)),
        ("... (1999)", ()),
    ],
)
def test_the_names_of_a_movie(title: str, expected: tuple[str, ...]) -> None:
    assert names(title) == expected


@pytest.mark.parametrize("name", ["the godfather", "la cite", "the"])
def test_a_name_without_its_article(name: str) -> None:
    expected = {"the godfather": "godfather", "la cite": "cite", "the": "the"}
    assert without_article(name) == expected[name]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("The Godf", Wording("the godf", "", None)),
        ("godfather, the", Wording("the godfather", "", None)),
        ("godfather 1972", Wording("godfather 1972", "godfather", 1972)),
        ("Godfather, The (1972)", Wording("the godfather 1972", "the godfather", 1972)),
        ("Godfather, The 1972", Wording("godfather the 1972", "the godfather", 1972)),
        ("Godfather, The (19", Wording("the godfather", "", None)),
        ("Seven (a.k.a. Se7en) (1995)", Wording("seven 1995", "seven", 1995)),
        ("(500) Days", Wording("500 days", "", None)),
        ("2001", Wording("2001", "", None)),
        ("blade runner 2049", Wording("blade runner 2049", "blade runner", 2049)),
        ("apollo 13", Wording("apollo 13", "", None)),
        ("\0 ?! ", Wording("", "", None)),
    ],
)
def test_what_somebody_typed(query: str, expected: Wording) -> None:
    assert worded(query) == expected


@given(st.text())
def test_plain_text_is_words_between_single_spaces(text: str) -> None:
    words = plain(text)
    assert words == " ".join(words.split())
    assert all(one.isalnum() or one == " " for one in words)
    assert plain(words) == words
