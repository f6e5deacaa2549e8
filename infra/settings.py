"""One Settings, read by entry points only and passed down from there.

Every field is set by the environment variable FRESHET_<FIELD>. What a running local stack chose
(ports, addresses) it writes to `<home>/stack.env`, so that commands started beside it find it; the
environment wins over that file.
"""

import fcntl
import os
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stream.contracts.errors import ConfigurationError

STACK_FILE = "stack.env"
STACK_LOCK = "stack.lock"  # held by the running stack; one that was killed leaves its file behind
PLACEHOLDERS = {"changeme", "change-me", "secret", "password", "todo"}


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="FRESHET_", extra="ignore")

    home: Path = Field(Path(".freshet"), description="logs, artifacts and embedded servers' data")

    kafka_bootstrap_servers: str | None = Field(None, description="unset: the embedded broker")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_ca_file: Path | None = None
    kafka_ssl_certificate_file: Path | None = None
    kafka_ssl_key_file: Path | None = None
    kafka_topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]*$")
    kafka_partitions: int = Field(8, ge=1, le=512, description="of `ratings`, when it is created")
    kafka_replication: int = Field(1, ge=1)

    redis_url: str | None = Field(None, description="unset: the embedded Valkey")

    qdrant_url: str | None = Field(None, description="unset: Qdrant Edge, in process")
    qdrant_api_key: SecretStr | None = None

    mlflow_tracking_uri: str | None = Field(None, description="unset: SQLite under `home`")

    model_retention_days: float = Field(
        7.0, ge=0, description="that models are kept which are not served and not gone back to"
    )

    archive_url: str | None = Field(
        None, description="of the Parquet archive of the log; unset: `archive` under `home`"
    )
    archive_retention_days: int | None = Field(
        None, ge=1, description="that the archive keeps; unset: for ever"
    )
    archive_flush_seconds: float = Field(
        30.0, gt=0, description="after which what has come is written to the archive"
    )
    archive_flush_rows: int = Field(
        400_000, ge=1, description="that wait to be written at most: some 60 MB"
    )

    data_dir: Path | None = Field(None, description="where data sets are looked for first")

    api_host: str = "127.0.0.1"
    api_port: int = Field(8000, ge=0, le=65535)
    api_look_seconds: float = Field(
        0.5, gt=0, description="between two looks at new movies, what is to be served, and heats"
    )
    api_deadline_ms: int = Field(
        1_000, ge=1, description="in which a list is there, with what has answered by then"
    )
    api_cache_seconds: float = Field(
        5.0, ge=0, description="that an answer is given again while nothing has changed; 0: none"
    )
    api_auth: Literal["auto", "required"] = Field(
        "auto", description="whether requests need a key; auto: off loopback they do"
    )
    api_key: SecretStr | None = Field(None, description="that our own commands send to the API")
    api_rate_per_key: str | None = Field(
        None, description="such as `100/s burst 200`, for keys without a rate of their own"
    )
    api_rate_per_address: str | None = Field(
        None, description="the same of an address that sends no valid key"
    )
    api_cors_origins: str = Field("", description="whose pages may ask: comma-separated, or `*`")
    api_drain_seconds: float = Field(
        0.0, ge=0, description="that a stopping API says it is not ready, and still takes requests"
    )
    api_keep_seconds: float = Field(
        600.0, ge=0, description="that the API keeps the model before, to go back to at once"
    )
    api_exposures: bool = Field(
        True, description="say which list was shown to whom, in `exposures`; drift reads them too"
    )
    experiment_holdout: float = Field(
        0.0, ge=0, le=1, description="share of all people who are in no experiment"
    )
    experiment_window_seconds: int = Field(
        86_400, ge=1, description="after a list was shown, in which feedback counts for it"
    )
    worker_metrics_host: str = "127.0.0.1"
    worker_metrics_port: int = Field(0, ge=0, le=65535, description="0: any free port")

    archive_metrics_port: int = Field(0, ge=0, le=65535, description="0: any free port")

    log_format: Literal["text", "json"] = "text"
    otel_enabled: bool = Field(
        False, description="traces; where they go and what is sampled say OTEL_ variables"
    )

    @field_validator("kafka_sasl_password", "qdrant_api_key", "api_key")
    @classmethod
    def refuse_placeholders(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and value.get_secret_value().lower() in PLACEHOLDERS:
            raise ValueError("still has its placeholder value: set the real secret")
        return value

    @model_validator(mode="after")
    def sasl_is_whole(self) -> "Settings":
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                "kafka_security_protocol is SASL: set kafka_sasl_username and kafka_sasl_password"
            )
        return self

    def redis(self) -> str:
        """The URL of Redis.

        Raises ConfigurationError where none is configured and no local stack runs.
        """
        if not self.redis_url:
            raise ConfigurationError(
                "no Redis is configured and no local stack runs: start one with `freshet up`, or "
                "set FRESHET_REDIS_URL"
            )
        return self.redis_url

    def librdkafka(self) -> dict[str, str]:
        """Where Kafka is and how to log in, in librdkafka's names.

        Raises ConfigurationError where no broker is configured and no local stack runs.
        """
        if not self.kafka_bootstrap_servers:
            raise ConfigurationError(
                "no Kafka is configured and no local stack runs: start one with `freshet up`, or "
                "set FRESHET_KAFKA_BOOTSTRAP_SERVERS"
            )
        config = {
            "bootstrap.servers": self.kafka_bootstrap_servers,
            "security.protocol": self.kafka_security_protocol,
        }
        if self.kafka_security_protocol.startswith("SASL"):
            config["sasl.mechanism"] = self.kafka_sasl_mechanism
            config["sasl.username"] = self.kafka_sasl_username or ""
            config["sasl.password"] = (
                self.kafka_sasl_password.get_secret_value() if self.kafka_sasl_password else ""
            )
        files = {
            "ssl.ca.location": self.kafka_ssl_ca_file,
            "ssl.certificate.location": self.kafka_ssl_certificate_file,
            "ssl.key.location": self.kafka_ssl_key_file,
        }
        return config | {name: str(path) for name, path in files.items() if path is not None}

    @property
    def api_keys_needed(self) -> bool:
        """Whether requests to the API need a key: off loopback always."""
        return self.api_auth == "required" or not _is_loopback(self.api_host)

    @property
    def api_headers(self) -> dict[str, str]:
        """What our own commands send to the API with every request."""
        key = self.api_key
        return {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}

    @property
    def cors_origins(self) -> list[str]:
        return [it.strip() for it in self.api_cors_origins.split(",") if it.strip()]

    @property
    def artifacts(self) -> Path:
        """Where model artifacts and their embedded indexes are written."""
        return self.home / "artifacts"

    @property
    def archive(self) -> str:
        """The URL or path of the archive of the log."""
        return self.archive_url or str(self.home / "archive")

    @property
    def checkpoints(self) -> Path:
        """Where trainings are kept while they run, for those that are interrupted."""
        return self.home / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """Where the results of `freshet eval` are kept, for an interrupted run and the report."""
        return self.home / "evaluations"

    @property
    def studies(self) -> Path:
        """Where the studies of `freshet tune` are kept."""
        return self.home / "studies"

    @property
    def tracking_uri(self) -> str:
        return self.mlflow_tracking_uri or f"sqlite:///{self.home.absolute() / 'mlflow.db'}"

    def environment(self, *names: str) -> dict[str, str]:
        """The environment variables that set these fields, or all, as they are set here."""
        variables = {}
        for name in names or type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            if value is not None:
                variables[f"FRESHET_{name.upper()}"] = str(value)
        return variables


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings() -> Settings:
    """Settings from the environment, then from the local stack that runs in this home, if any.

    Raises ConfigurationError that names each variable that is wrong.
    """
    home = Path(os.environ.get("FRESHET_HOME", ".freshet"))
    try:
        return Settings(_env_file=home / STACK_FILE if _stack_runs(home) else None)  # type: ignore[call-arg]
    except ValidationError as error:
        wrong = [
            f"FRESHET_{str(problem['loc'][0]).upper()}: {problem['msg']}"
            if problem["loc"]
            else problem["msg"]
            for problem in error.errors()
        ]
        raise ConfigurationError("; ".join(wrong)) from error


def _stack_runs(home: Path) -> bool:
    try:
        with (home / STACK_LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
