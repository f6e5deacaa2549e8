"""From what a person writes about an experiment to its definition, checked against all others."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from stream.contracts.errors import ConfigurationError, InvalidEvent
from stream.contracts.events import encode, new_event_id
from stream.contracts.experiments import (
    ExperimentEvent,
    Kind,
    ModelChoice,
    Share,
    Strategy,
    Variant,
    decode_experiment,
)

# What a variant may choose. Two experiments that choose the same must not share a person.
CHOICES: Final = ("model", "ranker", "diversity", "novelty", "strategy")

# What changes who gets what: results from before and after do not belong together.
_MATTERS: Final = ("kind", "group", "salt", "control", "variants")

_ROUNDING: Final = 1e-9  # shares are written in decimals: three of 0.1 and one of 0.7 fit


class VariantDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A variant as it is written; `model` is a version."""

    weight: Annotated[float, msgspec.Meta(gt=0.0, le=1e6)] = 1.0
    model: str | None = None
    ranker: bool | None = None
    diversity: Share | None = None
    novelty: Share | None = None
    strategy: Strategy | None = None


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An experiment as it is written, in TOML.

    `group` is its own where none is named, and `salt` its name; `share` is of the group's people.
    Without `start` it starts at once, without `stop` it runs until it is stopped.
    """

    name: str
    control: str
    variants: dict[str, VariantDraft]
    kind: Kind = "ab"
    group: str | None = None
    salt: str | None = None
    share: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 1.0
    effect: float = 0.1
    start: datetime | None = None
    stop: datetime | None = None
    overrides: dict[str, str] = {}


def parse(text: str) -> Draft:
    """Raises ConfigurationError that says what of it is wrong."""
    try:
        return msgspec.toml.decode(text, type=Draft)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"the definition is not valid: {error}") from error


def define(
    draft: Draft,
    known: Mapping[str, ExperimentEvent],
    now: int,
    find_model: Callable[[str], ModelChoice],
) -> ExperimentEvent:
    """The definition to publish.

    One that is there already keeps its place in its group, so that nobody leaves it who need not,
    and goes into another round where it gives somebody something else than before.

    Args:
        draft: what is wanted.
        known: the definitions there are, by name.
        now: ms since the epoch.
        find_model: the model of a version. Raises FreshetError.

    Raises:
        ConfigurationError: it contradicts itself, or another experiment that has not ended.
    """
    before = known.get(draft.name)
    others = [it for it in known.values() if it.name != draft.name and not _ended(it, now)]
    group = draft.group or draft.name
    begin, end = _place(draft.share, group, others, before)
    kept = before.start if before is not None else now
    event = ExperimentEvent(
        event_id=new_event_id(),
        name=draft.name,
        kind=draft.kind,
        group=group,
        begin=begin,
        end=end,
        salt=draft.salt or draft.name,
        control=draft.control,
        variants=tuple(_variant(name, it, find_model) for name, it in draft.variants.items()),
        overrides=_overrides(draft.overrides),
        effect=draft.effect,
        start=kept if draft.start is None else _millis(draft.start),
        stop=None if draft.stop is None else _millis(draft.stop),
        event_time=now,
        produced_time=now,
    )
    event = msgspec.structs.replace(event, round=_round(event, before))
    try:
        decode_experiment(encode(event))
    except InvalidEvent as error:
        raise ConfigurationError(f"the definition is not valid: {error.detail}") from error
    _check(event, others)
    return event


def stopped(event: ExperimentEvent, now: int) -> ExperimentEvent:
    """The same, which runs no more from `now` on, ms since the epoch."""
    return msgspec.structs.replace(
        event, event_id=new_event_id(), stop=now, event_time=now, produced_time=now
    )


def chosen(event: ExperimentEvent) -> set[str]:
    """What its variants choose."""
    names = {name for name in CHOICES for it in event.variants if getattr(it, name) is not None}
    return names | ({"interleaving"} if event.kind == "interleaving" else set())


def _check(event: ExperimentEvent, others: Iterable[ExperimentEvent]) -> None:
    if event.stop is not None and event.stop <= event.start:
        raise ConfigurationError(f"{event.name} would stop before it starts")
    models = {variant.model for variant in event.variants}
    if event.kind == "interleaving" and len(models) > 1:
        raise ConfigurationError(
            f"{event.name}: one list is of one model version, so interleaved variants differ in "
            "everything but `model`"
        )
    for other in others:
        both = chosen(event) & chosen(other)
        if both and other.group != event.group:
            raise ConfigurationError(
                f"{event.name} and {other.name} both choose {', '.join(sorted(both))}: put them "
                "into one `group`, so that nobody is in both"
            )


def _variant(name: str, draft: VariantDraft, find: Callable[[str], ModelChoice]) -> Variant:
    said: dict[str, Any] = msgspec.structs.asdict(draft)
    version = said.pop("model")
    return Variant(name=name, model=None if version is None else find(version), **said)


def _overrides(written: Mapping[str, str]) -> dict[int, str]:
    """TOML knows keys that are strings only."""
    if wrong := [user for user in written if not re.fullmatch(r"\d{1,16}", user)]:
        raise ConfigurationError(f"overrides: {', '.join(wrong)}: no user id")
    return {int(user): variant for user, variant in written.items()}


def _place(
    share: float, group: str, others: Iterable[ExperimentEvent], before: ExperimentEvent | None
) -> tuple[float, float]:
    """Where in its group it stands: where it stood, or else in the first gap that is large enough.

    Raises ConfigurationError where there is no such gap.
    """
    taken = sorted((it.begin, it.end, it.name) for it in others if it.group == group)
    starts = [0.0, *(end for _, end, _ in taken)]
    if before is not None and before.group == group:
        starts.insert(0, before.begin)
    for begin in starts:
        end = min(begin + share, 1.0)
        fits = end - begin >= share - _ROUNDING
        if fits and all(end <= b + _ROUNDING or begin >= e - _ROUNDING for b, e, _ in taken):
            return begin, end
    said = ", ".join(f"{name} has {begin:g} to {end:g}" for begin, end, name in taken)
    raise ConfigurationError(
        f"group {group} has no room for a share of {share:g}: {said}. Stop one, or take less"
    )


def _round(event: ExperimentEvent, before: ExperimentEvent | None) -> int:
    if before is None:
        return 1
    same = all(getattr(event, name) == getattr(before, name) for name in _MATTERS)
    return before.round if same else before.round + 1


def _ended(event: ExperimentEvent, now: int) -> bool:
    return event.stop is not None and event.stop <= now


def _millis(time: datetime) -> int:
    """A time without a zone is UTC."""
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
