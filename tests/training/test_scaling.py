import numpy as np
import polars as pl
import pytest

from training.scaling import Scale, scaled, scales


def test_by_hand() -> None:
    train = pl.DataFrame({"rating_mean": [1.0, 2.0, None, 6.0], "rating_count": [0, 1, 3, 7]})
    by = scales(train, ("rating_mean", "rating_count"))
    assert by["rating_mean"] == Scale(2.0, False, 3.0, pytest.approx(np.sqrt(14 / 3)))
    assert by["rating_count"] == Scale(
        2.0, True, pytest.approx(1.5 * np.log(2)), pytest.approx(np.log(2) * np.sqrt(1.25))
    )
    result = scaled(pl.DataFrame({"rating_mean": [None, 6.0], "rating_count": [1, None]}), by)
    assert result["rating_mean_scaled"].to_list() == pytest.approx(
        [-1 / np.sqrt(14 / 3), 3 / np.sqrt(14 / 3)]
    )
    assert result["rating_count_scaled"].to_list() == pytest.approx(
        [-0.5 / np.sqrt(1.25), (np.log(3) / np.log(2) - 1.5) / np.sqrt(1.25)]
    )
    assert result["imputed"].to_list() == [["rating_mean"], ["rating_count"]]
    assert result["rating_mean"].to_list() == [None, 6.0]


def test_the_training_data_has_mean_0_and_deviation_1() -> None:
    train = pl.DataFrame({"rating_trend": np.random.default_rng(0).normal(3, 2, 500)})
    values = scaled(train, scales(train, train.columns))["rating_trend_scaled"].to_numpy()
    assert values.mean() == pytest.approx(0, abs=1e-6)
    assert values.std() == pytest.approx(1, abs=1e-6)
    assert scaled(train, scales(train, train.columns))["imputed"].list.len().sum() == 0


def test_a_feature_that_training_data_do_not_tell_apart_or_not_at_all() -> None:
    train = pl.DataFrame({"rating_high": [5.0, 5.0], "release_year": [None, None]})
    later = pl.DataFrame({"rating_high": [4.0, None], "release_year": [None, 3.0]})
    result = scaled(later, scales(train, train.columns))
    assert result["rating_high_scaled"].to_list() == [-1, 0]
    assert result["release_year_scaled"].to_list() == [0, 3]
