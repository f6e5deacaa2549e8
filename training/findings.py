"""What a study found, for people and for `freshet train`: the front as a table and as files."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import tomli_w
from optuna.trial import FrozenTrial, TrialState

from training.config import Config
from training.durable import write_file
from training.experiment import Experiment
from training.flat import Value, flat, parse
from training.options import RunOptions
from training.study import METRICS, SECONDS, Study
from training.two_stage import TwoStage


def columns(study: Study) -> list[str]:
    """Of `rows`."""
    return ["trial", *(METRICS[objective] for objective in study.objectives), "tried", "fit, asked"]


def rows(study: Study) -> list[list[str]]:
    """The front, and below it the defaults if they are not on it: what the search is worth."""
    front = study.front
    known = {trial.number for trial in front}
    defaults = [
        trial
        for trial in study.trials[:1]
        if trial.state == TrialState.COMPLETE and trial.number not in known
    ]
    return [_row(trial) for trial in front + defaults]


def write(study: Study, directory: Path) -> list[Path]:
    """The front as a file each, `<study>.toml`, or with the trial's number if there are several.

    Of the towers, and of two stages that are asked what comes next, it is an experiment that
    `freshet train --config` reads. Everything else is of the lab alone: its file is called
    `<study>.lab.toml` and has one table, of the model's name, with all hyperparameters.

    Returns:
        The files, in the order of the front.
    """
    front, paths = study.front, []
    for trial in front:
        number = f"-{trial.number}" if len(front) > 1 else ""
        found = study.hyperparameters(trial)
        trains = served(study.plan.model, found)
        path = directory / f"{study.name}{number}{'' if trains else '.lab'}.toml"
        if trains:
            experiment(study.plan.model, found, path).save(path)
        else:
            write_file(path, partial(tomli_w.dump, {study.plan.model: found}))
        paths.append(path)
    return paths


def served(model: str, found: Mapping[str, Value]) -> bool:
    """Whether there is a training of it that ends in a model to serve."""
    return model == "towers" or (model == "two-stage" and found["objective"] == "next")


def experiment(model: str, found: Mapping[str, Value], path: Path) -> Experiment:
    """Hyperparameters of a model of the lab that is `served`, as `freshet train` takes them."""
    run = {name: found[name] for name in flat(RunOptions()) if name in found}
    options = parse(RunOptions, run, f"{path}: [run]")
    if model == "two-stage":
        return Experiment(two_stage=parse(TwoStage, found, f"{path}: [two_stage]"), run=options)
    towers = {name: found[name] for name in flat(Config()) if name in found}
    return Experiment(towers=parse(Config, towers, f"{path}: [towers]"), run=options)


def told(values: Mapping[str, Value]) -> str:
    """Such as ``l2 1000, recency 0.85``."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )


def _row(trial: FrozenTrial) -> list[str]:
    values = [f"{value:.4f}" for value in trial.values]
    return [str(trial.number), *values, told(trial.params), f"{trial.user_attrs[SECONDS]:.0f} s"]
