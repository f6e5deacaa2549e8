"""An experiment as a TOML file: hyperparameters in ``[towers]`` and ``[two_stage]``, how to run in
``[run]``.

A key that is left out has its default. A table is one level: what a dataclass holds in another one,
as `Config` holds `Config.towers`, stands beside the rest, as in manifests and in MLflow.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final, get_type_hints

import tomli_w

from stream.contracts.errors import ConfigurationError
from training.config import Config
from training.durable import write_file
from training.flat import Value, flat, parse
from training.options import RunOptions
from training.two_stage import TwoStage

# What `TwoStage` has for the lab, where it is all there is to say.
ELSEWHERE: Final[Mapping[str, str]] = {
    "objective": "what is served is what comes next",
    "max_epochs": "give it in [run]",
    "seed": "give it in [run]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is trained, and how.

    Attributes:
        towers: hyperparameters of the towers and their training.
        two_stage: those of what is made of them, less `ELSEWHERE`.
        run: how to run.
    """

    towers: Config = field(default_factory=Config)
    two_stage: TwoStage = field(default_factory=TwoStage)
    run: RunOptions = field(default_factory=RunOptions)

    @classmethod
    def load(cls, path: Path) -> "Experiment":
        """From a file.

        Raises:
            ConfigurationError: it cannot be read, or has a key that does not exist, or a value of
                the wrong type or out of range.
        """
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # of which those of UTF-8 and of TOML are two
            raise ConfigurationError(f"{path} cannot be read as TOML: {error}") from error
        kinds = get_type_hints(cls)
        for name, table in tables.items():
            if name not in kinds or not isinstance(table, dict):
                there = ", ".join(f"[{kind}]" for kind in kinds)
                raise ConfigurationError(
                    f"{path}: no table of an experiment is {name}: use {there}"
                )
        for name in tables.get("two_stage", {}):
            if name in ELSEWHERE:
                raise ConfigurationError(f"{path}: [two_stage] has no {name}: {ELSEWHERE[name]}")
        return cls(
            **{name: parse(kinds[name], tables[name], f"{path}: [{name}]") for name in tables}
        )

    def running(self, options: Mapping[str, Value]) -> "Experiment":
        """With some other run options.

        Raises:
            ConfigurationError: there is no such option, or its value is not allowed.
        """
        run = parse(RunOptions, flat(self.run) | dict(options), "the run")
        return replace(self, run=run)

    @property
    def tables(self) -> dict[str, dict[str, Value]]:
        """What a file of it holds, every key of every table. No key is in two of them."""
        tables = {part.name: flat(getattr(self, part.name)) for part in fields(self)}
        for name in ELSEWHERE:
            del tables["two_stage"][name]
        return tables

    def save(self, path: Path) -> None:
        """To a file with every key, which is replaced at once.

        Raises:
            ConfigurationError: `load` would refuse it.
        """
        tables = self.tables
        for name, kind in get_type_hints(type(self)).items():
            parse(kind, tables[name], f"{path}: [{name}]")
        write_file(path, lambda file: tomli_w.dump(tables, file))
