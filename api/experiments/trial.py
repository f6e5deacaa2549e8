"""What experiments make of one request: which list is made, by which model, and what is said."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from api.lists.wanted import Wanted
from api.schemas.recommendations import LeftOut
from api.serving.watcher import Serving
from stream.contracts.experiments import Assigned, ExperimentEvent, Variant
from stream.experiments.assignment import Assignment
from stream.experiments.definition import CHOICES, chosen


@dataclass(frozen=True, slots=True)
class Trial:
    """A request as its experiments make it.

    Attributes:
        wanted: the list.
        serving: what it is made from.
        assigned: by experiment, the variant that the person gets.
        left_out: by experiment, why it had no say.
        rival: the other list, where both are interleaved.
    """

    wanted: Wanted
    serving: Serving
    assigned: dict[str, Assigned]
    left_out: dict[str, LeftOut]
    rival: Wanted | None = None

    def makes_the_same(self, other: "Trial") -> bool:
        """Whether it makes the same list, by the same model of the same movies, as another one."""
        return (
            self.serving.model is other.serving.model
            and self.serving.repertoire is other.serving.repertoire
            and self.wanted == other.wanted
            and self.rival == other.rival
        )

    def names(self) -> dict[str, str]:
        """By experiment, the name of the variant."""
        return {name: assigned.variant for name, assigned in self.assigned.items()}


def trial_of(serving: Serving, user_id: int, wanted: Wanted, now: int, *, first: bool) -> Trial:
    """What a person is given who asks for a list.

    An experiment is left out as a whole, whichever variant somebody has: otherwise those who are
    left of one variant were not those who are left of the other.

    Args:
        serving: with all experiments there are.
        user_id: who.
        wanted: what is asked for.
        now: ms since the epoch.
        first: whether it is the first page, and may be interleaved.
    """
    trial = Trial(wanted, serving, {}, {})
    for assignment in serving.plan.of(user_id, now):
        experiment = assignment.experiment
        why = _why_left_out(experiment, serving, wanted, first)
        if why is not None:
            trial.left_out[experiment.name] = why
            continue
        trial = _given(trial, assignment)
        trial.assigned[experiment.name] = assignment.exposure()
    return trial


def _given(trial: Trial, assignment: Assignment) -> Trial:
    if assignment.variant is not None:
        return _choosing(trial, assignment.variant)
    experiment = assignment.experiment
    control, other = sorted(experiment.variants, key=lambda it: it.name != experiment.control)
    ours, theirs = _choosing(trial, control), _choosing(trial, other)
    return replace(ours, rival=theirs.wanted)


def _choosing(trial: Trial, variant: Variant) -> Trial:
    says = {name: getattr(variant, name) for name in CHOICES if name != "model"}
    choices: dict[str, Any] = {name: value for name, value in says.items() if value is not None}
    if not choices and variant.model is None:
        return trial
    serving = trial.serving
    if variant.model is not None:
        serving = serving.by(variant.model.version) or serving
    return replace(trial, wanted=replace(trial.wanted, **choices), serving=serving)


def _why_left_out(
    experiment: ExperimentEvent, serving: Serving, wanted: Wanted, first: bool
) -> LeftOut | None:
    chooses = chosen(experiment)
    if ("diversity" in chooses and wanted.diversity is not None) or (
        "novelty" in chooses and wanted.novelty
    ):
        return "asked_otherwise"
    if experiment.kind == "interleaving" and not first:
        return "not_this_list"
    if any(serving.by(version) is None for version in _versions(experiment.variants)):
        return "model_unavailable"
    return None


def _versions(variants: Iterable[Variant]) -> set[str]:
    return {variant.model.version for variant in variants if variant.model is not None}
