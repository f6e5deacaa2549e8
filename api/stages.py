"""The request under way: what it is called, and how long each of its stages took.

For the metrics, the log, the answer's headers and traces.
"""

import time
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from prometheus_client import Histogram

from api import metrics
from stream.contracts import tracing

request_id: ContextVar[str] = ContextVar("request_id")

# By stage, in ms; who begins a request sets a new one.
timings: ContextVar[dict[str, float]] = ContextVar("timings")

# Looking a series up by its labels costs more than observing does.
_histograms: dict[str, Histogram] = {}


class stage:  # noqa: N801 - it reads as what it does: with stage("rank"): ...
    """Measures what is done within as this stage of the request; twice the same adds up."""

    __slots__ = ("_began", "_name", "_span")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._span: AbstractContextManager[Any] | None = None
        if tracing.is_on():
            self._span = tracing.span(self._name)
            self._span.__enter__()
        self._began = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        took = time.perf_counter() - self._began
        name = self._name
        histogram = _histograms.get(name)
        if histogram is None:
            histogram = _histograms[name] = metrics.STAGE.labels(name)
        histogram.observe(took)
        stages = timings.get(None)
        if stages is not None:
            stages[name] = stages.get(name, 0.0) + took * 1_000
        if self._span is not None:
            self._span.__exit__(kind, error, trace)
