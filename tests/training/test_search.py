from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream.contracts.errors import ConfigurationError, DatasetError, FreshetError
from tests.training.build import ratings
from tests.training.judged import Fatal, Together, Wrong
from training import search as module
from training.judges import Judge
from training.search import Effort, search
from training.study import WORKER, Plan, Study

SOME = ratings([(1, 1, 4.0, 1), (1, 2, 4.0, 2)])
PLAN = Plan(model="popularity-decayed", dataset="planted", digest="abc", objective="offline")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[Judge], None]:
    """Judge by this one; `search` makes it in this process and sends it to the workers."""

    def by(judge: Judge) -> None:
        monkeypatch.setattr(module, "JUDGES", {"offline": lambda ratings: judge})

    return by


def found(directory: Path, trials: int, workers: int = 1) -> list[tuple[int, str, Any]]:
    """Of each trial: number, state, what was tried."""
    study = search(directory, "s", PLAN, SOME, Effort(trials=trials, workers=workers))
    return [(one.number, one.state.name, one.params["half_life"]) for one in study.trials]


def test_two_workers_share_a_study(tmp_path: Path, judged: Callable[[Judge], None]) -> None:
    (tmp_path / "seen").mkdir()
    judged(Together(SOME, directory=tmp_path / "seen"))
    told: list[int] = []
    study = search(
        tmp_path / "study",
        "s",
        PLAN,
        SOME,
        Effort(trials=6, workers=2),
        lambda trials: told.append(len(trials)),
    )
    assert [trial.number for trial in study.trials] == list(range(6))
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}
    assert len({trial.params["half_life"] for trial in study.trials}) == 6
    assert len({trial.user_attrs[WORKER] for trial in study.trials}) == 2
    assert told == sorted(told)
    assert told[-1] == 6
    assert sorted(path.suffix for path in (tmp_path / "study").iterdir()) == [".journal", ".lock"]


def test_a_worker_that_is_killed_is_replaced_and_its_trial_keeps_its_number(
    tmp_path: Path, judged: Callable[[Judge], None]
) -> None:
    (tmp_path / "seen").mkdir()
    judged(Fatal(SOME, directory=tmp_path / "seen"))
    trials = found(tmp_path / "study", 3)
    assert [state for _, state, _ in trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert [number for number, _, _ in trials] == [0, 1, 2, 3]
    assert len({tried for _, _, tried in trials}) == 4


def test_workers_that_are_killed_again_and_again(
    tmp_path: Path, judged: Callable[[Judge], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KILLED", 2)
    (tmp_path / "seen").mkdir()
    judged(Fatal(SOME, directory=tmp_path / "seen", victims=100))
    with pytest.raises(FreshetError, match="2 workers in a row were killed: most likely"):
        found(tmp_path / "study", 9)


def test_what_goes_wrong_in_a_trial_ends_the_search(
    tmp_path: Path, judged: Callable[[Judge], None]
) -> None:
    judged(Wrong(SOME))
    with pytest.raises(DatasetError, match="nothing to learn from"):
        found(tmp_path, 2)
    assert [trial.state.name for trial in Study(tmp_path, "s", PLAN).trials] == ["FAIL"]


def test_no_effort() -> None:
    with pytest.raises(ConfigurationError, match="5 trials by 0 workers: give 1 of each at least"):
        Effort(trials=5, workers=0)
