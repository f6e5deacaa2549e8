import pickle
from dataclasses import replace

import numpy as np
import pytest

from stream.contracts.errors import DatasetError
from tests.training.build import clubs, ratings
from training.baselines.catalogue import create
from training.dataset import LIKED, Ratings
from training.exam import Exam
from training.judges import JUDGES
from training.prequential import Questions, ask
from training.split import TEST, VALIDATION, Random, split_by_time
from training.task import task

LOG = ratings(clubs(users=80))


def value(objective: str, log: Ratings) -> float:
    judge = JUDGES[objective](log)
    model = create("ease", l2=30.0, recency=0.9, liked_from=1)
    model.fit(judge.train)
    return judge(model)


def test_values_are_those_of_the_protocols() -> None:
    [parts] = Random().parts(LOG)
    exam = Exam(task(LOG, parts, VALIDATION), (10,), 1)
    model = create("ease", l2=30.0, recency=0.9, liked_from=1)
    model.fit(exam.task.train)
    assert value("offline", LOG) == exam.value(model, "ndcg@10") > 0.3

    split = split_by_time(LOG)
    known = LOG.take(np.flatnonzero(LOG.times < split.test_from))
    asked = Questions.of(known, split.validation_from, LIKED)
    model.fit(asked.known)
    hits = ask(model, asked, "fresh") <= 10
    assert value("prequential", LOG) == hits.mean() > 0.3


def test_nothing_of_the_test_part_reaches_a_judge() -> None:
    """With other stars there, and by time with other movies too, a judge is the same to the bit."""
    [parts] = Random().parts(LOG)  # which movies there are decides it
    drawn = parts == TEST
    late = LOG.times >= split_by_time(LOG).test_from
    for objective, test in (("offline", drawn), ("prequential", late)):
        assert test.sum() > 50
        half_stars, rows = LOG.half_stars.copy(), LOG.rows.copy()
        half_stars[test] = 1
        if objective == "prequential":
            rows[test] = rows[test][::-1]
        spoiled = replace(LOG, half_stars=half_stars, rows=rows)
        judge, same = (pickle.dumps(JUDGES[objective](log)) for log in (LOG, spoiled))
        assert judge == same
        half_stars[np.flatnonzero(~test)[0]] = 1
        assert judge != pickle.dumps(JUDGES[objective](replace(spoiled, half_stars=half_stars)))


@pytest.mark.parametrize("objective", JUDGES)
def test_too_little_data(objective: str) -> None:
    with pytest.raises(DatasetError):
        JUDGES[objective](ratings([(1, 1, 4.0, 1), (1, 2, 4.0, 2)]))
