"""Dataclasses as one level of names and values, as files, manifests and MLflow hold them."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from stream.contracts.errors import ConfigurationError

T = TypeVar("T")
Value: TypeAlias = bool | int | float | str


def flat(config: Any) -> dict[str, Value]:
    """The fields of a dataclass and of those in it, in one level."""
    values: dict[str, Value] = {}
    for part in fields(config):
        value = getattr(config, part.name)
        values |= flat(value) if is_dataclass(value) else {part.name: value}
    return values


def parse(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """The dataclass of which `values` are the `flat` form; what is not in it has its default.

    Args:
        kind: a dataclass, whose types may say by `msgspec.Meta` which values are allowed.
        values: by field.
        where: in front of messages.

    Raises:
        ConfigurationError: there is no such field, or its value has the wrong type or is out of
            range.
    """
    known = _names(kind)
    for name in values:
        if name not in known:
            raise ConfigurationError(
                f"{where} has no key {name}: there are {', '.join(sorted(known))}"
            )
    given: dict[str, Any] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if isinstance(hint, type) and is_dataclass(hint):
            inner = {key: values[key] for key in _names(hint) if key in values}
            given[name] = parse(hint, _default(kind, name) | inner, where)
        elif name in values:
            given[name] = checked(values[name], hint, f"{where} {name} = {values[name]!r}")
    return kind(**given)


def checked(value: object, hint: Any, where: str) -> object:
    """The value as this type, whose `msgspec.Meta` it fulfils. Raises ConfigurationError."""
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        allowed = ""
        if get_origin(hint) is Literal:
            allowed = f": there are {', '.join(map(repr, get_args(hint)))}"
        raise ConfigurationError(f"{where} is wrong: {error}{allowed}") from error


def _default(kind: Any, name: str) -> dict[str, Value]:
    """Of a field that is a dataclass, in one level; empty where it has none."""
    [of] = [one for one in fields(kind) if one.name == name]
    if of.default_factory is not MISSING:
        return flat(of.default_factory())
    return {} if of.default is MISSING else flat(of.default)


def _names(kind: Any) -> list[str]:
    """Of the fields of a dataclass and of those in it."""
    names = []
    for name, hint in get_type_hints(kind).items():
        names += _names(hint) if is_dataclass(hint) else [name]
    return names
