from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training import runs
from training.runs import Question, Result, Runs

QUESTION = Question("offline", "ml-100k", "abc", "ease", {"seed": 1, "ks": [5, 10], "split": None})


def result(question: Question = QUESTION) -> Result:
    return Result(
        question,
        {"ndcg@10": 0.123456789012345678, "fit_seconds": 2.0},
        {"hyperparameters": {"l2": 300.0}, "tried": [[1, "a"], [2, "b"]]},
        np.array([4, 4, 9]),
        {"ndcg@10": np.array([0.1, np.nan, 1 / 3]), "hit@10": np.zeros(3)},
    )


def assert_same(one: Result | None, other: Result) -> None:
    assert one is not None
    assert (one.question, one.figures, one.details) == (
        other.question,
        other.figures,
        other.details,
    )
    np.testing.assert_array_equal(one.users, other.users)
    assert one.lists.keys() == other.lists.keys()
    for name, values in other.lists.items():
        np.testing.assert_array_equal(one.lists[name], values)


def test_what_is_kept_is_found_to_the_last_digit(tmp_path: Path) -> None:
    Runs(tmp_path / "deep" / "runs").keep(result())
    assert_same(Runs(tmp_path / "deep" / "runs").find(QUESTION), result())


def test_a_result_of_figures_alone(tmp_path: Path) -> None:
    plain = Result(QUESTION, {"ndcg@10": 0.5})
    Runs(tmp_path).keep(plain)
    assert_same(Runs(tmp_path).find(QUESTION), plain)


def test_before_there_are_any_nothing_is_found(tmp_path: Path) -> None:
    assert Runs(tmp_path / "nowhere").find(QUESTION) is None


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, protocol="prequential"),
        replace(QUESTION, dataset="ml-latest-small"),
        replace(QUESTION, digest="abd"),
        replace(QUESTION, model="ials"),
        replace(QUESTION, settings={**QUESTION.settings, "seed": 2}),
        replace(QUESTION, settings={**QUESTION.settings, "ks": [10, 5]}),
        replace(QUESTION, settings={**QUESTION.settings, "more": None}),
    ],
)
def test_another_question_finds_nothing(other: Question, tmp_path: Path) -> None:
    results = Runs(tmp_path)
    results.keep(result())
    assert results.find(other) is None
    results.keep(replace(result(other), figures={"ndcg@10": 0.9}))
    assert_same(results.find(QUESTION), result())


def test_the_order_of_the_settings_does_not_matter(tmp_path: Path) -> None:
    Runs(tmp_path).keep(result())
    settings = dict(reversed(QUESTION.settings.items()))
    assert Runs(tmp_path).find(replace(QUESTION, settings=settings)) is not None


def test_after_a_change_of_meaning_it_is_asked_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Runs(tmp_path).keep(result())
    monkeypatch.setattr(runs, "EVALUATION_VERSION", runs.EVALUATION_VERSION + 1)
    assert Runs(tmp_path).find(QUESTION) is None


def test_a_model_whose_files_are_deleted_is_asked_anew(tmp_path: Path) -> None:
    """As the help of `freshet eval` says to do after a change of its code."""
    other = result(replace(QUESTION, model="ials"))
    for one in (result(), other):
        Runs(tmp_path).keep(one)
    for path in tmp_path.glob("ease-*"):
        path.unlink()
    assert Runs(tmp_path).find(QUESTION) is None
    assert_same(Runs(tmp_path).find(other.question), other)


def test_a_newer_result_replaces_the_older(tmp_path: Path) -> None:
    Runs(tmp_path).keep(result())
    newer = replace(result(), figures={"ndcg@10": 0.7}, users=np.array([1]), lists={})
    Runs(tmp_path).keep(newer)
    assert_same(Runs(tmp_path).find(QUESTION), newer)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("reached", [0, 1])
def test_interrupted_it_is_not_there(
    reached: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the lists are written, and between them and the figures."""
    replaced = []

    def killed(self: Path, target: Path) -> Path:
        if len(replaced) == reached:
            raise KeyboardInterrupt
        replaced.append(target)
        return original(self, target)

    original = Path.replace
    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        Runs(tmp_path).keep(result())
    monkeypatch.undo()
    assert Runs(tmp_path).find(QUESTION) is None
    Runs(tmp_path).keep(result())
    assert_same(Runs(tmp_path).find(QUESTION), result())
