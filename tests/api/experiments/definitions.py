"""Short ways to define experiments."""

from typing import Any

from stream.contracts.experiments import ExperimentEvent, ModelChoice, Variant

START = 1_000_000_000_000  # ms: September 2001


def variants(**treatment: Any) -> tuple[Variant, ...]:
    """A control that changes nothing, and a treatment that chooses this."""
    return Variant(name="control"), Variant(name="treatment", **treatment)


def experiment(name: str = "trial", **changes: Any) -> ExperimentEvent:
    """Of everybody, since long ago, half and half; in a group of its own unless told."""
    said: dict[str, Any] = {
        "event_id": "e",
        "name": name,
        "group": name,
        "salt": name,
        "control": "control",
        "variants": variants(),
        "start": START,
        "event_time": START,
        "produced_time": START,
        **changes,
    }
    return ExperimentEvent(**said)


def model(version: str) -> ModelChoice:
    return ModelChoice(
        version=version, artifact=f"artifacts/{version}", collection=f"movies-{version}"
    )
