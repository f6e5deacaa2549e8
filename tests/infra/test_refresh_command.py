"""How refreshes are started, and what their operator reads."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infra.cli import app
from infra.durations import seconds
from infra.refresher import NICENESS, apart, gate_policy, repeat
from stream.contracts.errors import ConfigurationError, FreshetError, Unavailable
from training.gate import Decision
from training.gate_policy import GatePolicy
from training.refresh import Report

PROMOTED = Decision("old", "new", True, ("new leads",), {"gain": 0.25})
REFUSED = Decision("old", "new", False, ("new does not lead",), {"gain": -0.25})


class Stopped(BaseException):
    """The scheduler is stopped."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path))
    monkeypatch.setenv("FRESHET_KAFKA_BOOTSTRAP_SERVERS", "nowhere:1")
    monkeypatch.setenv("FRESHET_REDIS_URL", "redis://nowhere:1")


def fail() -> None:
    raise Unavailable("MLflow does not answer")


def test_it_gives_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    own = os.nice(0)
    assert apart(os.nice, 0) == min(own + NICENESS, 19)
    monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    assert apart(os.getenv, "OMP_NUM_THREADS") == "1"
    assert apart(os.getenv, "RAYON_NUM_THREADS") == "1"
    # What else this process starts has as many threads as it has itself.
    assert (os.getenv("OMP_NUM_THREADS"), os.getenv("RAYON_NUM_THREADS")) == ("2", None)
    assert os.nice(0) == own


def test_what_fails_in_a_process_of_its_own_fails_here() -> None:
    with pytest.raises(FileNotFoundError):
        apart(os.stat, "nowhere")
    with pytest.raises(FreshetError, match="was killed, perhaps for lack of memory"):
        apart(os._exit, 1)


def test_what_was_missed_is_not_made_up_for() -> None:
    """Every 10 s; the second run takes 25, so the third comes at once and the next 10 s later."""
    taken, now, begun = iter([1.0, 25.0, 2.0, 3.0]), [100.0], list[float]()

    def run() -> None:
        begun.append(now[0])
        now[0] += next(taken, 0)
        if len(begun) > 4:
            raise Stopped

    def wait(time: float) -> None:
        now[0] += time

    with pytest.raises(Stopped):
        repeat(run, 10.0, wait, lambda: now[0])
    assert begun == [100, 110, 135, 145, 155]


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("15m", 900), ("6h", 21_600), ("1d", 86_400)]
)
def test_durations(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["15", "m", "0m", "-5m", "1.5h", "15 m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no duration: give 90s, 15m, 6h or 1d"):
        seconds(text)


def test_a_policy_from_a_file(tmp_path: Path) -> None:
    assert gate_policy(None) == GatePolicy()
    path = tmp_path / "gate.toml"
    path.write_text('metric = "hit_rate@10"\nmin_gain = -0.01\n')
    assert gate_policy(path) == GatePolicy(metric="hit_rate@10", min_gain=-0.01)
    path.write_text("confidence = 1.5")
    with pytest.raises(ConfigurationError, match=r"confidence = 1\.5"):
        gate_policy(path)
    path.write_text("gain = 1")
    with pytest.raises(ConfigurationError, match="has no key gain: there are"):
        gate_policy(path)
    with pytest.raises(ConfigurationError, match="cannot be read as TOML"):
        gate_policy(tmp_path / "nowhere.toml")


def invoke(monkeypatch: pytest.MonkeyPatch, work: Callable[..., Report], *words: str) -> Result:
    """The command, with this in place of refreshing in a process of its own."""
    monkeypatch.setattr("infra.refresher.apart", lambda _, *args: work(*args))
    return CliRunner().invoke(app, ["refresh", *words])


@pytest.mark.parametrize(
    ("report", "said", "outcome"),
    [
        (Report(new=9, behind=2), "9 new events, 2 of the log not archived: too few", "waited"),
        (Report(new=900, decision=PROMOTED, remarks=["beware"]), "new is promoted", "promoted"),
        (Report(new=900, decision=REFUSED), "new is not promoted", "refused"),
    ],
)
def test_what_is_said_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Report, said: str, outcome: str
) -> None:
    report.seconds = {"train": 2.5}
    metrics = tmp_path / "refresh.prom"
    result = invoke(monkeypatch, lambda *_: report, "--metrics", str(metrics))
    assert result.exit_code == 0, result.output
    assert said in result.output
    assert all(remark in result.output for remark in report.remarks)
    if report.decision is not None:
        assert report.decision.reasons[0] in result.output
    counted = metrics.read_text()
    assert f'freshet_refresh_runs_total{{outcome="{outcome}"}} 1.0' in counted
    assert 'freshet_refresh_runs_total{outcome="failed"} 0.0' in counted
    assert f"freshet_refresh_new_events {report.new:.1f}" in counted
    assert 'freshet_refresh_step_seconds{step="train"} 2.5' in counted
    assert ('freshet_refresh_gate{figure="gain"} 0.25' in counted) is (outcome == "promoted")


def test_once_a_failure_is_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = tmp_path / "refresh.prom"
    result = invoke(monkeypatch, lambda *_: fail(), "--metrics", str(metrics))
    assert isinstance(result.exception, Unavailable)
    assert 'freshet_refresh_runs_total{outcome="failed"} 1.0' in metrics.read_text()


def test_again_and_again_a_failure_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([Unavailable("MLflow does not answer"), ValueError("a bug"), None, Stopped()])

    def work(*_: object) -> Report:
        failure = next(failures)
        if failure is not None:
            raise failure
        return Report()

    monkeypatch.setattr("infra.refresher.repeat", partial(repeat, wait=lambda _: None))
    metrics = tmp_path / "refresh.prom"
    words = ["--every", "15m", "--metrics", str(metrics)]
    monkeypatch.setattr("infra.refresher.apart", lambda _, *args: work(*args))
    with pytest.raises(Stopped):
        CliRunner().invoke(app, ["refresh", *words])
    counted = metrics.read_text()
    assert 'freshet_refresh_runs_total{outcome="failed"} 2.0' in counted
    assert 'freshet_refresh_runs_total{outcome="waited"} 1.0' in counted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gate", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--config", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--every", "soon"], "'soon' is no duration"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_run(
    monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    result = invoke(monkeypatch, lambda *_: pytest.fail("it ran"), *words)
    assert isinstance(result.exception, ConfigurationError)
    assert said in str(result.exception)


def test_without_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRESHET_REDIS_URL")
    result = invoke(monkeypatch, lambda *_: pytest.fail("it ran"))
    assert isinstance(result.exception, ConfigurationError)
    assert "no Redis is configured" in str(result.exception)
