"""docker-compose.yml fits the code: its variables are settings, its versions are pinned."""

import re
import subprocess
import sys
from http.server import HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from infra.apache import POM
from infra.cli import app
from infra.settings import Settings
from tests.infra.fake_client import Answer

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_everything_is_there() -> None:
    ours = {"worker", "archiver", "refresher", "api"}
    assert set(SERVICES) == {"kafka", "redis", "qdrant", "mlflow", *ours}


def test_archive_and_models_are_where_all_of_them_see_them() -> None:
    """The archiver writes what the refresher reads, which writes what the API and workers read."""
    homes = {
        mount
        for name in ("worker", "archiver", "refresher", "api")
        for mount in SERVICES[name]["volumes"]
        if mount.endswith(f":{COMPOSE['x-environment']['FRESHET_HOME']}")
    }
    assert homes == {"home:/var/lib/freshet"}
    ours = {k.removeprefix("FRESHET_").lower(): v for k, v in COMPOSE["x-environment"].items()}
    settings = Settings.model_validate(ours)
    for place in (settings.archive, settings.artifacts):
        assert Path(place).is_relative_to("/var/lib/freshet")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_checked_and_restarted(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+(-\w+)?$", service["image"]), "not a full version"
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    volumes = {volume.partition(":")[0] for volume in service["volumes"]}
    assert volumes
    assert volumes <= set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", ["worker", "archiver", "refresher", "api"])
def test_our_variables_are_settings_with_valid_values(name: str) -> None:
    ours = {
        variable.removeprefix("FRESHET_").lower(): value
        for variable, value in SERVICES[name]["environment"].items()
    }
    assert set(ours) <= set(Settings.model_fields)
    settings = Settings.model_validate(ours)
    assert settings.environment(*ours) == {
        variable: str(value) for variable, value in SERVICES[name]["environment"].items()
    }
    # Nothing is left to be embedded.
    assert settings.kafka_bootstrap_servers
    assert settings.redis_url
    assert settings.qdrant_url
    assert settings.mlflow_tracking_uri


def test_addresses_name_services_and_their_ports() -> None:
    settings = Settings.model_validate(
        {k.removeprefix("FRESHET_").lower(): v for k, v in COMPOSE["x-environment"].items()}
    )
    urls = (settings.redis_url, settings.qdrant_url, settings.mlflow_tracking_uri)
    for url in map(str, urls):
        host, port = re.findall(r"//(\w+):(\d+)", url)[0]
        assert f"127.0.0.1:{port}:{port}" in SERVICES[host]["ports"]
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INTERNAL://{settings.kafka_bootstrap_servers}" in listeners.split(",")


@pytest.mark.parametrize("name", ["worker", "archiver", "refresher", "api"])
def test_our_commands_exist(name: str) -> None:
    program, *command = SERVICES[name]["command"]
    assert program == "freshet"
    assert CliRunner().invoke(app, [*command, "--help"]).exit_code == 0


def test_kafka_is_the_version_that_the_local_stack_runs() -> None:
    version = re.findall(r"<kafka.version>(.+)</kafka.version>", POM.read_text())
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version[0]}"


def test_the_image_builds_from_what_is_there() -> None:
    dockerfile = ROOT / SERVICES["api"]["build"]["dockerfile"]
    bases = re.findall(r"^FROM (\S+)", dockerfile.read_text(), re.M)
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base) for base in bases)
    ignored = dockerfile.with_name("Dockerfile.dockerignore").read_text().splitlines()
    sent = [line[1:] for line in ignored if line.startswith("!")]
    assert not [name for name in sent if not (ROOT / name).exists()]


def test_the_health_check_tells_good_from_bad() -> None:
    script = ROOT / "infra" / "docker" / "healthcheck.py"

    def check(url: str) -> int:
        command = [sys.executable, "-S", str(script), url]
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert check(f"{url}/healthz") == 0
        assert check(f"{url}/missing") == 1
        server.shutdown()
        thread.join()
    assert check(f"{url}/healthz") == 1
