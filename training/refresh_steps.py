"""The seam between a refresh and the world: what `training.refresh` asks to be done.

`training.live_steps` does it to the real one, and doubles in the tests fail wherever they like.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stream.contracts.events import ModelEvent
from training.artifact import LogPosition, Manifest
from training.gate import Decision
from training.marks import Challenge
from training.snapshot import Snapshot
from training.tower_inputs import Ints

if TYPE_CHECKING:  # it imports torch, which those who look whether there is anything to do need not
    from training.pipeline import Outcome


class Lease(Protocol):
    """What is asked of `stream.lease.Lease`, see there."""

    def check(self) -> None: ...


class Steps(Protocol):
    """What a refresh does to the world. All of it raises FreshetError."""

    def served(self) -> ModelEvent | None:
        """The last promotion."""
        ...

    def archived(self) -> LogPosition:
        """How far the archive has got."""
        ...

    def behind(self, archived: LogPosition) -> int:
        """How many events of the log are not archived yet."""
        ...

    def ready(self) -> None:
        """Whether those answer that are needed once the work is done: better now than then."""
        ...

    def manifest(self, artifact: Path) -> Manifest:
        """Of an artifact that is whole and can be served. Raises ArtifactError."""
        ...

    def snapshot(self, end: LogPosition, since: LogPosition | None) -> Snapshot:
        """See `training.snapshot.take_snapshot`."""
        ...

    def asked(self, snapshot: Snapshot) -> Ints:
        """i64[n]: whom each list of the exam is for; empty where there is nothing to ask."""
        ...

    def train(self, snapshot: Snapshot, champion: Path | None, parent: Path) -> "Outcome":
        """Train in a new directory in `parent`, from the champion's weights if there is one."""
        ...

    def examine(self, champion: Path | None, challenger: Path, snapshot: Snapshot) -> Challenge:
        """See `training.challenge.hold`."""
        ...

    def record(self, outcome: "Outcome", decision: Decision) -> None:
        """Remember the training and what was decided, whichever it was."""
        ...

    def build_index(self, artifact: Path, snapshot: Snapshot) -> None:
        """Have the index that will be served, and look whether it finds what it should; what that
        showed is remembered."""
        ...

    def drop_index(self, version: str) -> None:
        """Drop what `build_index` made outside the artifact, if there is anything."""
        ...

    def promote(self, version: str, served: ModelEvent | None) -> tuple[str, ...]:
        """Have a model of the artifacts served, unless something else is than `served`.

        Returns what should have followed and did not.
        """
        ...

    def announce(self, decision: Decision) -> None:
        """Tell what was decided; twice where a run was cut short."""
        ...

    def prune(self) -> None:
        """Drop models that nobody serves any more."""
        ...
