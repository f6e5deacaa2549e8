"""Who gets which variant: pure functions of definitions, person and time, the same everywhere.

Nothing is stored about a person. What decides are points in (0, 1) that hashes give each person,
one for each question: whether they are held out, where in a group they stand, and how early each
variant of an experiment comes for them. Points of different questions are independent.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from math import log
from typing import Final

from stream.contracts.experiments import Assigned, ExperimentEvent, Variant

# What those have who are shown an interleaved list: both variants.
INTERLEAVED: Final = "interleaved"

# What the holdout's points are made of. Another word would hold out other people.
_HOLDOUT: Final = "holdout"

_BITS: Final = 53  # that a float holds exactly


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one experiment gives one person.

    Attributes:
        variant: None where they get both, interleaved.
        counted: whether chance decided it.
    """

    experiment: ExperimentEvent
    variant: Variant | None
    counted: bool = True

    @property
    def name(self) -> str:
        """What the answer calls it."""
        return self.variant.name if self.variant is not None else INTERLEAVED

    def exposure(self) -> Assigned:
        """As it is told to those who count."""
        return Assigned(variant=self.name, round=self.experiment.round, counted=self.counted)


class Plan:
    """All experiments there are.

    Args:
        definitions: of them, one for each name.
        holdout: 0..1, the share of all people who are in no experiment.
    """

    def __init__(self, definitions: Iterable[ExperimentEvent] = (), holdout: float = 0.0) -> None:
        # Of two that claim the same people of a group the older one has them.
        self.experiments = sorted(definitions, key=lambda it: (it.start, it.name))
        self.holdout = holdout

    def running(self, now: int) -> list[ExperimentEvent]:
        """Those that run at a time, ms since the epoch."""
        return [it for it in self.experiments if runs(it, now)]

    def of(self, user_id: int, now: int) -> list[Assignment]:
        """What a person gets at a time (ms since the epoch), at most one of each group.

        1. Who is named by a definition gets what it says.
        2. Who is held out gets nothing else.
        3. Of each group left, the experiment in whose share of the group they stand.
        """
        running = self.running(now)
        if not running:
            return []
        found: dict[str, Assignment] = {}
        # 1.
        for experiment in running:
            name = experiment.overrides.get(user_id)
            if name is not None and experiment.group not in found:
                found[experiment.group] = Assignment(
                    experiment, variant_named(experiment, name), counted=False
                )
        # 2.
        if point(_HOLDOUT, user_id) >= self.holdout:
            # 3.
            for experiment in running:
                if experiment.group not in found and takes(experiment, user_id):
                    both = experiment.kind == "interleaving"
                    variant = None if both else variant_of(experiment, user_id)
                    found[experiment.group] = Assignment(experiment, variant)
        return list(found.values())


def runs(experiment: ExperimentEvent, now: int) -> bool:
    """Whether it runs at a time, ms since the epoch."""
    return experiment.start <= now and (experiment.stop is None or now < experiment.stop)


def takes(experiment: ExperimentEvent, user_id: int) -> bool:
    """Whether a person stands in its share of its group."""
    return experiment.begin <= point("group", experiment.group, user_id) < experiment.end


def variant_of(experiment: ExperimentEvent, user_id: int) -> Variant:
    """The variant that comes first for a person, each with a chance in proportion to its weight.

    For person u variant v comes at -ln(p(u, v)) / weight(v), which is exponential with its weight
    as rate: weighted rendezvous hashing (Schindelhauer and Schomaker, 2005). Another weight for one
    variant moves people to it or away from it, and nobody between the others.
    """
    salt = experiment.salt
    return min(
        experiment.variants,
        key=lambda variant: -log(point("variant", salt, variant.name, user_id)) / variant.weight,
    )


def variant_named(experiment: ExperimentEvent, name: str) -> Variant:
    """Raises StopIteration where there is none, which no valid definition has."""
    return next(variant for variant in experiment.variants if variant.name == name)


def point(*question: str | int) -> float:
    """A number in (0, 1), uniform over people and independent for different questions.

    BLAKE2b of the parts, in decimal where they are numbers, with a line break between two; of its
    first 64 bits, big-endian, the upper 53 and a half.
    """
    digest = blake2b("\n".join(map(str, question)).encode(), digest_size=8).digest()
    return float(((int.from_bytes(digest, "big") >> (64 - _BITS)) + 0.5) / 2**_BITS)
