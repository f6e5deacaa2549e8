"""A refresh in a world of doubles, where anything may fail and a run may be killed at any line."""

import errno
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from producers.tables import MOVIES, RATINGS
from stream.contracts.errors import (
    ArchiveUnavailable,
    ArtifactError,
    Busy,
    ConfigurationError,
    FreshetError,
    Unavailable,
)
from stream.contracts.events import ModelEvent
from tests.kills import killed_at
from training import durable, refresh, refresh_work
from training.artifact import LogPosition, Manifest
from training.experiment import Experiment
from training.gate import Decision
from training.marks import Challenge, Marks
from training.pipeline import Outcome
from training.refresh import Refresh, RefreshPolicy
from training.refresh_work import Work
from training.snapshot import Snapshot
from training.tower_inputs import Ints

CHAMPION = "champion"
KNOWN = LogPosition("topic", (40, 60))  # by the champion
END = LogPosition("topic", (200, 300))
CUT = LogPosition("topic", (150, 250))
LISTS = 2_000


@dataclass
class World:
    """`Steps` in memory and a directory."""

    home: Path
    models: list[str] = field(default_factory=list)  # promoted, the last one is served
    promotions: int = 0  # those announced again are counted again
    decisions: list[Decision] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    indexes: set[str] = field(default_factory=set)
    pruned: int = 0
    trained: int = 0
    heirs: list[Path | None] = field(default_factory=list)
    rivals: list[Path | None] = field(default_factory=list)
    end: LogPosition = END
    lists: int = LISTS
    unarchived: int = 0
    known: LogPosition | None = KNOWN  # by the champion
    until: int = 5  # ms of what it learnt last
    seen: list[int | None] = field(default_factory=list)
    challenge: Callable[[str | None, str], Challenge] = field(
        default=lambda rival, challenger: challenge_of(rival, challenger)
    )
    failing: dict[str, Exception] = field(default_factory=dict)

    @property
    def artifacts(self) -> Path:
        return self.home / "artifacts"

    def add(self, parent: Path, version: str, position: LogPosition | None) -> Path:
        """A model's directory."""
        directory = parent / version
        directory.mkdir(parents=True)
        said = None if position is None else [position.topic_id, list(position.offsets)]
        (directory / "manifest.json").write_text(json.dumps(said))
        return directory

    def served(self) -> ModelEvent | None:
        self._fail("served")
        if not self.models:
            return None
        return ModelEvent(
            event_id=f"promotion {self.promotions} of {self.models[-1]}",
            version=self.models[-1],
            artifact=str(self.artifacts / self.models[-1]),
            collection="movies",
            previous=tuple(reversed(self.models[:-1])),
            event_time=1_700_000_000_000,
            produced_time=1_700_000_000_000,
        )

    def archived(self) -> LogPosition:
        self._fail("archived")
        return self.end

    def behind(self, archived: LogPosition) -> int:
        assert archived == self.end
        return self.unarchived

    def ready(self) -> None:
        self._fail("ready")

    def manifest(self, artifact: Path) -> Manifest:
        if not (artifact / "manifest.json").exists():
            raise ArtifactError(f"no whole model artifact in {artifact}")
        said = json.loads((artifact / "manifest.json").read_text())
        return Manifest(
            layout=1,
            version=artifact.name,
            feature_version=1,
            created_at="",
            dimensions=1,
            history=1,
            genres=(),
            data_hash="",
            until=self.until,
            position=None if said is None else LogPosition(said[0], tuple(said[1])),
            config={},
            metrics={},
            files={},
        )

    def snapshot(self, end: LogPosition, since: LogPosition | None) -> Snapshot:
        self._fail("snapshot")
        assert end == self.end
        asked = pa.table([[1], [2], [4.0], [10]], schema=RATINGS)
        nothing = RATINGS.empty_table()
        return Snapshot(nothing, asked, MOVIES.empty_table(), CUT, end, nameless=0)

    def asked(self, snapshot: Snapshot) -> Ints:
        assert snapshot.end == self.end
        return np.arange(self.lists) % 100

    def train(self, snapshot: Snapshot, champion: Path | None, parent: Path) -> Outcome:
        self._fail("train")
        self.trained += 1
        self.heirs.append(champion)
        version = f"model-{self.trained}"
        unfinished = self.add(parent, f".{version}.partial", snapshot.position)
        directory = unfinished.rename(parent / version)
        return Outcome(directory, (), {}, Experiment(), 0.0)

    def examine(self, champion: Path | None, challenger: Path, snapshot: Snapshot) -> Challenge:
        self._fail("examine")
        self.rivals.append(champion)
        self.seen.append(snapshot.seen)
        return self.challenge(champion.name if champion else None, challenger.name)

    def record(self, outcome: Outcome, decision: Decision) -> None:
        self._fail("record")
        assert decision.challenger == outcome.version
        self.recorded.append(outcome.version)

    def build_index(self, artifact: Path, snapshot: Snapshot) -> None:
        self.indexes.add(artifact.name)
        self._fail("build_index")

    def drop_index(self, version: str) -> None:
        self.indexes.discard(version)

    def promote(self, version: str, served: ModelEvent | None) -> tuple[str, ...]:
        self._fail("promote")
        if served != (now := self.served()):
            raise Busy(f"{now and now.version} is served instead of {served and served.version}")
        assert (self.artifacts / version / "manifest.json").exists()
        assert version in self.indexes
        if self.models[-1:] != [version]:
            self.models.append(version)
        self.promotions += 1
        return ()

    def announce(self, decision: Decision) -> None:
        self._fail("announce")
        self.decisions.append(decision)

    def prune(self) -> None:
        self._fail("prune")
        self.pruned += 1

    def _fail(self, step: str) -> None:
        if step in self.failing:
            raise self.failing[step]


class Held:
    """A lease that is lost after so many looks."""

    def __init__(self, looks: int = sys.maxsize) -> None:
        self._looks = looks

    def check(self) -> None:
        self._looks -= 1
        if self._looks < 0:
            raise Busy("the lease `refresh` was lost")


def marks(version: str | None, rank: float) -> Marks:
    return Marks(version, np.full(LISTS, rank), coverage=0.5, gini=0.5, seconds=np.full(LISTS, 0.1))


def challenge_of(rival: str | None, challenger: str, rank: float = 2.0) -> Challenge:
    """The rival finds everything at rank 5."""
    users, ages = np.arange(LISTS) % 100, np.full(LISTS, 20)
    return Challenge(users, ages, marks(rival, 5.0), marks(challenger, rank))


def of(world: World, **policy: Any) -> Refresh:
    work = Work(world.home / "refresh", world.artifacts)
    return Refresh(world, work, RefreshPolicy(min_events=100, **policy))


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, models=[CHAMPION], indexes={CHAMPION})
    world.add(world.artifacts, CHAMPION, world.known)
    return world


def left_behind(world: World) -> set[str]:
    """What is in the working directory beside what the next run has to know."""
    return {path.name for path in (world.home / "refresh").iterdir()} - {"examined.json"}


def test_what_is_better_is_served(world: World) -> None:
    report = of(world).run(Held())
    assert report.decision is not None
    assert report.decision.promoted
    assert world.models == [CHAMPION, "model-1"]
    assert (world.artifacts / "model-1").is_dir()
    assert world.decisions == [report.decision]
    assert (report.decision.champion, report.decision.challenger) == (CHAMPION, "model-1")
    assert world.recorded == ["model-1"]
    assert world.indexes == {CHAMPION, "model-1"}
    assert world.heirs == world.rivals == [world.artifacts / CHAMPION]
    assert world.pruned == 1
    assert not left_behind(world)
    assert report.new == 400
    assert list(report.seconds) == [
        *("clean up", "snapshot", "train", "examine", "record", "index", "promote", "conclude")
    ]


def test_what_is_not_better_is_told_and_recorded_and_dropped(world: World) -> None:
    world.challenge = lambda rival, challenger: challenge_of(rival, challenger, rank=6.0)
    report = of(world).run(Held())
    assert report.decision is not None
    assert not report.decision.promoted
    assert world.models == [CHAMPION]
    assert world.decisions == [report.decision]
    assert world.recorded == ["model-1"]
    assert [path.name for path in world.artifacts.iterdir()] == [CHAMPION]
    assert not left_behind(world)


def test_what_is_about_to_be_served_counts_as_new_to_pruning(world: World) -> None:
    def long_exam(rival: str | None, challenger: str) -> Challenge:
        os.utime(world.home / "refresh" / challenger, (0, 0))
        return challenge_of(rival, challenger)

    world.challenge = long_exam
    of(world).run(Held())
    assert (world.artifacts / "model-1").stat().st_mtime > 0


def test_what_was_asked_is_not_new_any_more(world: World) -> None:
    world.challenge = lambda rival, challenger: challenge_of(rival, challenger, rank=6.0)
    of(world).run(Held())
    again = of(world).run(Held())
    assert (again.new, again.decision, world.trained) == (0, None, 1)
    world.end = LogPosition("topic", (220, 380))
    assert of(world).run(Held()).new == 100
    assert world.trained == 2


@pytest.mark.parametrize(
    "known",
    [
        None,
        LogPosition("another", (900, 900)),
        LogPosition("topic", (40, 60, 10)),  # when there were more partitions
        LogPosition("topic", (201, 0)),  # further than the archive has got
    ],
)
def test_what_was_asked_is_not_new_whatever_the_champion_learnt_from(
    tmp_path: Path, known: LogPosition | None
) -> None:
    world = World(tmp_path, models=[CHAMPION], indexes={CHAMPION})
    world.add(world.artifacts, CHAMPION, known)
    world.challenge = lambda rival, challenger: challenge_of(rival, challenger, rank=6.0)
    assert of(world).run(Held()).new == 500
    again = of(world).run(Held())
    assert (again.new, again.decision, world.trained) == (0, None, 1)


def test_what_the_champion_knows_is_not_new(world: World) -> None:
    world.end = LogPosition("topic", (100, 99))
    report = of(world).run(Held())
    assert (report.new, report.decision, world.trained) == (99, None, 0)
    world.end = LogPosition("topic", (100, 100))
    assert of(world).run(Held()).new == 100


def test_the_archive_is_behind(world: World) -> None:
    world.end, world.unarchived = LogPosition("topic", (50, 60)), 100
    with pytest.raises(ArchiveUnavailable, match=r"100 events behind .*is `freshet archive` runn"):
        of(world).run(Held())
    world.unarchived = 99  # an archive that gets on is always some events behind
    report = of(world).run(Held())
    assert (report.decision, report.new, report.behind) == (None, 10, 99)


def test_too_few_to_judge_by_are_waited_for_and_stay_new(world: World) -> None:
    world.lists = 999
    for _ in range(2):
        report = of(world).run(Held())
        assert report.decision is None
        assert (report.new, world.trained, world.recorded) == (400, 0, [])
        [remark] = report.remarks
        assert remark.startswith("999 lists of 100 people are too few to judge by")
    world.lists = 1_000
    assert of(world).run(Held()).decision is not None


def test_nan_is_refused(world: World) -> None:
    world.challenge = lambda rival, challenger: challenge_of(rival, challenger, rank=np.nan)
    report = of(world).run(Held())
    assert report.decision is not None
    assert not report.decision.promoted
    assert "NaN" in report.decision.reasons[0]
    assert world.models == [CHAMPION]


def test_the_first_model(tmp_path: Path) -> None:
    world = World(tmp_path)
    report = of(world).run(Held())
    assert world.models == ["model-1"]
    assert world.heirs == world.rivals == [None]
    assert report.new == 500


def test_a_champion_that_cannot_be_read_does_not_stop_its_successor(world: World) -> None:
    (world.artifacts / CHAMPION / "manifest.json").unlink()
    report = of(world).run(Held())
    assert world.models == [CHAMPION, "model-1"]
    assert world.heirs == world.rivals == [None]
    assert "the champion is held to be none: no whole model artifact" in report.remarks[0]


@pytest.mark.parametrize(
    ("known", "until", "seen"),
    [
        (KNOWN, 99, None),
        (CUT, 99, None),
        (LogPosition("topic", (151, 0)), 10, 10),
        (LogPosition("another", (1, 1)), 10, 10),
        (None, 11, 11),
        (None, 9, None),  # its latest rating is before what is asked
    ],
)
def test_nothing_is_asked_that_the_champion_may_have_learnt(
    tmp_path: Path, known: LogPosition | None, until: int, seen: int | None
) -> None:
    world = World(tmp_path, models=[CHAMPION], indexes={CHAMPION}, until=until)
    champion = world.add(world.artifacts, CHAMPION, known)
    report = of(world).run(Held())
    assert world.heirs == world.rivals == [champion]
    assert world.seen == [seen]
    told = [said for said in report.remarks if "may have learnt it" in said]
    assert len(told) == (seen is not None)
    assert all("1970-01-01T00:00:00 UTC" in said for said in told)


def test_cold_when_wanted(world: World) -> None:
    of(world, cold=True).run(Held())
    assert world.heirs == [None]


@pytest.mark.parametrize("looks", range(4))
def test_the_lease_is_lost(world: World, looks: int) -> None:
    with pytest.raises(Busy):
        of(world).run(Held(looks))
    assert world.models == [CHAMPION]
    of(world).run(Held())
    check_finished(world)


def test_a_rollback_in_the_middle_stays(world: World) -> None:
    world.add(world.artifacts, "older", None)

    def roll_back(rival: str | None, challenger: str) -> Challenge:
        world.models.append("older")
        return challenge_of(rival, challenger)

    world.challenge = roll_back
    with pytest.raises(Busy, match="older is served instead of champion"):
        of(world).run(Held())
    assert world.models == [CHAMPION, "older"]


STEPS = ["served", "archived", "ready", "snapshot", "train", "examine", "record", "build_index"]


@pytest.mark.parametrize("step", [*STEPS, "promote", "announce"])
def test_a_step_fails(world: World, step: str) -> None:
    """The champion is served until another one is; the next run does what is left to do."""
    world.failing = {step: Unavailable("it does not answer")}
    with pytest.raises(Unavailable, match="it does not answer"):
        of(world).run(Held())
    assert world.models == [CHAMPION, *(["model-1"] if step == "announce" else [])]
    assert not world.decisions
    world.failing = {}
    of(world).run(Held())
    check_finished(world)


def test_what_finishes_a_promotion_may_promote_another(world: World) -> None:
    world.failing = {"announce": Unavailable("it does not answer")}
    with pytest.raises(Unavailable):
        of(world).run(Held())
    world.failing, world.end = {}, LogPosition("topic", (400, 600))
    report = of(world).run(Held())
    assert report.remarks == ["finished the promotion of model-1, which was cut short"]
    assert world.models == [CHAMPION, "model-1", "model-2"]


def test_what_was_promoted_and_rolled_back_before_it_was_told_is_told_and_stays(
    world: World,
) -> None:
    world.failing = {"announce": Unavailable("it does not answer")}
    with pytest.raises(Unavailable):
        of(world).run(Held())
    world.failing = {}
    world.models.remove("model-1")  # a rollback forgets it, and is a promotion of its own
    world.promotions += 1
    report = of(world).run(Held())
    assert report.remarks == [
        "the promotion of model-1 was cut short, and champion is served since: model-1 is kept"
    ]
    assert [decision.challenger for decision in world.decisions] == ["model-1"]
    assert (world.artifacts / "model-1").is_dir()
    assert "model-1" in world.indexes
    assert not left_behind(world)


@pytest.mark.parametrize(
    "error", [ArtifactError("model-1 is damaged"), ConfigurationError("no model model-1")]
)
def test_what_is_served_and_damaged_or_gone_since_does_not_stop_its_successor(
    world: World, error: FreshetError
) -> None:
    world.failing = {"announce": Unavailable("it does not answer")}
    with pytest.raises(Unavailable):
        of(world).run(Held())
    world.failing = {"promote": error}
    report = of(world).run(Held())
    assert report.remarks[1:] == [f"{error}: not announced again"]
    assert [decision.challenger for decision in world.decisions] == ["model-1"]
    world.failing, world.end = {}, LogPosition("topic", (400, 600))
    of(world).run(Held())
    assert world.models == [CHAMPION, "model-1", "model-2"]


@pytest.mark.parametrize(
    "error", [Unavailable("MLflow does not answer"), PermissionError(errno.EACCES, "It is theirs")]
)
def test_old_models_that_cannot_be_dropped_are_a_remark(world: World, error: Exception) -> None:
    world.failing = {"prune": error}
    report = of(world).run(Held())
    [remark] = report.remarks
    assert remark.startswith(f"old models were not dropped: {error}")
    assert world.models[-1] == "model-1"


def test_the_disk_is_full(world: World) -> None:
    world.failing = {"train": OSError(errno.ENOSPC, "No space left on device")}
    with pytest.raises(ArtifactError, match=r"No space left on device .*make room"):
        of(world).run(Held())
    assert world.models == [CHAMPION]


def test_a_damaged_note_is_named(world: World) -> None:
    of(world).run(Held())
    (world.home / "refresh" / "examined.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"examined\.json is damaged .*delete it"):
        of(world).run(Held())


def check_whole(world: World) -> None:
    """What is served could be loaded at any time."""
    for version in world.models:
        assert (world.artifacts / version / "manifest.json").is_file()
        assert version in world.indexes


def check_finished(world: World) -> None:
    """Something better is served, everybody was told of it, and nothing else is left."""
    check_whole(world)
    assert len(world.models) == 2
    assert {decision.challenger for decision in world.decisions} == set(world.models[1:])
    assert {path.name for path in world.artifacts.iterdir()} == set(world.models)
    assert world.indexes == set(world.models)
    assert not left_behind(world)


# All that a run does itself, and what the doubles do for it.
OWN = (refresh, refresh_work, durable, sys.modules[__name__])


def quickly(monkeypatch: pytest.MonkeyPatch, promoted: bool = True) -> None:
    """Hundreds of runs, each of which decides this."""

    def decided(challenge: Challenge, *_: object) -> Decision:
        return Decision(CHAMPION, challenge.challenger.name, promoted, ("because",), {})

    monkeypatch.setattr(refresh, "decide", decided)
    monkeypatch.setattr(durable.os, "fsync", lambda *_: None)


@pytest.mark.parametrize("promoted", [True, False])
def test_killed_at_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promoted: bool
) -> None:
    """And another run, which is not."""

    quickly(monkeypatch, promoted)
    line, cut_short = 0, True
    while cut_short:
        world = World(tmp_path / str(line), models=[CHAMPION], indexes={CHAMPION})
        world.add(world.artifacts, CHAMPION, KNOWN)
        with killed_at(line, *OWN) as kill:
            of(world).run(Held())
        cut_short = kill.happened
        check_whole(world)
        of(world).run(Held())
        if promoted:
            check_finished(world)
        else:
            assert world.models == [CHAMPION]
            assert world.indexes == {CHAMPION}
            assert world.decisions
            assert {path.name for path in world.artifacts.iterdir()} == {CHAMPION}
            assert not left_behind(world)
        line += 1
    assert line > 100


@pytest.mark.parametrize("failed", ["build_index", "promote", "announce"])
def test_killed_while_it_cleans_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: str
) -> None:
    """A run fails, the next one is killed at any line until it would read the archive."""
    quickly(monkeypatch)
    line, cut_short = 0, True
    while cut_short:
        world = World(tmp_path / str(line), models=[CHAMPION], indexes={CHAMPION})
        world.add(world.artifacts, CHAMPION, KNOWN)
        world.failing = {failed: Unavailable("it does not answer")}
        with pytest.raises(Unavailable):
            of(world).run(Held())
        world.failing = {"archived": Unavailable("no further")}
        cut_short = False
        with suppress(Unavailable):
            with killed_at(line, *OWN) as kill:
                of(world).run(Held())
            cut_short = kill.happened
        check_whole(world)
        world.failing = {}
        of(world).run(Held())
        check_finished(world)
        line += 1
    assert line > 20
