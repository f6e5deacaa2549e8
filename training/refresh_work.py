"""What a refresh keeps on disk: the model that it makes, and what the next run has to know.

In one directory, on the file system of the artifacts. Nobody else writes there.

    <version>/, .<version>.partial/     a model that is made, or was left behind
    intent.json                         the promotion that is under way
    examined.json                       how far models were examined
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from stream.contracts.errors import ArtifactError
from training.artifact import LogPosition
from training.durable import sync, write_file
from training.gate import Decision

_INTENT: Final = "intent.json"
_EXAMINED: Final = "examined.json"

T = TypeVar("T")


class Intent(msgspec.Struct, frozen=True):
    """A decision, as it is acted on.

    Attributes:
        decision: the same.
        examined: how far its exam went.
        before: the id of the promotion that was the last one then; None where nothing was served.
    """

    decision: Decision
    examined: LogPosition
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """The working directory.

    Args:
        directory: the same.
        artifacts: where models are served from.
    """

    directory: Path
    artifacts: Path

    def open(self) -> None:
        """Both directories are there afterwards."""
        for directory in (self.directory, self.artifacts):
            directory.mkdir(parents=True, exist_ok=True)

    def examined(self) -> LogPosition | None:
        """How far models were examined. Raises ArtifactError."""
        return self._read(_EXAMINED, LogPosition)

    def intent(self) -> Intent | None:
        """The promotion that was under way. Raises ArtifactError."""
        return self._read(_INTENT, Intent)

    def intend(self, intent: Intent) -> None:
        """Write down a promotion, and put its model where models are served from."""
        self._write(_INTENT, intent)
        version = intent.decision.challenger
        os.utime(self.directory / version)  # pruning leaves alone what came lately; exams take long
        self._move(version, self.directory, self.artifacts)

    def undo(self, intent: Intent) -> None:
        """Take the model back."""
        if (self.artifacts / intent.decision.challenger).exists():
            self._move(intent.decision.challenger, self.artifacts, self.directory)
        (self.directory / _INTENT).unlink()

    def conclude(self, intent: Intent) -> None:
        """It was acted on, and told."""
        self._write(_EXAMINED, intent.examined)
        (self.directory / _INTENT).unlink(missing_ok=True)

    def versions(self) -> list[str]:
        """The models that are whole."""
        return [path.name for path in self._models() if not path.name.startswith(".")]

    def clear(self) -> None:
        """Delete the models, whole or not."""
        for path in self._models():
            shutil.rmtree(path)

    @contextmanager
    def told(self) -> Iterator[None]:
        """What the disk refuses, as people can act on it. Raises ArtifactError."""
        try:
            yield
        except OSError as error:
            raise ArtifactError(
                f"{error} (refreshing in {self.directory}): make room, or give access; what was "
                "served is served, and the next run cleans up"
            ) from error

    def _models(self) -> list[Path]:
        return [path for path in self.directory.iterdir() if path.is_dir()]

    def _move(self, version: str, source: Path, target: Path) -> None:
        (source / version).rename(target / version)
        for directory in (source, target):
            sync(directory)

    def _read(self, name: str, kind: type[T]) -> T | None:
        path = self.directory / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise ArtifactError(f"{path} is damaged ({error}): delete it") from error

    def _write(self, name: str, value: Intent | LogPosition) -> None:
        write_file(self.directory / name, lambda file: file.write(msgspec.json.encode(value)))
