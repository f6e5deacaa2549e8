import tomllib
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from stream.contracts.errors import ConfigurationError, FreshetError
from tests.training.build import ratings
from tests.training.judged import Climber, Height, Listed, Near
from training import search_space
from training.baselines import catalogue
from training.baselines.catalogue import Entry, create
from training.experiment import Experiment
from training.findings import columns, rows, write
from training.flat import Value, flat
from training.options import RunOptions
from training.search import work
from training.study import STARTUP_TRIALS, Objective, Plan, Pruning, Study

MODEL = "popularity-decayed"
TRAIN = ratings([(1, 1, 4.0, 1), (1, 2, 4.0, 2)])


def plan(objective: Objective = "offline", seed: int = 0, pruning: Pruning = "median") -> Plan:
    return Plan(
        model=MODEL,
        dataset="planted",
        digest="abc",
        objective=objective,
        settled={"liked_from": 1},
        seed=seed,
        pruning=pruning,
    )


def tried(study: Study) -> list[float]:
    return [trial.params["half_life"] for trial in study.trials]


def states(study: Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def test_the_known_best_is_found_and_the_first_trial_is_of_the_defaults(tmp_path: Path) -> None:
    study = Study(tmp_path, "s", plan())
    work(study, [Near(TRAIN, days=200.0)], 25)
    assert tried(study)[0] == 30.0
    [best] = study.front
    assert 150 < best.params["half_life"] < 260
    assert study.hyperparameters(best) == {**best.params, "liked_from": 1}


def test_a_study_that_was_interrupted_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = Study(tmp_path, "whole", plan())
    work(whole, [Near(TRAIN)], 14)
    for trials in (3, 12, 14):
        parts = Study(tmp_path, "parts", plan())
        work(parts, [Near(TRAIN)], trials)
        assert len(parts.trials) == trials
    assert tried(parts) == tried(whole)
    assert len(set(tried(whole))) == 14

    another = Study(tmp_path, "another", plan(seed=1))
    work(another, [Near(TRAIN)], 3)
    assert tried(another)[1:] != tried(whole)[1:3]


def test_a_trial_whose_worker_is_no_more_has_failed_and_keeps_its_number(tmp_path: Path) -> None:
    study, other = (Study(tmp_path, "s", plan()) for _ in range(2))
    with other.worker() as alive:
        with study.worker() as dead:
            study.begin(dead, 3)
        other.begin(alive, 3)
        assert states(study) == ["FAIL", "RUNNING"]
        work(study, [Near(TRAIN)], 3)  # of which one runs elsewhere
        assert states(study) == ["FAIL", "RUNNING", "COMPLETE", "COMPLETE"]
        study.fail_abandoned()
        assert states(study)[1] == "RUNNING"
    study.fail_abandoned()
    assert states(study)[1] == "FAIL"
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
    assert not list(tmp_path.glob("*.working"))


def test_a_time_after_which_no_trial_begins(tmp_path: Path) -> None:
    study = Study(tmp_path, "s", plan())
    work(study, [Near(TRAIN)], 3, end=0.0)
    assert study.trials == []
    with pytest.raises(FreshetError, match=r"no trial of the study .*s\.journal was finished"):
        _ = study.front


# Of these six, the second is worse than the first in both, and the fifth as good in one only.
VALUES = [(0.5, 0.5), (0.4, 0.5), (0.2, 0.8), (0.9, 0.1), (0.9, 0.05), (0.3, 0.6)]


def both(tmp_path: Path) -> Study:
    study = Study(tmp_path, "s", plan("both"))
    first, second = ([pair[which] for pair in VALUES] for which in (0, 1))
    work(study, [Listed(TRAIN, first), Listed(TRAIN, second)], len(VALUES))
    return study


def test_a_pareto_front_by_hand(tmp_path: Path) -> None:
    study = both(tmp_path)
    assert [trial.number for trial in study.front] == [3, 0, 5, 2]
    assert columns(study)[:3] == ["trial", "offline NDCG@10", "prequential hit@10"]
    assert [row[:4] for row in rows(study)[:2]] == [
        ["3", "0.9000", "0.1000", f"half_life {tried(study)[3]:.3g}"],
        ["0", "0.5000", "0.5000", "half_life 30"],
    ]
    assert len(rows(study)) == 4


def test_the_defaults_stand_below_what_is_better(tmp_path: Path) -> None:
    study = Study(tmp_path, "s", plan())
    work(study, [Listed(TRAIN, [0.1, 0.2, 0.3])], 3)
    assert [row[0] for row in rows(study)] == ["2", "0"]


def test_the_front_is_written_as_a_file_each(tmp_path: Path) -> None:
    study = both(tmp_path)
    paths = write(study, tmp_path / "out")
    assert [path.name for path in paths] == [f"s-{number}.lab.toml" for number in (3, 0, 5, 2)]
    assert paths[1].read_text() == f"[{MODEL}]\nhalf_life = 30.0\nliked_from = 1\n"


@pytest.fixture
def _climber(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {**catalogue.MODELS, "climber": Entry(f"{Climber.__module__}:Climber")}
    monkeypatch.setattr(catalogue, "MODELS", models)
    spaces = {**search_space.SPACES, "climber": {"talent": FloatDistribution(0.0, 1.0)}}
    monkeypatch.setattr(search_space, "SPACES", spaces)


def climb(tmp_path: Path, objective: Objective, pruning: Pruning, trials: int = 12) -> Study:
    of = Plan(model="climber", dataset="d", digest="a", objective=objective, pruning=pruning)
    study = Study(tmp_path, f"{objective}-{pruning}", of)
    work(study, [Height(TRAIN)] * len(study.objectives), trials)
    return study


@pytest.mark.usefixtures("_climber")
@pytest.mark.parametrize("pruning", ["median", "hyperband"])
def test_a_trial_that_falls_behind_is_given_up(tmp_path: Path, pruning: Pruning) -> None:
    study = climb(tmp_path, "offline", pruning)
    [best] = study.front
    assert best.values == [10 * best.params["talent"]]
    assert best.intermediate_values == {n: n * best.params["talent"] for n in range(1, 11)}
    given_up = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert given_up
    assert all(len(trial.intermediate_values) < 10 for trial in given_up)
    assert all(trial.params["talent"] < best.params["talent"] for trial in given_up)
    assert study.values(given_up[0]) == {}


@pytest.mark.usefixtures("_climber")
def test_the_median_decides_once_it_is_known(tmp_path: Path) -> None:
    """By hand: the defaults' 0.5, and the others."""
    study = climb(tmp_path, "offline", "median", STARTUP_TRIALS + 1)
    talents = [trial.params["talent"] for trial in study.trials]
    assert states(study)[:STARTUP_TRIALS] == ["COMPLETE"] * STARTUP_TRIALS
    number = STARTUP_TRIALS
    before = sorted(talents[:number])
    expected = "PRUNED" if talents[number] < before[2] else "COMPLETE"  # the third of five
    assert states(study)[number] == expected


@pytest.mark.usefixtures("_climber")
def test_with_two_objectives_or_without_pruning_none_is(tmp_path: Path) -> None:
    assert set(states(climb(tmp_path, "both", "median", 7))) == {"COMPLETE"}
    assert set(states(climb(tmp_path, "offline", "none", 7))) == {"COMPLETE"}


def test_a_study_goes_on_with_the_same_alone(tmp_path: Path) -> None:
    Study(tmp_path, "s", plan())
    Study(tmp_path, "s", plan())
    with pytest.raises(ConfigurationError, match=r"s\.journal is of another objective, .*seed"):
        Study(tmp_path, "s", plan("both", seed=1))


def test_no_such_objective_or_pruning() -> None:
    with pytest.raises(ConfigurationError, match="no objective 'ndcg': there are offline, preq"):
        plan("ndcg")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no pruning 'early': there are median, hyper"):
        plan(pruning="early")  # type: ignore[arg-type]


@pytest.mark.parametrize("model", search_space.SPACES)
def test_all_that_is_searched_can_be_made_and_the_defaults_are_among_it(model: str) -> None:
    defaults = catalogue.hyperparameters(create(model))
    for name, distribution in search_space.space(model).items():
        assert distribution._contains(distribution.to_internal_repr(defaults[name])), name
        ends = getattr(distribution, "choices", None) or (distribution.low, distribution.high)  # type: ignore[attr-defined]
        for value in ends:
            assert catalogue.hyperparameters(create(model, **{name: value}))[name] == value


def test_hyperparameters_from_texts() -> None:
    values = search_space.settled("ease", ["recency=0.9", "liked_from=1", "l2=300"])
    assert values == {"recency": 0.9, "liked_from": 1, "l2": 300.0}
    assert [type(value) for value in values.values()] == [float, int, float]
    assert search_space.settled("content", ["similarity=euclidean"]) == {"similarity": "euclidean"}
    assert list(search_space.space("ease", {"l2": 1.0})) == ["liked_from", "recency"]


@pytest.mark.parametrize(
    ("model", "assignment", "message"),
    [
        ("eas", "l2=1", "no model 'eas': there are popularity, "),
        ("ease", "l3=1", "ease has no hyperparameter 'l3': there are l2, liked_from, "),
        ("ease", "l2=much", "l2=much: 'much' is not of type float"),
        ("ease", "liked_from=1.5", "liked_from=1.5: '1.5' is not of type int"),
        ("towers", "max_epochs=0", "towers max_epochs = 0 is wrong: Expected `int` >= 1"),
        ("ease", "recency=nan", "ease recency = nan is wrong: Expected `float` > 0.0"),
    ],
)
def test_a_hyperparameter_that_cannot_be_set(model: str, assignment: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        search_space.settled(model, [assignment])


def test_nothing_to_search() -> None:
    with pytest.raises(ConfigurationError, match="nothing of 'random' is searched: of these mod"):
        search_space.space("random")
    values = {"half_life": 1.0, "liked_from": 1}
    with pytest.raises(ConfigurationError, match="is settled already: leave one of half_life, li"):
        search_space.space(MODEL, values)


def best_of_two(tmp_path: Path, model: str, **settled: Value) -> tuple[Study, Path]:
    """A study whose second trial is the better one, and the file of that."""
    study = Study(
        tmp_path, model, Plan(model=model, dataset="d", objective="offline", settled=settled)
    )
    with study.worker() as worker:
        for value in (0.1, 0.2):
            trial = study.begin(worker, 2)
            assert trial
            study.finish(trial, [value], TrialState.COMPLETE)
    assert study.front[0].number == 1  # not the defaults
    [path] = write(study, tmp_path)
    return study, path


@pytest.mark.parametrize(("model", "table"), [("towers", "towers"), ("two-stage", "two_stage")])
def test_what_is_found_of_what_is_served_is_an_experiment(
    tmp_path: Path, model: str, table: str
) -> None:
    study, path = best_of_two(tmp_path, model, max_epochs=3, objective="next")
    found = Experiment.load(path)
    assert found.run == RunOptions(max_epochs=3)
    tried = study.front[0].params
    assert {name: flat(getattr(found, table))[name] for name in tried} == tried


def test_what_is_not_served_is_a_table_of_the_lab(tmp_path: Path) -> None:
    study, path = best_of_two(tmp_path, "two-stage", objective="rest")
    assert path.name == f"{study.name}.lab.toml"
    assert tomllib.loads(path.read_text()) == {"two-stage": study.hyperparameters(study.front[0])}
