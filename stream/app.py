"""The Faust app: how it reaches Kafka and what it leaves alone."""

from collections.abc import Mapping
from typing import Any, Final

import faust
from aiokafka.helpers import create_ssl_context
from faust.auth import SASLCredentials, SSLCredentials

from stream.contracts.topics import Topics
from stream.transport import FETCH_RECORDS, BatchSchema, BatchTransport, StartOffset

# Seconds without a heartbeat after which a worker is taken for dead and its partitions go to the
# others: the least that Kafka allows unless it is told otherwise. The embedded broker waits half of
# it before it gives out partitions.
SESSION_TIMEOUT: Final = 6.0
HEARTBEAT: Final = 1.0  # also how long a worker takes to notice that another one has come

# Seconds between commits to the consumer group. They decide nothing, for the store knows how far
# the state has got; they are for whoever watches the group's lag.
COMMIT_INTERVAL: Final = 1.0


class App(faust.App):
    async def on_first_start(self) -> None:
        """Faust would make directories for tables here, and there are none."""


def create_app(
    config: Mapping[str, str], topics: Topics, start_offset: StartOffset | None = None
) -> App:
    """A Faust app without agents, whose topics made by `batches` are read in partition batches.

    Args:
        config: `Settings.librdkafka()`.
        topics: names the consumer group.
        start_offset: where to begin with a partition that was just assigned.
    """
    app = App(
        topics.group,
        broker=[f"kafka://{server}" for server in config["bootstrap.servers"].split(",")],
        broker_credentials=_credentials(config),
        broker_session_timeout=SESSION_TIMEOUT,
        broker_heartbeat_interval=HEARTBEAT,
        broker_commit_interval=COMMIT_INTERVAL,
        broker_max_poll_records=FETCH_RECORDS,
        consumer_auto_offset_reset="earliest",
        agent_supervisor="mode.CrashingSupervisor",
        table_standby_replicas=0,  # more would bring in the assignor for tables
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.finalize()
    app.transport = BatchTransport(app.conf.broker_consumer, app)
    if start_offset is not None:
        app.transport.start_offset = start_offset
    return app


def batches(app: App, topic: str) -> Any:
    """A topic whose every event is a partition batch: its value is the records."""
    return app.topic(topic, schema=BatchSchema())


def _credentials(config: Mapping[str, str]) -> SASLCredentials | SSLCredentials | None:
    protocol = config.get("security.protocol", "PLAINTEXT")
    context = None
    if protocol.endswith("SSL"):
        context = create_ssl_context(
            cafile=config.get("ssl.ca.location"),
            certfile=config.get("ssl.certificate.location"),
            keyfile=config.get("ssl.key.location"),
        )
    if protocol.startswith("SASL"):
        return SASLCredentials(
            mechanism=config["sasl.mechanism"],
            username=config["sasl.username"],
            password=config["sasl.password"],
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)
