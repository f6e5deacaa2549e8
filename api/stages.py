"""How long each stage of a request took: for the metrics, the log and the answer's headers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from api import metrics

# By stage, in ms, of the request under way; who begins a request sets a new one.
timings: ContextVar[dict[str, float]] = ContextVar("timings")


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Measure what is done meanwhile as this stage of the request; twice the same adds up."""
    began = time.perf_counter()
    try:
        yield
    finally:
        took = time.perf_counter() - began
        metrics.STAGE.labels(name).observe(took)
        stages = timings.get(None)
        if stages is not None:
            stages[name] = stages.get(name, 0.0) + took * 1_000
