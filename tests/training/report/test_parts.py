from pathlib import Path

import pytest

from stream.contracts.errors import ConfigurationError
from tests.training.build import clubs, ratings
from training import offline
from training.baselines import catalogue
from training.report.parts import FEW, OTHER_SPLITS, Part, measure, parts
from training.runs import Runs


def test_what_is_measured_on_a_data_set() -> None:
    every = [*FEW, "random"]
    found = parts("mine", "data/mine", every)
    assert list(found) == ["random", *OTHER_SPLITS, "prequential"]
    assert found["random"].models == found["prequential"].models == tuple(every)
    assert found["last"].models == FEW
    assert found["last"].command == (
        f"freshet eval offline --split last --dataset data/mine --models {','.join(FEW)}"
    )
    assert "published" in parts("ml-100k", "100k", every)


def test_all_models_need_not_be_listed() -> None:
    found = parts("mine", "mine", list(catalogue.MODELS))
    assert found["prequential"].command == "freshet eval prequential --dataset mine"


def test_models_that_predict_stars_are_asked_offline_only() -> None:
    found = parts("mine", "mine", list(catalogue.MODELS))
    assert "rating" in found["random"].models
    assert not {"rating", "linear", "biased-mf"} & set(found["prequential"].models)


def test_models_that_a_split_does_not_ask_leave_it_out() -> None:
    assert list(parts("ml-100k", "100k", ["random"])) == ["random", "prequential"]


def test_an_unknown_model_is_named_before_the_work() -> None:
    with pytest.raises(ConfigurationError, match="no model 'best'"):
        parts("mine", "mine", ["best"])


def test_a_model_that_fails_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = catalogue.Entry("tests.training.tunable:Tunable", {"trouble": "empty"})
    monkeypatch.setattr(catalogue, "MODELS", {**catalogue.MODELS, "empty": empty})
    log = ratings(clubs(users=30))
    wanted = {"random": Part(offline.Protocol(), ("empty", "random"), "")}
    told: list[tuple[str, str, str]] = []
    measured = measure(log, "clubs", wanted, Runs(tmp_path), lambda *news: told.append(news[:3]))[
        "random"
    ]
    assert [result.question.model for result in measured.results] == ["random"]
    assert measured.failed == {"empty": "nothing to learn from"}
    assert told[-1] == ("random", "random", "finished")
