"""From settings to services, and to a listening process."""

import pytest

from api.deps import connect
from infra.settings import Settings
from stream.contracts.errors import ConfigurationError, Unavailable


def settings(**values: str | None) -> Settings:
    return Settings(**{"kafka_bootstrap_servers": None, "redis_url": None, **values})  # type: ignore[arg-type]


async def test_services_connect_to_nothing_yet() -> None:
    """Servers that are not there are found out by the first question to them."""
    services = connect(
        settings(kafka_bootstrap_servers="127.0.0.1:1", redis_url="redis://127.0.0.1:1/0")
    )
    with pytest.raises(Unavailable):
        await services.store.ping()
    await services.close()


@pytest.mark.parametrize(
    ("missing", "variable"),
    [("redis_url", "FRESHET_REDIS_URL"), ("kafka_bootstrap_servers", "KAFKA_BOOTSTRAP_SERVERS")],
)
def test_what_is_not_configured_is_named(missing: str, variable: str) -> None:
    values: dict[str, str | None] = {
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "redis_url": "redis://127.0.0.1:1/0",
    }
    with pytest.raises(ConfigurationError, match=variable):
        connect(settings(**{**values, missing: None}))


@pytest.mark.parametrize("auth", ["auto", "required"])
@pytest.mark.parametrize("of", ["api_rate_per_key", "api_rate_per_address"])
async def test_a_rate_that_cannot_be_read_is_said_whether_it_applies_or_not(
    auth: str, of: str
) -> None:
    given = settings(
        kafka_bootstrap_servers="127.0.0.1:1",
        redis_url="redis://127.0.0.1:1/0",
        api_auth=auth,
        **{of: "banana"},
    )
    with pytest.raises(ConfigurationError, match="banana"):
        connect(given)
