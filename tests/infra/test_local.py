"""The stack with real servers; the API and the workers are stand-ins that only answer."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from infra import local, services
from infra.local import ANY_PORTS, LocalStack, Ports
from infra.settings import STACK_FILE, Settings, load_settings
from producers.admin import partition_count, topic_id
from stream.contracts.errors import ConfigurationError
from tests.infra.test_supervisor import DEADLINE, Sayings, eventually

FAKE = (sys.executable, str(Path(__file__).with_name("fake_client.py")))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with nothing configured and stand-ins for our own processes."""
    for name in [name for name in os.environ if name.startswith("FRESHET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path))
    monkeypatch.setattr(local, "FRESHET", FAKE)
    return tmp_path


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, api_port=0, kafka_partitions=3)


@pytest.fixture
def sayings() -> Sayings:
    return Sayings()


@pytest.fixture
def stack(settings: Settings, sayings: Sayings) -> Iterator[LocalStack]:
    with LocalStack(settings, workers=2, ports=ANY_PORTS, say=sayings.append) as running:
        yield running


NAMES = ("broker", "redis", "api", "worker-1", "worker-2", "archiver")


def test_everything_runs_and_ends(settings: Settings, home: Path) -> None:
    with LocalStack(settings, workers=2, ports=ANY_PORTS) as stack:
        pids = [stack.process(name).pid for name in NAMES]
        assert all(psutil.pid_exists(pid) for pid in pids)
        found = load_settings()
        assert found.kafka_bootstrap_servers == stack.settings.kafka_bootstrap_servers
        assert found.redis_url == stack.settings.redis_url
        assert found.api_port == stack.settings.api_port != 0
        assert partition_count(found.librdkafka(), "ratings") == 3
        services.redis_ready(str(found.redis_url))
        assert {log.name for log in (home / "logs").iterdir()} == {f"{n}.log" for n in NAMES}
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert not (home / STACK_FILE).exists()
    assert load_settings().redis_url is None


def test_the_table_says_what_runs_where(stack: LocalStack) -> None:
    cells = [cell for column in stack.table().columns for cell in column.cells]
    assert {*NAMES, "index", "experiments"} <= set(cells)
    assert stack.settings.kafka_bootstrap_servers in cells
    assert str(stack.process("api").pid) in cells


def test_a_home_has_one_stack(stack: LocalStack, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=f"process {os.getpid()}"), LocalStack(settings):
        pass
    assert load_settings().redis_url == stack.settings.redis_url  # the first one is as it was


def test_a_taken_port_is_left_alone(settings: Settings, sayings: Sayings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        ports = Ports(broker=0, redis=taken, workers=0)
        with LocalStack(settings, ports=ports, say=sayings.append) as stack:
            assert sayings.has(f"port {taken} is taken: Redis listens on")
            services.redis_ready(str(stack.settings.redis_url))


def test_what_is_configured_is_used_and_not_started(
    settings: Settings, broker: str, redis_url: str
) -> None:
    configured = settings.model_copy(
        update={"kafka_bootstrap_servers": broker, "redis_url": redis_url}
    )
    with LocalStack(configured, ports=ANY_PORTS) as stack:
        with pytest.raises(KeyError):
            stack.process("broker")
        with pytest.raises(KeyError):
            stack.process("redis")
        assert stack.env["FRESHET_KAFKA_BOOTSTRAP_SERVERS"] == broker
        assert stack.env["FRESHET_REDIS_URL"] == redis_url
        assert partition_count(stack.settings.librdkafka(), "ratings") > 0


def test_a_killed_worker_comes_back_alone(stack: LocalStack) -> None:
    pids = {name: stack.process(name).pid for name in NAMES}
    stack.process("worker-1").kill()
    stack.wait_ready("worker-1")
    changed = {name for name in NAMES if stack.process(name).pid != pids[name]}
    assert changed == {"worker-1"}


def test_a_broker_that_lost_the_log_takes_its_clients_with_it(stack: LocalStack) -> None:
    kafka = stack.settings.librdkafka()
    before = topic_id(kafka, "ratings")
    stack.process("broker").kill()
    eventually(lambda: all(stack.process(n).restarts == 1 for n in NAMES[2:]))
    stack.wait_ready(*NAMES)
    assert topic_id(kafka, "ratings") != before
    assert partition_count(kafka, "ratings") == 3
    assert stack.process("redis").restarts == 0


def test_redis_of_a_volatile_broker_keeps_nothing(stack: LocalStack, home: Path) -> None:
    with redis.Redis.from_url(str(stack.settings.redis_url)) as client:
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("appendonly") == {"appendonly": "no"}
        assert client.config_get("dbfilename") != {"dbfilename": "dump.rdb"}  # may be anybody's
    assert not (home / "redis").exists()


def test_redis_of_a_durable_broker_is_found_again(settings: Settings, broker: str) -> None:
    configured = settings.model_copy(update={"kafka_bootstrap_servers": broker})
    with (
        LocalStack(configured, ports=ANY_PORTS) as stack,
        redis.Redis.from_url(str(stack.settings.redis_url)) as client,
    ):
        client.set("key", "value")
    with (
        LocalStack(configured, ports=ANY_PORTS) as stack,
        redis.Redis.from_url(str(stack.settings.redis_url)) as client,
    ):
        assert client.get("key") == b"value"


# `freshet up` in a process of its own, with the stand-ins.
UP = f"""
import sys
from infra import local
from infra.cli import main
local.FRESHET = {FAKE!r}
sys.argv = ["freshet", "up", "--workers", "2"]
main()
"""


@pytest.fixture
def up(home: Path) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "FRESHET_API_PORT": "0", "COLUMNS": "200"}
    with subprocess.Popen(
        [sys.executable, "-c", UP], stdout=subprocess.PIPE, env=env, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_stops_everything_when_asked(
    up: subprocess.Popen[str], home: Path, number: signal.Signals
) -> None:
    children = psutil.Process(up.pid).children(recursive=True)
    assert len(children) == len(NAMES)
    up.send_signal(number)
    assert up.wait(DEADLINE) == 0
    assert not any(child.is_running() for child in children)
    assert not (home / STACK_FILE).exists()


def test_up_that_is_killed_leaves_nothing_behind_that_matters(
    up: subprocess.Popen[str], home: Path, settings: Settings
) -> None:
    children = psutil.Process(up.pid).children(recursive=True)
    assert load_settings().redis_url is not None
    up.kill()
    up.wait()
    eventually(lambda: not any(child.is_running() for child in children))
    assert (home / STACK_FILE).exists()  # stale, and known to be
    assert load_settings().redis_url is None
    with LocalStack(settings, ports=ANY_PORTS) as stack:
        assert load_settings().redis_url == stack.settings.redis_url
