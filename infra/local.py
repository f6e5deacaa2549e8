"""The local stack: whatever is not configured to be external, started, watched and stopped."""

import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import FrameType, TracebackType
from typing import Final, Literal, TypeAlias

from rich.table import Column, Table
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from infra import services
from infra.apache import apache
from infra.first_key import first_key
from infra.services import LOOPBACK
from infra.settings import STACK_FILE, STACK_LOCK, Settings
from infra.supervisor import Child, Service, Supervisor
from producers.admin import ensure_topics
from stream.contracts.errors import ConfigurationError
from stream.contracts.topics import Topics

Broker: TypeAlias = Literal["tansu", "apache"]

# Seconds until a service is ready, on a machine that is busy with something else as well: Apache
# Kafka takes 7, a consumer group's first assignment by the embedded broker up to 25.
START_TIMEOUT: Final = 90.0

# Seconds for a stop, together under the five that it may take: first those who use the servers,
# then the servers. Whoever needs longer is killed, which every one of them survives.
SERVERS: Final = {"broker", "redis"}
CLIENTS_STOP: Final = 2.5
SERVERS_STOP: Final = 1.5


@dataclass(frozen=True, slots=True)
class Ports:
    """Where embedded services listen if nothing else does; 0: wherever there is room.

    `workers` is the first worker's, the others follow.
    """

    broker: int = 9092
    redis: int = 6379
    workers: int = 8101
    archiver: int = 8100


ANY_PORTS: Final = Ports(0, 0, 0, 0)
ADDRESSES: Final = ("kafka_bootstrap_servers", "redis_url", "api_host", "api_port")

FRESHET: Final = (sys.executable, "-m", "infra")  # the command of this very installation


class LocalStack:
    """Broker, Redis, topics, workers, archiver and API, running between `with` and its end.

    Everything that it started ends with this process, however this process ends. While it runs,
    `<home>/stack.env` tells other commands where everything is.

    Args:
        settings: what is configured there to be external is used and not started.
        broker: the embedded broker. Tansu keeps its log in memory and starts at once; Apache Kafka
            keeps it under `home` and needs Java and Maven.
        workers: how many stream workers.
        ports: the usual ports; another is taken where one is in use.
        say: gets lines for people.

    Raises, when entered:
        ConfigurationError: a stack runs in this home already, or a program is missing.
        Unavailable: a service did not become ready; the message has the end of its log.
    """

    def __init__(
        self,
        settings: Settings,
        broker: Broker = "tansu",
        workers: int = 1,
        ports: Ports = Ports(),
        say: Callable[[str], None] = print,
    ) -> None:
        self._home = settings.home.absolute()
        self.settings = settings.model_copy(update={"home": self._home})  # addresses once entered
        # Whether the log lives in the broker's memory, and all state with it.
        self._volatile = broker == "tansu" and settings.kafka_bootstrap_servers is None
        self._workers = workers
        self._ports = ports
        self._say = say
        self._exit = ExitStack()

    def __enter__(self) -> "LocalStack":
        with ExitStack() as entered:
            entered.enter_context(_alone_in(self._home))
            self._supervisor = entered.enter_context(Supervisor(self._home / "logs", self._say))
            entered.callback(self._stop)
            self._start_servers()
            self._start_clients()
            addresses = self.settings.environment(*ADDRESSES)
            entered.enter_context(_published(self._home / STACK_FILE, addresses))
            self._exit = entered.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    @property
    def _needs(self) -> tuple[str, ...]:
        """Without whose memory a reader's is worthless."""
        return ("broker",) if self._volatile else ()

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that give a subprocess these settings."""
        return self.settings.environment()

    @property
    def api_url(self) -> str:
        host = self.settings.api_host
        return f"http://{LOOPBACK if host == '0.0.0.0' else host}:{self.settings.api_port}"

    def process(self, name: str) -> Child:
        """`broker`, `redis`, `api`, `worker-1`, ... or `archiver`: its log, its `kill()`."""
        return self._supervisor.child(name)

    def wait_ready(self, *names: str, timeout: float = START_TIMEOUT) -> None:
        """Return once these are ready (again); raises Unavailable."""
        self._supervisor.wait_ready(*names, timeout=timeout)

    def table(self) -> Table:
        """What runs where, for people."""
        table = Table("what", Column("where", overflow="fold"), "process", "log")
        running = self._supervisor.children()
        for child in running:
            service = child.service
            table.add_row(service.name, service.address, str(child.pid), os.path.relpath(child.log))
        settings = self.settings
        elsewhere = {
            "broker": settings.kafka_bootstrap_servers,
            "redis": settings.redis_url,
            "index": settings.qdrant_url or "Qdrant Edge, in process",
            "experiments": settings.tracking_uri,
        }
        for name, where in elsewhere.items():
            if name not in {child.service.name for child in running}:
                table.add_row(name, services.without_login(str(where)), "", "")
        return table

    def _start_servers(self) -> None:
        started = []
        if self.settings.kafka_bootstrap_servers is None:
            port = self._port("the broker", self._ports.broker)
            broker = (
                services.tansu(port)
                if self._volatile
                else apache(port, self._home / "kafka", self._say)
            )
            self._resolve(kafka_bootstrap_servers=broker.address)
            started.append(replace(broker, ready=self._broker_ready))
        if self.settings.redis_url is None:
            # What Redis holds is worth keeping only as long as the log that it is a view of.
            data = None if self._volatile else self._home / "redis"
            redis = services.valkey(self._port("Redis", self._ports.redis), data)
            self._resolve(redis_url=redis.address)
            started.append(redis)
        self._start(started)
        self._ensure_topics()
        services.redis_ready(str(self.settings.redis_url))

    def _start_clients(self) -> None:
        host = self.settings.api_host
        self._resolve(api_port=self._port("the API", self.settings.api_port, host))
        self._resolve(**first_key(self.settings, self._say))
        started = [
            Service(
                name="api",
                command=[*FRESHET, "api"],
                address=self.api_url,
                ready=lambda: services.api_ready(self.api_url),
                env=self.env,
                needs=self._needs,
            )
        ]
        first = self.settings.worker_metrics_port or self._ports.workers
        for i in range(self._workers):
            port = self._port(f"worker {i + 1}", first and first + i)
            started.append(self._reader(f"worker-{i + 1}", "worker", port))
        port = self._port(
            "the archiver", self.settings.archive_metrics_port or self._ports.archiver
        )
        started.append(self._reader("archiver", "archive", port))
        self._start(started)

    def _reader(self, name: str, command: str, port: int) -> Service:
        """A process that reads the log, and its metrics and readiness at `port`."""
        url = f"http://{LOOPBACK}:{port}"
        return Service(
            name=name,
            command=[*FRESHET, command],
            address=f"{url}/metrics",
            ready=partial(services.http_ready, f"{url}/readyz"),
            env={**self.env, f"FRESHET_{command.upper()}_METRICS_PORT": str(port)},
            needs=self._needs,
        )

    def _start(self, started: list[Service]) -> None:
        if started:
            self._say(f"starting {', '.join(service.name for service in started)}")
        self._supervisor.start(*started, timeout=START_TIMEOUT)

    def _stop(self) -> None:
        names = {child.service.name for child in self._supervisor.children()}
        self._supervisor.stop(names - SERVERS, CLIENTS_STOP)
        self._supervisor.stop(names & SERVERS, SERVERS_STOP)

    def _broker_ready(self) -> None:
        services.kafka_ready(self.settings.librdkafka())
        self._ensure_topics()  # a broker that lost its memory has lost them too

    def _ensure_topics(self) -> None:
        settings = self.settings
        ensure_topics(
            settings.librdkafka(),
            Topics(settings.kafka_topic_prefix),
            settings.kafka_partitions,
            settings.kafka_replication,
        )

    def _resolve(self, **addresses: object) -> None:
        self.settings = self.settings.model_copy(update=addresses)

    def _port(self, what: str, wanted: int, host: str = LOOPBACK) -> int:
        port = services.free_port(wanted, host)
        if wanted and port != wanted:
            self._say(f"port {wanted} is taken: {what} listens on {port}")
        return port


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Within, SIGTERM raises KeyboardInterrupt as Ctrl-C does, so that `with` blocks end."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _alone_in(home: Path) -> Iterator[None]:
    """Hold the home's lock, which the kernel lets go when this process dies, however it dies."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / STACK_LOCK).open("a+") as lock:
        try:
            # Readers hold it for an instant to see whether a stack does.
            for attempt in Retrying(
                retry=retry_if_exception_type(BlockingIOError),
                wait=wait_fixed(0.05),
                stop=stop_after_delay(0.5),
                reraise=True,
            ):
                with attempt:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise ConfigurationError(
                f"a stack already runs in {home} (process {lock.read().strip()}): stop it, or set "
                "FRESHET_HOME to another directory"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def _published(file: Path, variables: dict[str, str]) -> Iterator[None]:
    """Have `file` set these variables, whole or not at all, and gone afterwards."""
    with NamedTemporaryFile("w", dir=file.parent, prefix=file.name, delete=False) as scratch:
        scratch.writelines(f"{name}={value}\n" for name, value in variables.items())
    Path(scratch.name).replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
