import numpy as np
import pytest

from tests.training.report.made_up import offline, prequential
from training.report.reading import behind, behind_live, holm, who_is_fresh, who_leads


def test_holm_by_hand() -> None:
    # Ascending 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.5; never descending.
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm([0.4, 0.3]) == pytest.approx([0.6, 0.6])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_what_is_unknown_counts_for_nothing() -> None:
    first, second = holm([np.nan, 0.03])
    assert np.isnan(first)
    assert second == pytest.approx(0.03)


def test_a_clear_leader() -> None:
    results = [offline("popularity", 0.2), offline("ease", 0.4), offline("random", 0.1)]
    results[0].lists["ndcg@10"][:] += np.linspace(-0.02, 0.02, 40)
    others = behind(results, "ndcg@10")
    assert [other.model for other in others] == ["popularity", "random"]
    assert others[0].difference.absolute.value == pytest.approx(-0.2)
    text = who_leads(results, "ndcg@10", others)
    assert text.startswith("**ease** is best with NDCG@10 0.4000 (")
    assert "significantly ahead of all others: the next one, popularity, is 50.0% lower" in text
    assert text.endswith("Below popularity: random.")


def test_a_leader_by_chance() -> None:
    results = [offline("ease", 0.4), offline("ials", 0.399), offline("popularity", 0.2)]
    chance = np.random.default_rng(0)
    results[1].lists["ndcg@10"][:] += chance.normal(0, 0.05, 40)
    text = who_leads(results, "ndcg@10", behind(results, "ndcg@10"))
    assert "That may be chance beside ials" in text
    assert "significantly ahead" not in text


def test_a_model_alone() -> None:
    results = [offline("ease", 0.4)]
    assert "nothing was measured beside it" in who_leads(
        results, "ndcg@10", behind(results, "ndcg@10")
    )


def test_what_fresh_state_gains() -> None:
    ranks = {"fresh": 1, "daily": 11, "frozen": 11}
    results = [
        prequential("popularity", {"fresh": 10, "daily": 10, "frozen": 10}),
        prequential("ease", {**ranks, "daily": 10}),
    ]
    # Rank 1 and rank 10 are hits alike; NDCG tells them apart: 1 against 1 / log2(11).
    (other,) = behind_live(results, "fresh", "ndcg@10")
    assert other.model == "popularity"
    assert other.difference.relative.value == pytest.approx(1 / np.log2(11) - 1)
    text = who_is_fresh(results, "ndcg@10")
    assert "Its frozen state reaches 0.0000" in text
    assert "no significant difference to popularity" in text
    assert "With a first rating to predict, ease finds 0.800 (40 lists)" in text
