"""Which people play which part: worked by hand."""

from collections.abc import Mapping

import numpy as np
import pytest

from api.demo.roles import ENOUGH, Habits, cast
from stream.features import UserState
from stream.records import UserRecord
from training.index import IndexedMovie
from training.movie_table import MovieTable

GENRES = ("Action", "Comedy", "Drama", "Romance")
EACH = 40  # movies of each genre: those of Action are 1 to 40, those of Comedy 41 to 80, ...
MOVIES = MovieTable.of(
    [
        IndexedMovie(
            movie_id=id_,
            title=f"Movie {id_}",
            genres=(GENRES[(id_ - 1) // EACH],),
            year=2000,
            popularity=0,
        )
        for id_ in range(1, len(GENRES) * EACH + 1)
    ]
)


def record(ratings: Mapping[int, float]) -> UserRecord:
    """Someone's stars by movie."""
    return UserRecord(
        UserState(
            movies=np.array(list(ratings), "<u4").tobytes(),
            times=bytes(4 * len(ratings)),
            half_stars=bytes(int(2 * stars) for stars in ratings.values()),
            events=len(ratings),
        )
    )


def of(genre: str, count: int, stars: float = 4.0, first: int = 0) -> dict[int, float]:
    """So many movies of a genre, all with these stars."""
    begin = 1 + GENRES.index(genre) * EACH + first
    return dict.fromkeys(range(begin, begin + count), stars)


MIXED = of("Action", 5) | of("Comedy", 5) | of("Drama", 5) | of("Romance", 5)


def chosen(people: Mapping[int, Mapping[int, float]], *held_out: int) -> dict[str, int]:
    records = {user: record(ratings) for user, ratings in people.items()}
    habits = Habits.of(records, MOVIES, [user in held_out for user in records])
    return cast(habits, MOVIES.genre_names)


def test_habits() -> None:
    records = {7: record(of("Action", 2, 5.0) | of("Drama", 3, 2.0) | {9_999: 4.0}), 3: record({})}
    habits = Habits.of(records, MOVIES, [True, False])
    assert habits.users.tolist() == [7, 3]
    assert habits.ratings.tolist() == [6, 0]
    assert habits.sums.tolist() == [[10 + 10 + 3 * 4 + 8, 0], [100 + 100 + 3 * 16 + 64, 0]]
    assert habits.rated.T.tolist() == [[2, 0, 3, 0], [0, 0, 0, 0]]
    assert habits.liked.T.tolist() == [[2, 2, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert habits.held_out.tolist() == [True, False]


def test_who_is_read_twice_is_one_person() -> None:
    parts = [
        Habits.of({5: record(of("Action", 3)), 6: record({})}, MOVIES, [False, False]),
        Habits.of({5: record(of("Action", 4))}, MOVIES, [True]),
    ]
    habits = Habits.together(parts)
    assert habits.users.tolist() == [5, 6]
    assert habits.ratings.tolist() == [4, 0]
    assert habits.held_out.tolist() == [True, False]


def test_the_fan_of_a_genre_likes_it_more_than_others_do() -> None:
    """Five of 20 liked movies are everybody's share; more of them tell more."""
    people = {
        1: MIXED,
        2: of("Action", 15) | of("Drama", 5),
        3: of("Action", 30) | of("Drama", 10),  # the same share of more movies
        4: of("Action", 40, 2.0) | of("Romance", 12) | of("Comedy", 8),  # seen, and not liked
    }
    found = chosen(people)
    assert found["action-lover"] == 3
    assert found["romance-fan"] == 4


def test_a_film_buff_has_rated_much_and_of_all_kinds() -> None:
    people = {  # who like nothing, so that nobody is a fan of anything
        1: of("Action", 40, 3.0) | of("Drama", 20, 3.0),  # 60 of half the genres
        2: dict.fromkeys([*range(1, 10), *range(41, 50), *range(81, 90), *range(121, 130)], 3.0),
        3: of("Action", 37, 3.0) | of("Comedy", 2, 3.0) | of("Drama", 2, 3.0),  # two: not often
        4: dict.fromkeys(MIXED, 3.0),
    }
    assert chosen(people) == {"film-buff": 2}


def test_the_critic_has_the_lowest_mean_and_judges() -> None:
    people = {
        1: of("Comedy", 25, 3.0) | of("Drama", 25, 1.0),
        2: of("Comedy", 40, 0.5) | of("Drama", 20, 0.5),  # the same for everything
        3: of("Comedy", 25, 3.5) | of("Drama", 25, 1.0),
        4: of("Comedy", 25, 2.0) | of("Drama", 24, 0.5),  # too few to judge
        5: of("Action", 20, 3.0) | of("Comedy", 20, 3.0) | of("Romance", 20, 3.0),  # the buff
    }
    assert chosen(people) == {"film-buff": 5, "critic": 1}


def test_who_is_held_out_comes_first() -> None:
    people = {
        1: of("Action", 40) | of("Drama", 2),
        2: of("Action", 20) | of("Drama", 1),
        3: MIXED,
    }
    assert chosen(people)["action-lover"] == 1
    assert chosen(people, 2, 3)["action-lover"] == 2
    assert chosen(people, 3)["action-lover"] == 1  # of those that are, nobody is one
    assert chosen(people, 3)["romance-fan"] == 3


def test_of_equal_ones_the_lowest_id_wherever_it_was_read() -> None:
    fan = of("Action", 30) | of("Drama", 5)
    assert chosen({9: fan, 4: fan, 6: fan, 1: MIXED})["action-lover"] == 4


def test_nobody_plays_two_parts() -> None:
    people = {user: of("Action", 25, 5.0) | of("Drama", 25 + user, 1.0) for user in range(1, 9)}
    found = chosen(people)
    assert len(set(found.values())) == len(found) > 1


@pytest.mark.parametrize("people", [{}, {1: of("Action", ENOUGH - 1)}, {1: {9_999: 4.0}}])
def test_nobody_fits(people: Mapping[int, Mapping[int, float]]) -> None:
    assert chosen(people) == {}


def test_a_data_set_without_the_genre() -> None:
    other = MovieTable.of(
        [
            IndexedMovie(movie_id=id_, title="x", genres=("Noir",), year=None, popularity=0)
            for id_ in range(1, 41)
        ]
    )
    people = {user: record(dict.fromkeys(range(1, 30 + user), 4.0)) for user in (1, 2, 3)}
    found = cast(Habits.of(people, other, [False] * 3), other.genre_names)
    assert found == {"film-buff": 3}


def test_nothing_is_known_of_the_movies() -> None:
    none = MovieTable.of([])
    people = {user: record(MIXED) for user in (1, 2, 3)}
    assert cast(Habits.of(people, none, [False] * 3), none.genre_names) == {}
