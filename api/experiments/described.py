"""The definition of an experiment, as it is shown."""

from api.schemas.experiments import Experiment, Status, VariantOut
from stream.contracts.experiments import ExperimentEvent, Variant


def described(event: ExperimentEvent, now: int) -> Experiment:
    """The definition as it is shown, at a time in ms."""
    return Experiment(
        name=event.name,
        kind=event.kind,
        status=_status(event, now),
        group=event.group,
        share=event.end - event.begin,
        control=event.control,
        variants=[_variant(variant) for variant in event.variants],
        effect=event.effect,
        round=event.round,
        start=event.start,
        stop=event.stop,
    )


def _status(event: ExperimentEvent, now: int) -> Status:
    if now < event.start:
        return "scheduled"
    return "running" if event.stop is None or now < event.stop else "stopped"


def _variant(variant: Variant) -> VariantOut:
    return VariantOut(
        name=variant.name,
        weight=variant.weight,
        model=variant.model.version if variant.model else None,
        ranker=variant.ranker,
        diversity=variant.diversity,
        novelty=variant.novelty,
        strategy=variant.strategy,
    )
