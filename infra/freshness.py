"""Measures the product's promise from outside, as a client would: rate, ask, look at the clock."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import numpy as np

from stream.contracts.errors import FreshetError
from stream.contracts.topics import partition_of

# How long a GET may wait for the state to include an event, ms. Far above what is expected, so
# that a slow round is measured instead of cut off.
WAIT_MS = 5_000

T = TypeVar("T")

# Seconds for a replay to get going: it reads its data set and finds out where to go on.
PACE_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Round:
    """One rating and the first list that reflects it.

    Attributes:
        accepted_to_included: ms from the POST's answer to the answer of a GET that includes it.
        total: ms from sending the POST to the same.
        recommendations: that list, as the API gave it.
    """

    accepted_to_included: float
    total: float
    recommendations: dict[str, Any]


def rate_and_ask(client: httpx.Client, user_id: int, ratings: Sequence[tuple[int, float]]) -> Round:
    """Post `(movie id, stars)` of one user, then get a list that includes them.

    Raises:
        FreshetError: the API refused, or did not include the ratings within `WAIT_MS`.
    """
    body = [{"user_id": user_id, "movie_id": m, "rating": stars} for m, stars in ratings]
    sent = time.perf_counter()
    posted = client.post("/api/v1/ratings", json=body)
    accepted = time.perf_counter()
    position = body_of(posted)["positions"][str(user_id)]
    answer = client.get(
        f"/api/v1/recommendations/{user_id}", params={"after": position, "wait_ms": WAIT_MS}
    )
    included = time.perf_counter()
    recommendations = body_of(answer)
    if not recommendations["freshness"]["included"]:
        raise FreshetError(f"position {position} was not in the state within {WAIT_MS} ms")
    return Round((included - accepted) * 1e3, (included - sent) * 1e3, recommendations)


def applied(client: httpx.Client, partitions: int) -> int:
    """How many events are in the live state, over all partitions, as the API's answers tell."""
    users = {partition_of(user, partitions): user for user in range(1, 100 * partitions)}
    total = 0
    for user in users.values():
        answer = body_of(client.get(f"/api/v1/recommendations/{user}", params={"limit": 1}))
        position = answer["freshness"]["position"]
        total += int(position.partition(":")[2]) + 1 if position else 0
    return total


def wait_for_pace(client: httpx.Client, partitions: int, rate: float) -> None:
    """Return once about `rate` events a second are being applied.

    Raises FreshetError where that does not happen within `PACE_TIMEOUT`.
    """
    deadline = time.monotonic() + PACE_TIMEOUT
    while time.monotonic() < deadline:
        before, began = applied(client, partitions), time.monotonic()
        time.sleep(0.5)
        if applied(client, partitions) - before > rate / 2 * (time.monotonic() - began):
            return
    raise FreshetError(f"no {rate:g} events a second are applied after {PACE_TIMEOUT:g} s")


def beside_others(
    client: httpx.Client, partitions: int, rate: float, own: int, measure: Callable[[], T]
) -> tuple[T, float]:
    """What `measure` returns, and how many events a second of others were applied meanwhile.

    Begins once the others are at their pace of about `rate` events a second.

    Args:
        client: of the API.
        partitions: of the `ratings` topic.
        rate: what the others are to do.
        own: how many events `measure` makes itself.
        measure: called once.

    Raises FreshetError where the others do not get going.
    """
    wait_for_pace(client, partitions, rate)
    before, began = applied(client, partitions), time.monotonic()
    measured = measure()
    others = applied(client, partitions) - before - own
    return measured, others / (time.monotonic() - began)


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and max."""
    p50, p95, p99 = np.percentile(milliseconds, (50, 95, 99))
    return {"p50": p50, "p95": p95, "p99": p99, "max": max(milliseconds)}


def body_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON of an answer. Raises FreshetError where it is an error."""
    if response.is_error:
        raise FreshetError(
            f"{response.request.method} {response.request.url} answered "
            f"{response.status_code}: {response.text[:300]}"
        )
    body: dict[str, Any] = response.json()
    return body
