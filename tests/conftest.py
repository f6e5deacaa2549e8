"""Real servers for the tests: one broker and one Redis for the whole run, tests kept apart.

Tests share the broker under topic prefixes of their own, and Redis in databases of their own. A
server that the environment configures is never touched.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import redis
from hypothesis import settings

from infra import services
from infra.apache import apache
from infra.supervisor import Supervisor
from stream.contracts.topics import Topics

# The fixtures that need these import them: all other tests start a second sooner.
if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

    from tests.planted_model import Trait
    from tests.system import System

# How long an example takes says more about the machine than about the code.
settings.register_profile("freshet", deadline=None)
settings.load_profile("freshet")

START_TIMEOUT = 60.0  # seconds; they take under one, on a machine that is not overloaded

_databases = count(1)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    with Supervisor(tmp_path_factory.mktemp("servers"), say=print) as supervisor:
        yield supervisor


@pytest.fixture(scope="session")
def broker(servers: Supervisor) -> str:
    """Bootstrap servers of the embedded broker."""
    service = services.tansu(services.free_port())
    servers.start(service, timeout=START_TIMEOUT)
    return service.address


@pytest.fixture(scope="session")
def apache_broker(servers: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Bootstrap servers of Apache Kafka; the service is called `apache`."""
    _skip_without_java()
    service = apache(services.free_port(), tmp_path_factory.mktemp("kafka"), say=print)
    servers.start(replace(service, name="apache"), timeout=START_TIMEOUT)
    return service.address


@pytest.fixture(scope="session")
def redis_server(servers: Supervisor) -> str:
    """URL of the embedded Redis, without a database: use `redis_url`."""
    service = services.valkey(services.free_port(), data=None)
    servers.start(service, timeout=START_TIMEOUT)
    return service.address


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """URL of an empty database that no other test uses."""
    url = f"{redis_server}/{next(_databases)}"
    yield url
    with redis.Redis.from_url(url) as client:
        client.flushdb()


@pytest.fixture
def topics() -> Topics:
    """Topic names that no other test uses."""
    return Topics(prefix=f"{uuid4().hex[:12]}.")


def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "LoadScopeScheduling":
    """Beside each other run: the tests of either broker's system, and every other file."""
    from xdist.scheduler import LoadScopeScheduling

    class BySystem(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            system = re.search(r"\[(tansu|apache)\]$", nodeid)
            return system[1] if system else nodeid.partition("::")[0]

    return BySystem(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest come first, so that no process is left with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> "dict[Trait, Path]":
    """A model artifact that groups movies by each trait."""
    from tests.planted_model import write_model

    home = tmp_path_factory.mktemp("artifacts")
    found: dict[Trait, Path] = {"genre": home / "genre", "decade": home / "decade"}
    with ThreadPoolExecutor() as pool:
        list(pool.map(write_model, found.values(), found, found))
    return found


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("tansu", marks=pytest.mark.e2e),
        pytest.param("apache", marks=[pytest.mark.e2e, pytest.mark.apache]),
    ],
)
def system(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    models: "dict[Trait, Path]",
) -> "Iterator[System]":
    """The whole product on each broker, for all tests of it: each takes users of its own."""
    from tests.system import running

    if request.param == "apache":
        _skip_without_java()
    with running(request.param, tmp_path_factory.mktemp("home"), models) as system:
        yield system


def _skip_without_java() -> None:
    missing = [program for program in ("java", "mvn") if which(program) is None]
    if missing:
        pytest.skip(f"Apache Kafka needs {' and '.join(missing)}")
