"""By what times the two topics of experiments keep up with each other."""

import time
from collections.abc import Iterator, Sequence

from stream.experiments.outcomes import SKEW
from stream.log import LogRecord


def came(record: LogRecord) -> int:
    """When a record came, ms; 0, before all others, where it says that it is yet to come.

    A clock that is so wrong does not tell when. Were it believed, all of the other topic would be
    counted before its record, or nothing behind that record before the time that it says.
    """
    return 0 if record.timestamp > time.time() * 1_000 + SKEW else record.timestamp


def runs(records: Sequence[LogRecord], span: int) -> Iterator[Sequence[LogRecord]]:
    """The records, in order, in parts whose times are less than `span` ms apart, or it is one."""
    begin = 0
    for at, record in enumerate(records):
        if came(record) - came(records[begin]) >= span and at > begin:
            yield records[begin:at]
            begin = at
    if begin < len(records):
        yield records[begin:]
