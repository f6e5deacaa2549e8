"""The seam to OpenTelemetry: what is done is told here, and `infra.tracing` sends it on.

Off, which is how it begins, nothing is imported and nothing is done. A trace crosses the log in the
headers of a record, as W3C Trace Context has it (``traceparent``, ``tracestate``).
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Literal, Protocol, TypeAlias

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]  # of a record

Kind: TypeAlias = Literal["internal", "client", "producer"]


class Tracing(Protocol):
    """Spans last as long as their context manager; what is begun meanwhile is within them."""

    def span(
        self, name: str, kind: Kind, attributes: Mapping[str, Any]
    ) -> AbstractContextManager[Any]: ...

    def request(self, headers: Iterable[tuple[bytes, bytes]]) -> AbstractContextManager[Any]:
        """What a server does for a request that has these headers; gives the span."""
        ...

    def batch(self, name: str, records: Iterable[Headers]) -> AbstractContextManager[Any]:
        """What a consumer does with records that have these headers."""
        ...

    def headers(self) -> Headers:
        """What a record gets that is sent within the span under way."""
        ...


_OFF: Final = nullcontext()

_active: Tracing | None = None


def turn_on(tracing: Tracing | None) -> None:
    """Have everything traced from now on; None: nothing any more."""
    global _active
    _active = tracing


def is_on() -> bool:
    return _active is not None


def span(name: str, kind: Kind = "internal", **attributes: Any) -> AbstractContextManager[Any]:
    """A part of what is under way; nothing where that is not traced."""
    return _OFF if _active is None else _active.span(name, kind, attributes)


def request(headers: Iterable[tuple[bytes, bytes]]) -> AbstractContextManager[Any]:
    return _OFF if _active is None else _active.request(headers)


def batch(name: str, records: Iterable[Any]) -> AbstractContextManager[Any]:
    """Records as their consumer has them; those without headers are of no trace."""
    if _active is None:
        return _OFF
    return _active.batch(name, (getattr(record, "headers", None) or () for record in records))


def headers() -> Headers:
    return () if _active is None else _active.headers()
