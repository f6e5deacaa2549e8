"""`freshet api`: a process that serves until it is told to stop."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed
from typer.testing import CliRunner

from api.guard.keys import ApiKey, KeyStore, new_key
from infra import services
from infra.cli import app
from infra.local import FRESHET
from stream.contracts.errors import ConfigurationError, Unavailable
from stream.contracts.events import ModelEvent
from stream.contracts.topics import partition_of
from stream.redis_store import RedisStore
from tests.planted_model import CATALOGUE, Trait
from training.index import collection_name

DEADLINE = 60.0  # seconds; it takes two
LOG = "api.log"  # of what it says; a pipe that nobody reads meanwhile might be full


@pytest.fixture
def promoted(redis_url: str, models: dict[Trait, Path]) -> str:
    """A Redis in which a model is to be served."""

    async def fill() -> None:
        store = RedisStore(redis_url)
        await store.put_partitions(4)
        await store.put_model(
            ModelEvent(
                event_id="promotion",
                version="genre",
                artifact=str(models["genre"]),
                collection=collection_name("genre"),
                event_time=1_000_000_000_000,
                produced_time=1_000_000_000_000,
            )
        )
        await store.close()

    asyncio.run(fill())
    return redis_url


@pytest.fixture
def process(
    promoted: str, broker: str, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = services.free_port()
    env = {
        "FRESHET_HOME": str(tmp_path),
        "FRESHET_REDIS_URL": promoted,
        "FRESHET_KAFKA_BOOTSTRAP_SERVERS": broker,
        "FRESHET_API_PORT": str(port),
        "FRESHET_API_DRAIN_SECONDS": "3",
        "FRESHET_LOG_FORMAT": "json",
    }
    with (
        (tmp_path / LOG).open("wb") as log,
        subprocess.Popen([*FRESHET, "api"], env={**os.environ, **env}, stderr=log) as process,
    ):
        yield process, f"http://127.0.0.1:{port}"
        process.kill()


def test_serves_what_is_promoted_until_it_is_stopped(
    process: tuple[subprocess.Popen[bytes], str], tmp_path: Path
) -> None:
    api, url = process
    Retrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_fixed(0.1),
        stop=stop_after_delay(DEADLINE),
        reraise=True,
    )(services.http_ready, f"{url}/readyz")
    named = {"X-Request-ID": "mine"}
    answer = httpx.get(f"{url}/api/v1/recommendations/1", headers=named).json()
    assert answer["model_version"] == "genre"
    assert [item["movie_id"] for item in answer["items"]] == [
        movie.movie_id for movie in CATALOGUE[:10]
    ]
    _stops_when_it_has_answered(api, url)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    [line] = [it for it in lines if it.get("route") == "/api/v1/recommendations/{user_id}"][:1]
    assert line["status"] == 200
    assert line["request_id"] == "mine"
    assert line["stages"].keys() >= {"state"}


def _stops_when_it_has_answered(api: subprocess.Popen[bytes], url: str) -> None:
    """Told to stop it says first that it is not ready, and finishes a request of five seconds."""
    slow = f"{url}/api/v1/recommendations/1?after={partition_of(1, 4)}:999&wait_ms=5000"
    with ThreadPoolExecutor() as pool, httpx.Client(base_url=url, timeout=DEADLINE) as client:
        asked = pool.submit(httpx.get, slow, timeout=DEADLINE)
        in_flight = Retrying(wait=wait_fixed(0.02), stop=stop_after_delay(DEADLINE))
        in_flight(_check, lambda: "in_flight 2.0" in client.get("/metrics").text)
        api.send_signal(signal.SIGTERM)
        not_ready = Retrying(wait=wait_fixed(0.02), stop=stop_after_delay(DEADLINE))
        not_ready(_check, lambda: client.get("/readyz").status_code == 503)
        answer = asked.result()
    assert answer.status_code == 200
    assert answer.json()["freshness"]["included"] is False
    assert api.wait(DEADLINE) in (0, -signal.SIGTERM)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/livez")


def _check(holds: Callable[[], bool]) -> None:
    assert holds()


@pytest.mark.parametrize("missing", ["FRESHET_REDIS_URL", "FRESHET_KAFKA_BOOTSTRAP_SERVERS"])
def test_says_what_is_not_configured(missing: str, tmp_path: Path) -> None:
    configured = {
        "FRESHET_HOME": str(tmp_path),
        "FRESHET_REDIS_URL": "redis://127.0.0.1:1",
        "FRESHET_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    env = {**os.environ, **configured}
    del env[missing]
    ended = subprocess.run([*FRESHET, "api"], env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert missing in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


class TestKeys:
    """Off loopback there is no API without a key."""

    @pytest.fixture(autouse=True)
    def settings(self, redis_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FRESHET_REDIS_URL", redis_url)
        monkeypatch.setenv("FRESHET_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
        monkeypatch.setenv("FRESHET_API_HOST", "0.0.0.0")
        monkeypatch.setenv("FRESHET_API_RATE_PER_KEY", "nonsense")  # ends what would serve

    def test_it_is_refused_until_there_is_one(self, redis_url: str) -> None:
        _fails_with("freshet keys create --scope admin")
        _put(redis_url, new_key("x", "admin", lives=-1.0)[0])  # it has expired
        _fails_with("freshet keys create --scope admin")
        _put(redis_url, new_key("x", "read")[0])
        _fails_with("the rate 'nonsense' cannot be read")


def _fails_with(said: str) -> None:
    result = CliRunner().invoke(app, ["api"])
    assert isinstance(result.exception, ConfigurationError)
    assert said in str(result.exception)


def _put(redis_url: str, key: ApiKey) -> None:
    async def put() -> None:
        store = KeyStore(redis_url)
        await store.put(key)
        await store.close()

    asyncio.run(put())
