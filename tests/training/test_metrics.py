"""Worked by hand, and beside trec_eval on random lists."""

from math import isnan, log2, nan

import numpy as np
import numpy.typing as npt
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from implicit.evaluation import ranking_metrics_at_k
from scipy.sparse import csr_matrix

from stream.contracts.errors import ConfigurationError
from training.metrics import (
    RANKING,
    Judged,
    Values,
    average_precision,
    graded_ndcg,
    hit_rate,
    judge,
    mae,
    metric,
    ndcg,
    precision,
    ranking,
    ranking_of_one,
    recall,
    reciprocal_rank,
    rmse,
)
from training.recommender import NOTHING, top
from training.tower_inputs import Ints

# Five lists of four. First: 2 of 3 relevant, at ranks 1 and 3; the best of them is not found.
# Second: the only one, at rank 4. Third: none of six. Fourth: all two that the user has left, and
# both right. Fifth: nothing at all is recommended.
LISTS = np.array(
    [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [7, 8, NOTHING, NOTHING], [NOTHING] * 4]
)
HELD = {
    0: {1: 2, 3: 1, 9: 4},
    1: {4: 5},
    2: dict.fromkeys(range(10, 16), 3),
    3: {7: 1, 8: 3},
    4: {0: 1},
}


def judged(lists: Ints, held: dict[int, dict[int, float]]) -> Judged:
    entries = [(of, row, gain) for of, gains in held.items() for row, gain in gains.items()]
    of, rows, gains = np.array(entries, np.float64).reshape(-1, 3).T
    return judge(lists, of.astype(np.int64), rows.astype(np.int64), gains)


J = judged(LISTS, HELD)


def test_judging_marks_what_was_held_out() -> None:
    assert J.gains.tolist() == [
        [2, 0, 1, 0],
        [0, 0, 0, 5],
        [0, 0, 0, 0],
        [1, 3, 0, 0],
        [0, 0, 0, 0],
    ]
    assert J.ideal.tolist() == [
        [4, 2, 1, 0],
        [5, 0, 0, 0],
        [3, 3, 3, 3],
        [3, 1, 0, 0],
        [1, 0, 0, 0],
    ]
    assert J.relevant.tolist() == [3, 1, 6, 2, 1]


def test_a_place_without_a_movie_is_not_the_last_movie_of_the_list_before() -> None:
    lists = np.array([[0, 9], [NOTHING, NOTHING]])
    assert not judge(lists, np.array([0, 0]), np.array([8, 9])).hits[1].any()


def test_of_a_movie_held_out_twice_the_last_one_counts() -> None:
    twice = judge(np.array([[5, 6]]), np.array([0, 0, 0]), np.array([5, 6, 5]), [4, 1, 2])
    assert twice.gains.tolist() == [[2, 1]]
    assert twice.relevant.tolist() == [2]
    taken_back = judge(np.array([[5, 6]]), np.array([0, 0]), np.array([5, 5]), [4, 0])
    assert taken_back.relevant.tolist() == [0]


def test_what_gains_nothing_is_not_relevant() -> None:
    some = judge(np.array([[5, 6, 7]]), np.array([0, 0]), np.array([5, 6]), [0, 1])
    assert some.hits.tolist() == [[False, True, False]]
    assert some.relevant.tolist() == [1]


@given(st.integers(0, 2**32 - 1))
def test_judging_is_looking_up_each_movie(seed: int) -> None:
    chance = np.random.default_rng(seed)
    lists, held = random_lists(chance, lists=5, movies=12, places=4)
    some = judged(lists, held)
    for n, gains in held.items():
        assert some.gains[n].tolist() == [gains.get(row, 0) for row in lists[n].tolist()]
        best = sorted(gains.values(), reverse=True) + [0] * 4
        assert some.ideal[n].tolist() == best[:4]
        assert some.relevant[n] == np.count_nonzero(list(gains.values()))


def test_recall() -> None:
    assert recall(J, 4) == pytest.approx([2 / 3, 1, 0, 1, 0])
    assert recall(J, 2) == pytest.approx([1 / 3, 0, 0, 1, 0])


def test_recall_is_not_divided_by_the_length_of_the_list() -> None:
    eight_relevant = judge(np.array([[0, 1, 2, 3]]), np.zeros(8, int), np.arange(8))
    assert recall(eight_relevant, 4) == [0.5]


def test_precision_is_divided_by_k_even_where_fewer_movies_are_left_or_relevant() -> None:
    assert precision(J, 4) == pytest.approx([2 / 4, 1 / 4, 0, 2 / 4, 0])
    assert precision(J, 1) == pytest.approx([1, 0, 0, 1, 0])


def test_hit_rate() -> None:
    assert hit_rate(J, 4).tolist() == [1, 1, 0, 1, 0]
    assert hit_rate(J, 3).tolist() == [1, 0, 0, 1, 0]


def test_ndcg() -> None:
    first = (1 / log2(2) + 1 / log2(4)) / (1 / log2(2) + 1 / log2(3) + 1 / log2(4))
    second = (1 / log2(5)) / (1 / log2(2))
    assert ndcg(J, 4) == pytest.approx([first, second, 0, 1, 0])


def test_ndcg_of_nothing_but_hits_is_one_however_many_are_relevant() -> None:
    nine_relevant = judge(np.array([[0, 1, 2, 3]]), np.zeros(9, int), np.arange(9))
    assert ndcg(nine_relevant, 4) == pytest.approx([1])
    assert ndcg(nine_relevant, 2) == pytest.approx([1])


def test_graded_ndcg() -> None:
    first = (2 / log2(2) + 1 / log2(4)) / (4 / log2(2) + 2 / log2(3) + 1 / log2(4))
    second = (5 / log2(5)) / (5 / log2(2))
    fourth = (1 / log2(2) + 3 / log2(3)) / (3 / log2(2) + 1 / log2(3))
    assert graded_ndcg(J, 4) == pytest.approx([first, second, 0, fourth, 0])
    assert graded_ndcg(J, 1) == pytest.approx([2 / 4, 0, 0, 1 / 3, 0])


def test_graded_ndcg_of_equal_grades_is_ndcg() -> None:
    threes = {n: dict.fromkeys(gains, 3) for n, gains in HELD.items()}
    assert graded_ndcg(judged(LISTS, threes), 4) == pytest.approx(ndcg(J, 4))


def test_average_precision() -> None:
    # Hits at ranks 1 and 3 of min(4, 3) possible: precisions 1 / 1 and 2 / 3.
    assert average_precision(J, 4) == pytest.approx([(1 + 2 / 3) / 3, 1 / 4, 0, 1, 0])
    assert average_precision(J, 2) == pytest.approx([1 / 2, 0, 0, 1, 0])


def test_reciprocal_rank() -> None:
    late = judged(np.array([[1, 2, 3, 4]]), {0: {2: 1, 3: 1}})
    assert reciprocal_rank(late, 4) == pytest.approx([1 / 2])
    assert reciprocal_rank(late, 1) == pytest.approx([0])
    assert reciprocal_rank(J, 4) == pytest.approx([1, 1 / 4, 0, 1, 0])


@pytest.mark.filterwarnings("error")
def test_a_list_for_which_nothing_is_relevant_has_no_value() -> None:
    for name, values in ranking(judged(LISTS[:2], {1: {4: 5}}), [1, 4]).items():
        assert isnan(values[0]), name
        assert not isnan(values[1]), name


@pytest.mark.filterwarnings("error")
def test_no_lists() -> None:
    none = judge(np.zeros((0, 4), np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert all(len(values) == 0 for values in ranking(none, [1, 4]).values())


def test_a_k_larger_than_the_catalogue() -> None:
    lists = top(np.array([[0.3, 0.2, 0.1]], np.float32), 10)
    some = judged(lists, {0: {0: 1, 2: 1}})
    assert {name: values.item() for name, values in ranking(some, [10]).items()} == pytest.approx(
        {
            "recall@10": 1,
            "precision@10": 2 / 10,
            "hit_rate@10": 1,
            "ndcg@10": (1 + 1 / log2(4)) / (1 + 1 / log2(3)),
            "graded_ndcg@10": (1 + 1 / log2(4)) / (1 + 1 / log2(3)),
            "map@10": (1 + 2 / 3) / 2,
            "mrr@10": 1,
        }
    )


def test_next_event_recall_is_the_hit_rate() -> None:
    lists = np.tile(np.arange(4), (5, 1))
    some = judge(lists, np.arange(5), np.arange(5))
    assert recall(some, 4).tolist() == hit_rate(some, 4).tolist() == [1, 1, 1, 1, 0]


def test_from_the_rank_of_the_only_relevant_movie() -> None:
    values = ranking_of_one(np.array([1, 3, 9]), [2, 4])
    assert values["recall@4"].tolist() == values["hit_rate@4"].tolist() == [1, 1, 0]
    assert values["precision@4"].tolist() == [1 / 4, 1 / 4, 0]
    assert values["ndcg@4"] == pytest.approx([1, 1 / log2(4), 0])
    assert values["map@4"].tolist() == values["mrr@4"].tolist() == [1, 1 / 3, 0]
    assert values["mrr@2"].tolist() == [1, 0, 0]


@given(st.lists(st.integers(1, 30), max_size=20))
def test_a_rank_says_as_much_as_the_list(of_lists: list[int]) -> None:
    ranks = np.array(of_lists, np.int64)
    lists = np.tile(np.arange(20), (len(ranks), 1))
    whole = ranking(judge(lists, np.arange(len(ranks)), ranks - 1), [1, 5, 20])
    by_rank = ranking_of_one(ranks, [1, 5, 20])
    assert whole.keys() == by_rank.keys()
    for name, values in whole.items():
        assert values == pytest.approx(by_rank[name]), name


def test_an_unknown_metric_names_those_that_exist() -> None:
    for wrong in ("auc@10", "ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@ten", "@10", ""):
        with pytest.raises(ConfigurationError, match="recall, precision, hit_rate, ndcg, graded"):
            metric(J, wrong)


def test_lists_shorter_than_k() -> None:
    with pytest.raises(ConfigurationError, match="map@5: the lists have 4 places; make them 5"):
        metric(J, "map@5")


def test_errors_of_predicted_ratings() -> None:
    predicted, actual = np.array([4.0, 3.0, 1.0], np.float32), np.array([5.0, 3.0, 4.0])
    assert rmse(predicted, actual) == pytest.approx(((1 + 0 + 9) / 3) ** 0.5)
    assert mae(predicted, actual) == pytest.approx((1 + 0 + 3) / 3)


@pytest.mark.filterwarnings("error")
def test_no_predicted_ratings() -> None:
    assert isnan(rmse([], []))
    assert isnan(mae([], []))


# --- trec_eval, through pytrec_eval, and implicit -------------------------------------------------

KS = (1, 3, 5, 10)


def random_lists(
    chance: np.random.Generator, lists: int, movies: int, places: int
) -> tuple[Ints, dict[int, dict[int, float]]]:
    """Lists of different lengths, some empty, and movies graded 0 to 5, 0 to all held out."""
    scores = chance.random((lists, movies))
    scores[chance.random((lists, movies)) < chance.random((lists, 1))] = -np.inf
    scores[chance.random(lists) < 0.1] = -np.inf
    held = {
        n: {
            row: float(chance.integers(0, 6))
            for row in chance.permutation(movies)[: chance.integers(0, movies + 1)].tolist()
        }
        for n in range(lists)
    }
    return top(scores.astype(np.float32), places), held


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, Values], dict[str, Values], Ints]:
    """Ours and trec_eval's values of the same lists, by their own names; and `relevant`.

    trec_eval takes scores, compares them as 32-bit floats and breaks ties by the id, descending:
    falling whole numbers keep the order of the list. Queries without any judged document, or with
    no relevant one, are 0 there or missing, and NaN here: those are left out.
    """
    lists, held = random_lists(np.random.default_rng(7), lists=400, movies=40, places=max(KS))
    some = judged(lists, held)
    run = {
        str(n): {str(row): float(-rank) for rank, row in enumerate(of) if row != NOTHING}
        for n, of in enumerate(lists.tolist())
    }
    cut = ("P", "recall", "success", "map_cut")
    grades = {str(n): {str(row): int(g) for row, g in of.items()} for n, of in held.items()}
    binary = {n: {row: min(g, 1) for row, g in of.items()} for n, of in grades.items()}
    at = ",".join(map(str, KS))
    theirs = _evaluated(
        binary, {f"{name}.{at}" for name in cut} | {f"ndcg_cut.{at}", "recip_rank"}, run
    )
    graded = _evaluated(grades, {f"ndcg_cut.{at}"}, run)
    theirs |= {f"graded_{name}": values for name, values in graded.items()}
    known = some.relevant > 0
    ours = {name: values[known] for name, values in ranking(some, KS).items()}
    return ours, {name: values[known] for name, values in theirs.items()}, some.relevant[known]


def _evaluated(
    grades: dict[str, dict[str, int]], measures: set[str], run: dict[str, dict[str, float]]
) -> dict[str, Values]:
    found = pytrec_eval.RelevanceEvaluator(grades, measures).evaluate(run)
    names = next(iter(found.values()))
    return {name: np.array([found[n][name] if n in found else nan for n in run]) for name in names}


AGREED = {
    "recall": "recall",
    "precision": "P",
    "hit_rate": "success",
    "ndcg": "ndcg_cut",
    "graded_ndcg": "graded_ndcg_cut",
}
Both = tuple[dict[str, Values], dict[str, Values], Ints]


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("name", AGREED)
def test_trec_eval_agrees(both: Both, name: str, k: int) -> None:
    ours, theirs, _ = both
    assert len(np.unique(ours[f"{name}@{k}"])) > 1
    assert ours[f"{name}@{k}"] == pytest.approx(theirs[f"{AGREED[name]}_{k}"], rel=0, abs=1e-9)


@pytest.mark.parametrize("k", KS)
def test_trec_eval_divides_average_precision_by_all_that_is_relevant(both: Both, k: int) -> None:
    ours, theirs, relevant = both
    converted = ours[f"map@{k}"] * np.minimum(k, relevant) / relevant
    assert converted == pytest.approx(theirs[f"map_cut_{k}"], rel=0, abs=1e-9)
    few = relevant <= k
    assert ours[f"map@{k}"][few] == pytest.approx(theirs[f"map_cut_{k}"][few], rel=0, abs=1e-9)
    found = theirs[f"map_cut_{k}"] > 0
    assert (ours[f"map@{k}"] > theirs[f"map_cut_{k}"])[found & ~few].all()


def test_trec_eval_does_not_cut_the_reciprocal_rank(both: Both) -> None:
    ours, theirs, _ = both
    whole = theirs["recip_rank"]
    assert ours["mrr@10"] == pytest.approx(whole, rel=0, abs=1e-9)
    assert ours["mrr@3"] == pytest.approx(np.where(whole >= 1 / 3, whole, 0), rel=0, abs=1e-9)


def test_implicit_agrees_but_for_precision() -> None:
    lists, held = random_lists(np.random.default_rng(3), lists=50, movies=30, places=10)
    full = {n: gains for n, gains in held.items() if NOTHING not in lists[n]}
    some = judged(lists, full)
    dense = np.zeros((len(lists), 30), np.float32)
    for n, gains in full.items():
        dense[n, list(gains)] = list(gains.values())
    theirs = ranking_metrics_at_k(
        Canned(lists.astype(np.int32)),
        csr_matrix(dense),
        csr_matrix(dense),
        K=10,
        show_progress=False,
    )
    ours = ranking(some, [10])
    assert theirs["ndcg"] == pytest.approx(np.nanmean(ours["ndcg@10"]), rel=0, abs=1e-9)
    assert theirs["map"] == pytest.approx(np.nanmean(ours["map@10"]), rel=0, abs=1e-9)
    possible = np.minimum(10, some.relevant).sum()
    assert theirs["precision"] == pytest.approx(some.hits.sum() / possible, rel=0, abs=1e-9)
    assert theirs["precision"] > np.nanmean(ours["precision@10"]) + 0.01


class Canned:
    """A model of `implicit` whose lists are known."""

    def __init__(self, lists: npt.NDArray[np.int32]) -> None:
        self.lists = lists

    def recommend(
        self, users: npt.NDArray[np.int32], *_: object, **__: object
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        return self.lists[users], np.zeros((len(users), self.lists.shape[1]), np.float32)


def test_every_metric_is_compared_with_trec_eval() -> None:
    assert set(RANKING) == {*AGREED, "map", "mrr"}
