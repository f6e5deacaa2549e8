"""A replay as a process of its own, so that it can be killed: prints how far it has got."""

import sys

import pyarrow.parquet as pq

from producers.pace import Pace
from producers.replay import Status, replay
from stream.contracts.topics import Topics


def main(bootstrap: str, prefix: str, ratings: str, rate: str) -> None:
    def show(status: Status) -> None:
        print(status.done, flush=True)

    table = pq.read_table(ratings)
    config = {"bootstrap.servers": bootstrap}
    replay(table, config, Topics(prefix), pace=Pace(rate=float(rate)), on_progress=show)


if __name__ == "__main__":
    main(*sys.argv[1:])
