"""Renews the model that is served from what really happened, and has it served if it is better.

What each step does to the world is `training.live_steps`'; here is their order, and what a run
makes of what an earlier one left behind. Whatever fails, and wherever a run is killed, the champion
goes on serving: the one step that changes that is a message that names a whole model, checked and
in its place.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from stream.contracts.errors import (
    ArchiveUnavailable,
    ArtifactError,
    ConfigurationError,
    FreshetError,
)
from stream.contracts.events import ModelEvent
from training.artifact import LogPosition, Manifest
from training.gate import Decision, decide, too_few
from training.gate_policy import GatePolicy
from training.refresh_steps import Lease, Steps
from training.refresh_work import Intent, Work

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPolicy:
    """When to renew the model, and what it must show.

    Attributes:
        min_events: new events below which there is nothing to do.
        cold: train from nothing, so that the new model owes nothing to people who were forgotten
            since the champion's first ancestor.
        gate: what the challenger must show.
    """

    min_events: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    cold: bool = False
    gate: GatePolicy = field(default_factory=GatePolicy)


@dataclass
class Report:
    """What a run did.

    Attributes:
        new: events that are archived and were neither learnt nor asked before.
        behind: events of the log that are not archived yet.
        decision: None where there was too little that is new.
        remarks: sentences: what was left alone, and why; what should have followed and did not.
        seconds: that each step took, in order.
    """

    new: int = 0
    behind: int = 0
    decision: Decision | None = None
    remarks: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note how long it takes."""
        logger.info("refresh: %s", step)
        began = time.monotonic()
        yield
        self.seconds[step] = time.monotonic() - began


@dataclass(frozen=True)
class Refresh:
    """Renews the model that is served.

    Args:
        steps: what is done to the world.
        work: what it keeps on disk.
        policy: when to do it, and what the challenger must show.
    """

    steps: Steps
    work: Work
    policy: RefreshPolicy

    def run(self, lease: Lease) -> Report:
        """Do it once, if there is enough that is new.

        1. Finish or undo what a run that was cut short left behind.
        2. Look whether enough has happened since, and whether all that will be needed is there.
        3. Read the archive up to where it has got; the newest events are kept for the exam. Where
           they are too few to judge by, wait for more: what is asked once is not asked again.
        4. Train a challenger, in the working directory.
        5. Examine champion and challenger on the newest events, and decide.
        6. Record the challenger with the decision.
        7. Unless it is refused: build its index, and look what that finds.
        8. Write down what is about to happen, and put the artifact where models are served from.
        9. Have it served, while the lease is held and what it was held against is still served.
        10. Tell what was decided, and note how far the exam went. Drop old models.

        Args:
            lease: held. Where it is lost, nothing is promoted.

        Raises:
            Busy: the lease was lost, or somebody promoted a model or rolled back meanwhile.
            ArchiveUnavailable: the archive does not get on.
            FreshetError: a step failed. What was served before is served.
        """
        report = Report()
        # 1.
        with report.timed("clean up"), self.work.told():
            self.work.open()
            self._clean_up(report)
            served = self.steps.served()
        # 2.
        end = self.steps.archived()
        champion, manifest = self._champion(served, report)
        since = self._since(manifest, end)
        if not self._is_due(end, since, report):
            return report
        self.steps.ready()
        # 3.
        with report.timed("snapshot"):
            snapshot = self.steps.snapshot(end, since)
            if manifest is not None:
                snapshot = snapshot.sparing(manifest)
        if manifest is not None and snapshot.seen is not None:
            report.remarks.append(
                f"what happened up to {np.datetime64(snapshot.seen, 'ms').astype('M8[s]')} UTC is "
                f"not asked: the champion, {manifest.version}, may have learnt it"
            )
        if snapshot.nameless:
            report.remarks.append(
                f"{snapshot.nameless:,} ratings of movies that the catalogue does not know were "
                "left out"
            )
        if few := too_few(self.steps.asked(snapshot), self.policy.gate):
            report.remarks.append(few)
            return report
        # 4.
        lease.check()
        heir = None if self.policy.cold else champion
        with report.timed("train"), self.work.told():
            outcome = self.steps.train(snapshot, heir, self.work.directory)
        if outcome.cold:
            report.remarks.append(f"it began from nothing: {outcome.cold}")
        # 5.
        lease.check()
        with report.timed("examine"):
            challenge = self.steps.examine(champion, outcome.directory, snapshot)
            decision = report.decision = decide(challenge, self.policy.gate)
        # 6.
        with report.timed("record"):
            self.steps.record(outcome, decision)
        intent = Intent(decision, snapshot.end, served.event_id if served else None)
        if decision.promoted:
            # 7.
            lease.check()
            with report.timed("index"):
                self.steps.build_index(outcome.directory, snapshot)
            with report.timed("promote"), self.work.told():
                # 8.
                self.work.intend(intent)
                # 9.
                lease.check()
                report.remarks += self.steps.promote(outcome.version, served)
        # 10.
        with report.timed("conclude"), self.work.told():
            self._conclude(intent)
            self._drop_models()
        try:
            with self.work.told():
                self.steps.prune()
        except FreshetError as error:  # what was decided is done; the next run drops them
            report.remarks.append(f"old models were not dropped: {error}")
        return report

    def _clean_up(self, report: Report) -> None:
        """What a run that was cut short began is finished if it was promoted, else undone."""
        intent = self.work.intent()
        if intent is not None:
            version, served = intent.decision.challenger, self.steps.served()
            if intent.before == (served.event_id if served else None):
                report.remarks.append(f"undid the promotion of {version}, which was cut short")
                self.work.undo(intent)
            elif served is not None and version in (served.version, *served.previous):
                report.remarks.append(f"finished the promotion of {version}, which was cut short")
                if version == served.version:
                    try:
                        report.remarks += self.steps.promote(version, served)
                    except (ArtifactError, ConfigurationError) as error:  # damaged, or gone
                        report.remarks.append(f"{error}: not announced again")
                self._conclude(intent)
            else:  # it may have been served, and gone back from
                report.remarks.append(
                    f"the promotion of {version} was cut short, and "
                    f"{served.version if served else 'nothing'} is served since: {version} is kept"
                )
                self._conclude(intent)
        self._drop_models()

    def _conclude(self, intent: Intent) -> None:
        self.steps.announce(intent.decision)
        self.work.conclude(intent)

    def _drop_models(self) -> None:
        """Those in the working directory, first what they have elsewhere."""
        for version in self.work.versions():
            self.steps.drop_index(version)
        self.work.clear()

    def _champion(
        self, served: ModelEvent | None, report: Report
    ) -> tuple[Path | None, Manifest | None]:
        """What is served, if this code can serve it."""
        if served is None:
            return None, None
        try:
            return Path(served.artifact), self.steps.manifest(Path(served.artifact))
        except ArtifactError as error:
            report.remarks.append(f"the champion is held to be none: {error}")
            return None, None

    def _since(self, manifest: Manifest | None, end: LogPosition) -> LogPosition | None:
        """What is neither to be asked nor new: what the champion knows, and what was asked.

        A position in another topic, or further than the archive, says nothing of what is in it.
        """
        examined = self.work.examined()
        known = manifest.position if manifest is not None else None
        both = [of.offsets for of in (known, examined) if of is not None and end.covers(of)]
        return LogPosition(end.topic_id, tuple(map(max, zip(*both, strict=True)))) if both else None

    def _is_due(self, end: LogPosition, since: LogPosition | None, report: Report) -> bool:
        report.new = sum(end.offsets) - (sum(since.offsets) if since is not None else 0)
        report.behind = self.steps.behind(end)
        least = self.policy.min_events
        if report.new < least <= report.behind:  # less than that it has until the next run
            raise ArchiveUnavailable(
                f"the archive is {report.behind:,} events behind the log, and of {least:,} that a "
                f"refresh waits for it has {report.new:,}: is `freshet archive` running?"
            )
        return report.new >= least
