import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.contracts.errors import ConfigurationError, DatasetError
from tests.training.build import DAY, HOUR, clubs, ratings
from training import prequential_runs
from training.baselines import catalogue
from training.baselines.catalogue import Entry
from training.prequential_runs import (
    Protocol,
    by_age,
    by_day,
    difference,
    evaluate,
    values,
)
from training.prequential_summary import Summary
from training.runs import Question, Result, Runs

LOG = ratings(clubs(users=120))
PROTOCOL = Protocol(ks=(1, 10))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def results(runs: Runs) -> list[Result]:
    with pytest.MonkeyPatch.context() as patch:
        ease = catalogue.MODELS["ease"]._replace(space={"popularity": (1e3, 1e-6)})
        patch.setattr(catalogue, "MODELS", {**catalogue.MODELS, "ease": ease})
        return evaluate(LOG, "clubs", ["popularity", "ease"], PROTOCOL, runs)


def result(**lists: list[float]) -> Result:
    """Of lists that are known, named as in a result but for the slash."""
    named = {name.replace("_", "/"): np.array(column) for name, column in lists.items()}
    users = named.pop("users").astype(np.int64)
    return Result(Question("prequential", "made", "", "made", {}), {}, {}, users, named)


MADE = result(
    users=[1, 1, 2, 2, 2, 3],
    fresh_rank=[1, 2, 11, 10, 1, 3],
    frozen_rank=[1, 20, 11, 10, 7, 30],
    age=[0, 1, 2, 3, 49, 50],
    day=[0, 0, 1, 6, 7, 8],
)


def test_metrics_follow_from_ranks() -> None:
    assert values(MADE, "fresh", "hit_rate@10").tolist() == [1, 1, 0, 1, 1, 1]
    assert values(MADE, "fresh", "mrr@2").tolist() == [1, 0.5, 0, 0, 1, 0]
    assert values(MADE, "frozen", "ndcg@20")[3] == pytest.approx(1 / math.log2(11))


def test_ages_have_lower_bounds() -> None:
    groups = by_age(MADE, "fresh", "hit_rate@10")
    assert [(group.first, group.end) for group in groups] == [
        *((0, 1), (1, 3), (3, 5), (5, 10), (10, 20), (20, 50), (50, None))
    ]
    assert [group.mean.lists for group in groups] == [1, 2, 1, 0, 0, 1, 1]
    found = [group.mean.interval.value for group in groups]
    np.testing.assert_equal(found, [1, 0.5, 1, np.nan, np.nan, 1, 1])


def test_days_end_with_the_last() -> None:
    groups = by_day(MADE, "frozen", "hit_rate@10")
    assert [(group.first, group.end, group.mean.lists) for group in groups] == [
        *((0, 1, 2), (1, 2, 1), (2, 3, 0), (3, 7, 1), (7, None, 2))
    ]
    assert groups[-1].mean.interval.value == 0.5


def test_states_are_compared_question_by_question() -> None:
    found = difference(MADE, "fresh", MADE, "frozen", "hit_rate@10")
    assert found.absolute.value == pytest.approx(2 / 6)
    assert found.relative.value == pytest.approx(2 / 3)
    assert (found.lists, found.users) == (6, 3)


def test_other_questions_are_not_compared() -> None:
    other = result(users=[1, 2], fresh_rank=[1, 1], age=[0, 0], day=[0, 0])
    with pytest.raises(ConfigurationError, match="not asked the same questions"):
        difference(MADE, "fresh", other, "fresh", "hit_rate@10")


def test_what_a_result_says(results: list[Result]) -> None:
    _, ease = results
    figures = ease.figures
    assert figures["lists"] == len(ease.users) == len(ease.lists["fresh/rank"])
    hits = values(ease, "fresh", "hit_rate@10")
    assert figures["fresh/hit_rate@10"] == pytest.approx(hits.mean())
    low, high = ease.details["intervals"]["fresh/hit_rate@10"]
    assert low < figures["fresh/hit_rate@10"] < high
    [choice] = ease.details["choices"]
    assert choice["hyperparameters"] == {"popularity": 1e-6}
    popular, personal = choice["trials"]
    assert popular["hyperparameters"] == {"popularity": 1e3}
    assert popular["value"] < personal["value"]
    assert ease.details["since"] == sorted(LOG.times)[int(0.9 * len(LOG))]
    assert min(figures["fit_seconds"], figures["peak_bytes"], figures["fresh/seconds"]) > 0


def test_fresh_states_find_the_planted_clubs(results: list[Result]) -> None:
    popularity, ease = results
    for base, state in ((ease, "daily"), (ease, "frozen"), (popularity, "fresh")):
        found = difference(ease, "fresh", base, state, "hit_rate@10")  # type: ignore[arg-type]
        assert found.absolute.low > 0.3
        assert found.p_value < 1e-4


def test_what_is_finished_is_not_done_again(
    results: list[Result], runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(prequential_runs, "fit", fails)
    again = evaluate(LOG, "clubs", ["popularity"], PROTOCOL, runs)
    assert again[0].figures == results[0].figures
    np.testing.assert_array_equal(again[0].lists["daily/rank"], results[0].lists["daily/rank"])
    with pytest.raises(AssertionError, match="fitted again"):
        evaluate(LOG, "clubs", ["popularity"], Protocol(ks=(1, 20)), runs)


def test_an_interrupted_run_goes_on_after_the_last_model(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = Protocol(ks=(3,))
    tunable = Entry("tests.training.tunable:Tunable", {"trouble": "killed"})
    monkeypatch.setattr(catalogue, "MODELS", {**catalogue.MODELS, "tunable": tunable})
    with pytest.raises(Exception, match="was killed"):
        evaluate(LOG, "clubs", ["popularity", "tunable"], protocol, runs)
    asked = [protocol.question("clubs", LOG, name) for name in ("popularity", "tunable")]
    assert [runs.find(question) is not None for question in asked] == [True, False]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Protocol(states=("weekly",)), "no state 'weekly': there are fresh, daily, frozen"),  # type: ignore[arg-type]
        (lambda: Protocol(states=("fresh", "fresh")), "none twice"),
        (lambda: Protocol(states=()), "one or more"),
        (
            lambda: Protocol(tuned_for="auc@10"),
            "no metric 'auc@10' .* give one of hit_rate, ndcg, mrr",
        ),
        (lambda: Protocol(tuned_for="map@10"), "give one of hit_rate, ndcg, mrr"),
        (lambda: Protocol(ks=(0,)), "cannot be cut"),
        (lambda: Protocol(relevant_from=11), "give 1 to 10"),
        (lambda: Protocol(test=0), "leave nothing of one part"),
        (lambda: Protocol(validation=0.5, test=0.5), "leave nothing of one part"),
        (lambda: values(MADE, "daily", "mrr@5"), "no state 'daily' .* there are fresh, frozen"),
        (lambda: values(MADE, "fresh", "best@5"), "no metric 'best@5'"),
        (lambda: values(MADE, "fresh", "mrr@0"), "no metric 'mrr@0'"),
    ],
)
def test_wrong_words_list_the_right_ones(wrong: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        wrong()


def test_an_unknown_model_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no model 'best': there are popularity"):
        evaluate(LOG, "clubs", ["popularity", "best"], PROTOCOL, Runs(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_test_part_without_anything_to_ask_for(tmp_path: Path) -> None:
    disliked = ratings([(user, 1 + user % 3, 2.0, user * HOUR) for user in range(1, 50)])
    with pytest.raises(DatasetError, match="nothing to ask for: of 5 ratings"):
        evaluate(disliked, "disliked", ["popularity"], PROTOCOL, Runs(tmp_path))
    at_once = ratings([(user, 1, 5.0, DAY) for user in range(1, 50)])
    with pytest.raises(DatasetError, match="cannot be split by time"):
        evaluate(at_once, "at once", ["popularity"], PROTOCOL, Runs(tmp_path))


def test_a_summary_has_every_table(results: list[Result]) -> None:
    summary = Summary(results, "popularity", ["hit_rate@10", "ndcg@10"])
    figures, states, ages, days, costs = summary.tables
    assert [row[:2] for row in figures.rows] == [
        [model, state] for model in ("popularity", "ease") for state in PROTOCOL.states
    ]
    assert figures.rows[3][2][0] == f"{results[1].figures['fresh/hit_rate@10']:.4f}"
    assert states.columns == ["model", "fresh beside daily", "fresh beside frozen"]
    assert ages.columns == ["model", "state", *("0", "1-2", "3-4", "5-9", "10-19", "20-49", "50+")]
    assert sum(int(str(lists).replace(",", "")) for lists in days.rows[-1][2:]) == len(
        results[0].users
    )
    assert len(costs.rows) == 2
    assert summary.markdown().count("\n| ---") == 5


def test_a_summary_is_json(results: list[Result]) -> None:
    document = Summary(results, "popularity", ["hit_rate@10"]).document()
    first = document["differences"][0]
    assert (first["model"], first["state"], first["base_state"]) == ("popularity", "fresh", "daily")
    # Three pairs of states for each model, and three states beside the reference.
    assert len(document["differences"]) == 9
    fresh = document["groups"][3]
    assert (fresh["model"], fresh["state"]) == ("ease", "fresh")
    assert fresh["by_age"]["hit_rate@10"][0]["mean"]["lists"] > 0
