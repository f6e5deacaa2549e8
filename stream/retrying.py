"""Trying again while a service is away, and giving up in time."""

import logging
from typing import Final

from tenacity import (
    AsyncRetrying,
    before_sleep_log,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential_jitter,
)

from stream.contracts.errors import Unavailable

# Seconds after which a worker gives up and is restarted: a service that its supervisor restarts is
# back by then. Below the time after which Kafka takes its partitions away (60).
GIVE_UP: Final = 30.0

# Seconds between tries, at first and at most.
FIRST_WAIT: Final = 0.05
LONGEST_WAIT: Final = 2.0

logger = logging.getLogger(__name__)


def retrying(seconds: float = GIVE_UP) -> AsyncRetrying:
    """Repeats a call that raises Unavailable; after `seconds` of that, raises it."""
    return AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_exponential_jitter(multiplier=FIRST_WAIT, max=LONGEST_WAIT, jitter=FIRST_WAIT),
        stop=stop_after_delay(seconds),
        before_sleep=before_sleep_log(logger, logging.WARNING),
        reraise=True,
    )
