import numpy as np
import pytest

from training.dataset import Movie
from training.film_series import ALONE, series


def together(*titles: str) -> bool:
    """Whether they are one series, beside a film that is none."""
    movies = [Movie(row, title, (), 1990) for row, title in enumerate([*titles, "Fargo"])]
    found = series(movies)
    assert found[-1] == ALONE
    return bool((found[:-1] == found[0]).all() and found[0] != ALONE)


@pytest.mark.parametrize(
    "titles",
    [
        ("Toy Story", "Toy Story 2"),
        ("Godfather, The", "Godfather: Part II, The", "Godfather: Part III, The"),
        ("Alien", "Aliens", "Alien³ (a.k.a. Alien 3)", "Alien: Resurrection"),
        ("Terminator, The", "Terminator 2: Judgment Day"),
        ("Star Trek: The Wrath of Khan", "Star Trek III: The Search for Spock", "Star Trek"),
        ("Star Wars", "Empire Strikes Back, The", "Return of the Jedi"),
        ("Star Wars: Episode IV - A New Hope", "Star Wars: Episode V - The Empire Strikes Back"),
        (
            "Raiders of the Lost Ark (Indiana Jones and the Raiders of the Lost Ark)",
            "Indiana Jones and the Last Crusade",
        ),
        ("Back to the Future", "Back to the Future Part II"),
        ("Kill Bill: Vol. 1", "Kill Bill: Vol. 2"),
        ("Matrix, The", "Matrix Reloaded, The"),
    ],
)
def test_sequels_are_found_by_title(titles: tuple[str, ...]) -> None:
    assert together(*titles)


@pytest.mark.parametrize(
    "titles",
    [
        ("Sabrina", "Sabrina"),  # filmed twice
        ("Seven", "Seven Samurai"),
        ("Robin Hood: Men in Tights", "Robin Hood: Prince of Thieves"),
        ("Batman", "Batman Begins"),
        ("Heat", "Fly Away Home"),
    ],
)
def test_what_is_no_series(titles: tuple[str, ...]) -> None:
    assert not together(*titles)


def test_each_series_has_its_number_and_a_film_without_another_has_none() -> None:
    titles = ["Jaws", "Speed 2: Cruise Control", "Jaws 2", "Speed", "Apollo 13"]
    found = series([Movie(row, title, (), None) for row, title in enumerate(titles)])
    assert found[0] == found[2] != found[1] == found[3]
    assert found[4] == ALONE
    assert series([]).tolist() == []
    assert found.dtype == np.int64
