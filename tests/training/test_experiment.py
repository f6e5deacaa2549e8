from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from stream.contracts.errors import ConfigurationError
from training.config import REST, Config
from training.experiment import Experiment
from training.flat import flat
from training.options import RunOptions
from training.two_stage import TwoStage
from training.user_towers import TowerConfig

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

OTHER = Experiment(
    towers=Config(towers=TowerConfig(dimensions=64), learning_rate=1e-5, batch_size=7),
    two_stage=TwoStage(recency=0.5, candidates=9),
    run=RunOptions(seed=3, precision="bfloat16", compile=True),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "experiment.toml"


@pytest.mark.parametrize("experiment", [Experiment(), OTHER], ids=["default", "other"])
def test_what_is_saved_is_loaded(experiment: Experiment, path: Path) -> None:
    experiment.save(path)
    assert Experiment.load(path) == experiment


def test_what_is_left_out_has_its_default(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("[towers]\ndimensions = 64\nlearning_rate = 1\n")
    towers = Config(towers=TowerConfig(dimensions=64), learning_rate=1.0)
    assert Experiment.load(path) == Experiment(towers=towers)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run", "cannot be read as TOML"),
        ("seed = 1", r"no table of an experiment is seed: use \[towers\]"),
        ("[tower]", r"no table of an experiment is tower: use \[towers\]"),
        ("[two_stage]\nseed = 1", r"\[two_stage\] has no seed: give it in \[run\]"),
        ("[two_stage]\nrecency = 'x'", r"\[two_stage\] recency = 'x' .*`float`, got `str`"),
        ("[run]\nepochs = 1", r"\[run\] has no key epochs: there are compile, .*max_epochs"),
        ("[two_stage]\nrecency = 0", r"\[two_stage\] recency = 0 .*`float` > 0.0"),
        ("[two_stage]\ndiversity = 1.0", r"\[two_stage\] diversity = 1.0 .*`float` < 1.0"),
        ("[two_stage]\nimpressions = 0", r"\[two_stage\] impressions = 0 .*`int` >= 1"),
        ("[towers]\ntowers = 1", r"\[towers\] has no key towers: there are .*dimensions"),
        ("[towers]\nbatch_size = '9'", r"\[towers\] batch_size = '9' .* `int`, got `str`"),
        ("[towers]\nbatch_size = 1.5", r"\[towers\] batch_size = 1.5 .* `int`, got `float`"),
        ("[towers]\naveraging = 1.0", r"\[towers\] averaging = 1.0 .*`float` < 1.0"),
        ("[towers]\nlearning_rate = nan", r"\[towers\] learning_rate = nan .*`float` > 0.0"),
        ("[towers]\ndimensions = 0", r"\[towers\] dimensions = 0 .*`int` >= 1"),
        ("[towers]\nobjective = 'x'", r"\[towers\] objective = 'x' .* there are 'next', 'rest'"),
        ("[run]\ncompile = 1", r"\[run\] compile = 1 .*`bool`, got `int`"),
        ("[run]\nprecision = 'f8'", r"\[run\] precision = 'f8' .* there are 'auto', 'float32'"),
    ],
)
def test_what_is_wrong_is_said(path: Path, text: str, message: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as raised:
        Experiment.load(path)
    assert str(path) in str(raised.value)


def test_no_file(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"experiment\.toml cannot be read"):
        Experiment.load(path)


def test_what_would_not_load_is_not_saved(path: Path) -> None:
    wrong = replace(OTHER, run=replace(OTHER.run, max_epochs=0))
    with pytest.raises(ConfigurationError, match=r"\[run\] max_epochs = 0"):
        wrong.save(path)
    assert not path.parent.exists()


TRAINED = sorted(set(EXPERIMENTS.glob("*.toml")) - set(EXPERIMENTS.glob("*.lab.toml")))


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.stem)
def test_the_experiments_that_are_there_load(path: Path) -> None:
    Experiment.load(path)


def test_the_default_experiment_is_that_of_no_file() -> None:
    assert Experiment.load(EXPERIMENTS / "default.toml") == Experiment()


def test_the_experiment_of_the_rest_has_the_hyperparameters_of_the_lab() -> None:
    assert Experiment.load(EXPERIMENTS / "rest.toml") == Experiment(towers=REST)


def test_no_two_values_have_the_same_name() -> None:
    def leaves(config: dict[str, Any]) -> int:
        return sum(leaves(x) if isinstance(x, dict) else 1 for x in config.values())

    assert len(flat(Config())) == leaves(asdict(Config()))
    tables = Experiment().tables.values()
    assert len(set().union(*tables)) == sum(map(len, tables))
