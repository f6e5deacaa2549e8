"""`freshet api`: a process that serves until it is told to stop."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from infra import services
from infra.local import FRESHET
from stream.contracts.errors import Unavailable
from stream.contracts.events import ModelEvent
from stream.redis_store import RedisStore
from tests.planted_model import CATALOGUE, Trait
from training.index import collection_name

DEADLINE = 60.0  # seconds; it takes two


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
    }
    with subprocess.Popen([*FRESHET, "api"], env={**os.environ, **env}) as process:
        yield process, f"http://127.0.0.1:{port}"
        process.kill()


def test_serves_what_is_promoted_until_it_is_stopped(
    process: tuple[subprocess.Popen[bytes], str],
) -> None:
    api, url = process
    Retrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_fixed(0.1),
        stop=stop_after_delay(DEADLINE),
        reraise=True,
    )(services.http_ready, f"{url}/readyz")
    answer = httpx.get(f"{url}/api/v1/recommendations/1").json()
    assert answer["model_version"] == "genre"
    assert [item["movie_id"] for item in answer["items"]] == [
        movie.movie_id for movie in CATALOGUE[:10]
    ]
    api.send_signal(signal.SIGTERM)
    assert api.wait(DEADLINE) in (0, -signal.SIGTERM)


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
