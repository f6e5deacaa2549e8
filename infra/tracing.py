"""OpenTelemetry behind `stream.contracts.tracing`: a request, its stages, the log, the commit.

Where spans are sent and which are sampled say the standard variables: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME and so on.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from stream.contracts import tracing
from stream.contracts.tracing import Headers, Kind

# A batch has a thousand records; this many say enough of where they came from.
MAX_LINKS: Final = 128

_CARRIED: Final = (b"traceparent", b"tracestate")
_KINDS: Final[Mapping[Kind, SpanKind]] = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
}
_PROPAGATOR: Final = TraceContextTextMapPropagator()


@contextmanager
def traced(service: str) -> Iterator[None]:
    """Send traces within, and what is left of them at the end.

    `service` is what this process is called, unless OTEL_SERVICE_NAME says.
    """
    os.environ.setdefault("OTEL_SERVICE_NAME", service)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracing.turn_on(OpenTelemetry(provider))
    try:
        yield
    finally:
        tracing.turn_on(None)
        provider.shutdown()


class Answered:
    """The span of a request, which is named when it is known what it was."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def trace_id(self) -> str:
        return f"{self._span.get_span_context().trace_id:032x}"

    def answered(self, method: str, route: str, status: int) -> None:
        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
            }
        )
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)


class OpenTelemetry:
    """`Tracing` that hands spans to `provider`."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer("freshet")

    def span(
        self, name: str, kind: Kind, attributes: Mapping[str, Any]
    ) -> AbstractContextManager[Any]:
        if not trace.get_current_span().get_span_context().is_valid:
            return nullcontext()  # of nothing that is traced
        return self._tracer.start_as_current_span(name, kind=_KINDS[kind], attributes=attributes)

    @contextmanager
    def request(self, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Answered]:
        began = self._tracer.start_as_current_span(
            "request", _context(headers), kind=SpanKind.SERVER
        )
        with began as span:
            yield Answered(span)

    def batch(self, name: str, records: Iterable[Headers]) -> AbstractContextManager[Any]:
        """Within the trace of the records where that is one, else linked to all of theirs."""
        found = list({(it.trace_id, it.span_id): it for it in _origins(records)}.values())
        if not found:
            return nullcontext()
        one = len({it.trace_id for it in found}) == 1
        return self._tracer.start_as_current_span(
            name,
            trace.set_span_in_context(trace.NonRecordingSpan(found[0])) if one else Context(),
            kind=SpanKind.CONSUMER,
            links=[Link(it) for it in found[one : MAX_LINKS + one]],
        )

    def headers(self) -> Headers:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return [(name, value.encode()) for name, value in carrier.items()]


def _context(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    carrier = {str(k, "ascii"): str(v, "latin-1") for k, v in headers if k in _CARRIED}
    return _PROPAGATOR.extract(carrier, Context())


def _origins(records: Iterable[Headers]) -> Iterator[SpanContext]:
    """What the records were sent within, of those that somebody wants to see."""
    for headers in records:
        if headers:
            context = _context((name.encode(), it) for name, it in headers if it is not None)
            found = trace.get_current_span(context).get_span_context()
            if found.is_valid and found.trace_flags.sampled:
                yield found
