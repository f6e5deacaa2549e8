import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from math import log2, nan, sqrt
from pathlib import Path

import numpy as np
import pytest

from stream.contracts.errors import ConfigurationError, DatasetError
from tests.training.build import clubs, ratings
from tests.training.tunable import MODELS, Acquainted, ByRow
from training import offline
from training.baselines import catalogue
from training.dataset import Ratings
from training.exam import Exam
from training.offline import Protocol, compared, evaluate
from training.runs import Question, Result, Runs
from training.split import TEST, KFold, LastOut, Random, Split, StrongGeneralisation
from training.summary import Summary
from training.task import task

# Three users, the last rating of each to be found, the one before for validation.
SMALL = ratings(
    [
        (1, 1, 3.0, 1), (1, 2, 3.0, 2), (1, 6, 4.5, 3),
        (2, 6, 3.0, 1), (2, 5, 3.0, 2), (2, 1, 3.0, 3),
        (3, 5, 3.0, 1), (3, 4, 4.0, 2), (3, 3, 3.0, 3),
    ]
)  # fmt: skip


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MODELS", {**catalogue.MODELS, **MODELS})


def run(of: Ratings, models: list[str], protocol: Protocol, runs: Runs) -> Mapping[str, Result]:
    results = evaluate(of, "planted", models, protocol, runs)
    return {result.question.model: result for result in results}


def test_a_protocol_by_hand(tmp_path: Path) -> None:
    """From the last row on: user 1 is shown 6 5 4 3 and 6 is right, user 2 is shown 4 3 2 1 and 1
    is, user 3 is shown 6 3 2 1 and 3 is."""
    found = run(SMALL, ["by-row"], Protocol(LastOut(), (1, 2, 5, 20)), Runs(tmp_path))["by-row"]
    figures = found.figures
    assert figures["ndcg@5"] == pytest.approx((1 + 1 / log2(5) + 1 / log2(3)) / 3)
    assert figures["mrr@5"] == pytest.approx((1 + 1 / 4 + 1 / 2) / 3)
    assert figures["hit_rate@2"] == pytest.approx(2 / 3)
    assert figures["precision@2"] == pytest.approx(1 / 3)
    assert figures["coverage@2"] == pytest.approx(4 / 6)
    # Movie 5 is the most popular one, so that it is a surprise that 6 is right; of the first five
    # places all are expected, since everybody has but four movies left.
    assert figures["serendipity@1"] == pytest.approx(1 / 3)
    assert figures["serendipity@5"] == 0
    assert figures["novelty@1"] == pytest.approx(log2(3))  # 6, 4 and 6: one of three users each
    # There are six movies: the other places are misses.
    assert figures["recall@20"] == 1
    assert figures["precision@20"] == pytest.approx(1 / 20)
    assert (figures["lists"], figures["users"], figures["held_out"]) == (3, 3, 3)
    assert figures["peak_bytes"] > 2**20
    assert found.lists["mrr@5"].tolist() == [1, 1 / 4, 1 / 2]
    assert found.users.tolist() == [1, 2, 3]


def test_hyperparameters_are_those_that_do_best_on_the_validation_part(tmp_path: Path) -> None:
    """By ranks among what each user has left in the training part: 1, 5, 4 from the first row on,
    5, 1, 2 from the last one on."""
    found = run(SMALL, ["by-row"], Protocol(LastOut(), (5,)), Runs(tmp_path))["by-row"]
    [choice] = found.details["choices"]
    assert choice["hyperparameters"] == {"descending": True}
    tried = {trial["hyperparameters"]["descending"]: trial["value"] for trial in choice["trials"]}
    assert tried == {
        False: pytest.approx((1 + 1 / log2(6) + 1 / log2(5)) / 3),
        True: pytest.approx((1 / log2(6) + 1 + 1 / log2(3)) / 3),
    }
    assert found.details["tuned_for"] == "ndcg@10"


def test_with_them_it_is_fitted_on_all_but_the_test_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, fit = [], offline.fit
    monkeypatch.setattr(
        offline, "fit", lambda *given: known.append(given[-1].half_stars.tolist()) or fit(*given)
    )
    run(SMALL, ["settled"], Protocol(LastOut(), (5,)), Runs(tmp_path))
    assert known == [[6, 6, 6, 6, 6, 8]]


def test_ratings_are_predicted_in_stars_and_tuned_for_that(tmp_path: Path) -> None:
    """Held out are 4.5, 3, 3; for validation 3, 3, 4."""
    found = run(SMALL, ["stars"], Protocol(LastOut(), (5,)), Runs(tmp_path))["stars"]
    assert found.figures["rmse"] == pytest.approx(sqrt(1.5**2 / 3))
    assert found.figures["mae"] == pytest.approx(0.5)
    low, high = found.details["intervals"]["mae"]
    assert 0 <= low < 0.5 < high <= 1.5
    [choice] = found.details["choices"]
    assert choice["hyperparameters"] == {"stars": 3.0}
    assert [trial["value"] for trial in choice["trials"]] == [
        pytest.approx(-sqrt((4 + 4 + 9) / 3)),
        pytest.approx(-sqrt(1 / 3)),
        pytest.approx(-sqrt(2 / 3)),
    ]


def exam(split: Split, relevant_from: int = 1) -> Exam:
    return Exam(task(SMALL, split.parts(SMALL)[0], TEST), (5,), relevant_from)


def test_only_what_was_liked_is_to_be_found_where_the_protocol_says_so() -> None:
    made = exam(LastOut(), relevant_from=9)
    model = ByRow(descending=True)
    model.fit(made.task.train)
    values = made.values(model, made.lists(model, 5))
    np.testing.assert_array_equal(values["ndcg@5"], [1, nan, nan])
    assert made.value(model, "ndcg@5") == 1
    with pytest.raises(DatasetError, match="none of the 3 held-out ratings has 5 stars, the best"):
        exam(LastOut(), relevant_from=10)


def test_a_model_is_asked_by_user_where_it_met_them_as_they_are() -> None:
    for split, first in ((LastOut(), 0), (StrongGeneralisation(0.4, 0.7), 5)):
        made = exam(split)
        model = Acquainted(descending=True)
        model.fit(made.task.train)
        shown = made.lists(model, 6)
        history = made.task.asked[np.arange(1)]
        seen = set(history.log.rows[history.starts[0] : history.ends[0]].tolist())
        best = [row for row in (range(6) if first == 0 else range(5, -1, -1)) if row not in seen]
        assert shown[0].tolist() == best + [-1] * len(seen)


def test_every_rating_is_asked_for_once_over_all_folds(tmp_path: Path) -> None:
    data = ratings(clubs(users=30, clubs=2))
    found = run(data, ["stars"], Protocol(KFold(3), (5,)), Runs(tmp_path))["stars"]
    assert found.figures["held_out"] == len(data)
    assert (found.figures["lists"], found.figures["users"]) == (3 * 30, 30)
    chosen = [choice["hyperparameters"] for choice in found.details["choices"]]
    assert chosen == [{"stars": 4.0}] * 3  # all have 4 stars
    assert found.figures["rmse"] == 0


def test_models_learn_from_what_is_to_be_found(tmp_path: Path) -> None:
    for relevant_from in (1, 8):
        protocol = Protocol(LastOut(), (5,), relevant_from=relevant_from)
        found = run(ratings(clubs(users=20)), ["popularity"], protocol, Runs(tmp_path))
        [choice] = found["popularity"].details["choices"]
        assert choice["hyperparameters"] == {"liked_from": relevant_from}


def test_planted_taste_is_found_and_told_from_chance(tmp_path: Path) -> None:
    data = ratings(clubs(users=150))
    runs, protocol = Runs(tmp_path), Protocol(Random(0.25), (5, 10))
    results = evaluate(data, "clubs", ["popularity", "ease"], protocol, runs)
    better = compared(results, "popularity", ["ndcg@10", "coverage@10"])
    assert list(better) == ["ease"]
    assert list(better["ease"]) == ["ndcg@10"]  # coverage is of all lists together
    assert better["ease"]["ndcg@10"].absolute.low > 0.2
    assert better["ease"]["ndcg@10"].p_value < 1e-9

    again = evaluate(data, "clubs", ["ease"], protocol, Runs(tmp_path / "elsewhere"))[0]
    for name, values in results[1].lists.items():
        np.testing.assert_array_equal(values, again.lists[name])
    named = {name for name in results[1].figures if "@" in name}
    assert named == {name for name in protocol.figures if "@" in name}


def test_an_interrupted_run_goes_on_after_the_last_finished_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ratings").write_bytes(pickle.dumps(SMALL))
    script = """
if __name__ == "__main__":  # the processes that fit import this too
    import pickle
    import sys
    from pathlib import Path
    from tests.training.tunable import MODELS
    from training.baselines import catalogue
    from training.offline import Protocol, evaluate
    from training.runs import Runs
    from training.split import LastOut

    catalogue.MODELS, here = MODELS, Path(sys.argv[1])
    small = pickle.loads((here / "ratings").read_bytes())
    evaluate(small, "planted", ["settled", "by-row", "endless"], Protocol(LastOut()), Runs(here))
"""
    (tmp_path / "run.py").write_text(script)
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, tmp_path / "run.py", tmp_path], env={"PYTHONPATH": str(root)}
    )
    try:
        while process.poll() is None and len(list(tmp_path.glob("*.json"))) < 2:
            time.sleep(0.02)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    assert len(before) == 2

    fitted = []
    fit = offline.fit
    monkeypatch.setattr(offline, "fit", lambda name, *rest: fitted.append(name) or fit(name, *rest))
    monkeypatch.setitem(catalogue.MODELS, "endless", MODELS["settled"])
    found = run(SMALL, ["settled", "by-row", "endless"], Protocol(LastOut()), Runs(tmp_path))
    assert fitted == ["endless"]
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == before
    assert found["by-row"].lists["mrr@5"].tolist() == [1, 1 / 4, 1 / 2]


def test_another_question_is_not_taken_for_an_old_one() -> None:
    asked = Protocol().question("planted", SMALL, "by-row")
    assert asked.key == Protocol().question("planted", SMALL, "by-row").key
    others = [
        Protocol(Random(0.2, seed=1)).question("planted", SMALL, "by-row"),
        Protocol(Random(0.3)).question("planted", SMALL, "by-row"),
        Protocol(ks=(5,)).question("planted", SMALL, "by-row"),
        Protocol(relevant_from=8).question("planted", SMALL, "by-row"),
        Protocol(tuned_for="mrr@10").question("planted", SMALL, "by-row"),
        Protocol().question("planted", SMALL.take(np.arange(8)), "by-row"),
        Protocol().question("planted", SMALL, "stars"),
    ]
    assert len({asked.key, *(other.key for other in others)}) == 8


def test_what_cannot_be_asked_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="no metric 'ndgc@10': give one of recall, "):
        Protocol(tuned_for="ndgc@10")
    with pytest.raises(ConfigurationError, match=r"cut at \[0, 5\]"):
        Protocol(ks=(0, 5))
    with pytest.raises(ConfigurationError, match="from 11 half stars: give 1 to 10"):
        Protocol(relevant_from=11)
    with pytest.raises(ConfigurationError, match="no figure 'auc': there are recall@5, "):
        Protocol().known(["ndcg@10", "auc"])
    with pytest.raises(ConfigurationError, match="no model 'eas': there are popularity"):
        evaluate(SMALL, "planted", ["eas"], Protocol(), Runs(Path("nowhere")))
    with pytest.raises(ConfigurationError, match="ByRow predicts no ratings"):
        exam(LastOut()).value(ByRow(), "rmse")


def result(model: str, errors: list[float]) -> Result:
    lists = {"squared_error": np.array(errors), "held_out": np.array([1.0, 3.0, 1.0])}
    question = Question(
        "offline", "planted", "", model, {"split": {"kind": "last"}, "relevant_from": 1}
    )
    details = {
        "intervals": {"rmse": [nan, nan]},
        "choices": [{"hyperparameters": {}, "trials": []}],
    }
    figures = {"rmse": 1.0, "fit_seconds": 1.0, "peak_bytes": 2**21, "model_bytes": 2**20}
    return Result(question, figures, details, np.array([1, 2, 3]), lists)


def test_errors_are_compared_rating_by_rating() -> None:
    pair = [result("one", [1.0, 2.0, 4.0]), result("other", [1.0, 1.0, 2.0])]
    difference = compared(pair, "one", ["squared_error", "absolute_error"])["other"]
    assert list(difference) == ["squared_error"]
    assert difference["squared_error"].absolute.value == pytest.approx(-(3 + 2) / 5)
    assert difference["squared_error"].relative.value == pytest.approx(-5 / 11)
    assert (difference["squared_error"].lists, difference["squared_error"].users) == (5, 3)
    with pytest.raises(ConfigurationError, match="'ease' is not among one, other"):
        compared(pair, "ease", [])


def test_a_summary_says_what_there_is_and_marks_what_is_not() -> None:
    pair = [result("one", [1.0, 2.0, 4.0]), result("other", [1.0, 1.0, 2.0])]
    summary = Summary(pair, "one", ["rmse", "ndcg@10"])
    assert summary.columns == ["model", "rmse", "ndcg@10", "squared_error beside one"]
    assert [[cell.value for cell in row] for row in summary.rows] == [
        ["one", "1.0000", "-", "-"],
        ["other", "1.0000", "-", "-45.5%"],
    ]
    assert summary.costs[0] == ["one", "1.0 s", "2 MB", "1.0 MB", "-"]
    assert summary.title == "planted: split last; relevant from 0.5 stars"
    assert "| other | 1.0000 | - | -45.5%<br>-50.0% to +0.0% |" in summary.markdown()
    assert summary.document()["models"][0]["details"]["intervals"] == {"rmse": [None, None]}
