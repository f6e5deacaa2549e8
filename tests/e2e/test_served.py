"""What is served is what is evaluated: the API and the lab put the same movie in the same place."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infra.production import BEYOND, Answer
from infra.served import agree, answers_of, served
from infra.settings import Settings
from tests.planted_model import CATALOGUE, GENRES, Trait
from tests.training.build import DAY, HOUR, START, tables
from training.dataset import Ratings
from training.prequential import Questions
from training.served import Served

pytestmark = pytest.mark.e2e

SINCE = START + 5 * DAY
NEW = range(5_000, 5_010)  # movies that came after the model


def events() -> list[tuple[int, int, float, int]]:
    """People with a taste, most with some ratings by `SINCE`; ratings come two at a time."""
    chance = np.random.default_rng(3)
    found: list[tuple[int, int, float, int]] = []
    for user in range(1, 31):
        genre = GENRES[user % len(GENRES)]
        loved = [movie.movie_id for movie in CATALOGUE if movie.genre == genre]
        others = [movie.movie_id for movie in CATALOGUE if movie.genre != genre]
        movies = [*chance.choice(loved, 9, replace=False), *chance.choice(others, 2), NEW[user % 8]]
        movies = chance.permutation(movies).tolist()
        hour = int(chance.integers(115, 119))
        if user == 28:  # comes after the training, and begins with what the model does not know
            hour, movies[:2] = 121, NEW[-2:]
        if user > 28:  # comes after the training, and begins with what others have rated
            hour, movies = 121, [found[user][1], found[2 * user][1], *movies]
        for number, movie in enumerate(dict.fromkeys(movies)):
            stars = 4.5 if movie in loved else float(chance.integers(1, 11)) / 2
            found.append((user, int(movie), stars, (hour + number // 2) * HOUR))
    return found


@pytest.fixture(scope="module")
def log() -> Ratings:
    return Ratings.from_tables(*data())


def data() -> tuple[pa.Table, pa.Table]:
    return tables(events(), [*(movie.movie_id for movie in CATALOGUE), *NEW])


@pytest.fixture(scope="module")
def questions(log: Ratings) -> Questions:
    return Questions.of(log, SINCE, relevant_from=1)


@pytest.fixture(scope="module")
def answers(
    questions: Questions, models: dict[Trait, Path], tmp_path_factory: pytest.TempPathFactory
) -> list[Answer]:
    """Of a stack of its own: what is trending depends on everything that ever happened to it."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, kafka_partitions=4, qdrant_url=None)
    found = answers_of(settings, data()[1], questions, models["genre"])
    assert not list(home.iterdir())
    return found


def lab(model: Served, questions: Questions) -> Served:
    model.fit(questions.known)
    return model


def test_every_rank_is_the_same(
    questions: Questions, answers: list[Answer], models: dict[Trait, Path]
) -> None:
    agreement = agree(questions, answers, lab(served(models["genre"]), questions))
    assert agreement.lab.tolist() == agreement.production.tolist()
    assert len(answers) > 100
    found = Counter(answer.strategy for answer in answers if answer.rank < BEYOND)
    assert found.keys() == {"trending", "two_tower"}
    assert found.total() > len(answers) / 2


@pytest.mark.parametrize("broken", ["policy", "model", "state"])
def test_what_is_served_otherwise_is_seen(
    broken: str, questions: Questions, answers: list[Answer], models: dict[Trait, Path]
) -> None:
    model = served(models["decade" if broken == "model" else "genre"])
    if broken == "policy":
        model.trending = 3
    if broken == "state":  # one rating of one person is another one
        half_stars = questions.log.half_stars.copy()
        event = np.flatnonzero(questions.log.users == 10)[0]
        half_stars[event] = 11 - half_stars[event]
        questions = replace(questions, log=replace(questions.log, half_stars=half_stars))
    assert len(agree(questions, answers, lab(model, questions)).different)
