"""Finished evaluations on disk: an interrupted run goes on after the last model that it finished.

A result's place is a hash of everything that it depends on beside the code, so the same question
finds its answer and another question never does. Hyperparameters and what is tried of them are in
the hash, what a model makes of them is not: whoever changes that deletes the model's files, as the
help of `freshet eval` says. A hash of the sources would ask hours anew for every comment.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.tower_inputs import Ints

# Raise it when a protocol or a metric changes its meaning: older results are then asked for anew.
EVALUATION_VERSION: Final = 1


@dataclass(frozen=True)
class Question:
    """All that a result depends on, beside the code.

    Attributes:
        protocol: ``offline`` or ``prequential``.
        dataset: its name, such as ``ml-100k``.
        digest: `Ratings.digest` of it.
        model: a name of `baselines.catalogue`.
        settings: of the protocol: split, seed, k and so on; JSON values.
    """

    protocol: str
    dataset: str
    digest: str
    model: str
    settings: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Names the result's files."""
        content = json.dumps([EVALUATION_VERSION, asdict(self)], sort_keys=True)
        return f"{self.model}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Result:
    """How one model did.

    Attributes:
        question: what was asked.
        figures: by name, such as ``ndcg@10``: means over all lists, seconds, bytes.
        details: what explains them: hyperparameters, what was tried, figures by group; JSON values.
        users: i64[n] whose list each is: lists of one user are not independent.
        lists: f64[n] by metric, a value for each list, NaN where the metric has none.
    """

    question: Question
    figures: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)
    users: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    lists: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    @property
    def summary(self) -> dict[str, Any]:
        """All but the lists, as JSON values."""
        return {
            "question": asdict(self.question),
            "figures": dict(self.figures),
            "details": dict(self.details),
        }


@dataclass(frozen=True)
class Runs:
    """The results in a directory, two files each: figures as JSON, lists as arrays."""

    directory: Path

    def find(self, question: Question) -> Result | None:
        """The result, if that model was finished."""
        path = self.directory / f"{question.key}.json"
        if not path.exists():
            return None
        content = json.loads(path.read_text())
        with np.load(path.with_suffix(".npz")) as arrays:
            lists = dict(arrays)
        users = lists.pop("users")
        return Result(question, content["figures"], content["details"], users, lists)

    def keep(self, result: Result) -> None:
        """Write it, whole or not at all."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"{result.question.key}.json"
        draft = path.with_suffix(f".{os.getpid()}.draft")
        arrays: dict[str, Any] = {**result.lists, "users": result.users}
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        draft.replace(path.with_suffix(".npz"))
        draft.write_text(json.dumps(result.summary, indent=2) + "\n")
        draft.replace(path)  # last: with it the result is there

    def answers(
        self, questions: Iterable[Question], measure: Callable[[Question], Result]
    ) -> Iterator[Result]:
        """The result of each question; one that is not there yet is measured, and kept."""
        for question in questions:
            result = self.find(question)
            if result is None:
                result = measure(question)
                self.keep(result)
            yield result
