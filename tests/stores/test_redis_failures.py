"""RedisTokenStore where Redis is away."""

import logging
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ResponseError

import servers
from jwt_auth_kit import ConfigurationError, StoreUnavailable
from jwt_auth_kit.redis_failures import describe
from jwt_auth_kit.stores.redis import RedisTokenStore


async def test_a_redis_that_is_away_is_no_empty_one(caplog: pytest.LogCaptureFixture) -> None:
    client = Redis.from_url(f"redis://127.0.0.1:{servers.free_port()}/0")
    store = RedisTokenStore(client)

    with pytest.raises(StoreUnavailable):
        await store.get("ann-of-green-gables", "a-session")
    await store.aclose()

    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "green-gables" not in caplog.text


async def test_a_cluster_that_is_away_is_no_empty_one() -> None:
    client = RedisCluster(host="127.0.0.1", port=servers.free_port())
    store = RedisTokenStore(client)

    with pytest.raises(StoreUnavailable):
        await store.epochs("ann")
    await store.aclose()


@pytest.mark.parametrize(
    ("settings", "url", "cause"),
    [
        ([], "redis://127.0.0.1:1/0", "ConnectionError. Redis cannot be reached"),
        ([], "redis://ann:a-password@127.0.0.1:{port}/0", "AuthenticationError. Redis refuses"),
        (["requirepass a-password"], "redis://127.0.0.1:{port}/0", "AuthenticationError. Redis"),
        (["maxmemory 1"], "redis://127.0.0.1:{port}/0", "OutOfMemoryError. Redis is full."),
        (
            ["replicaof"],
            "redis://127.0.0.1:{port}/0",
            "ReadOnlyError. This Redis can only be read.",
        ),
        (
            ["acl"],
            "redis://127.0.0.1:{port}/0",
            "NoPermissionError. The Redis user is not allowed",
        ),
    ],
)
async def test_the_log_says_what_to_do(
    caplog: pytest.LogCaptureFixture, settings: list[str], url: str, cause: str
) -> None:
    with servers.redis() as server:
        await _set(server.url, settings)
        store = RedisTokenStore(Redis.from_url(url.format(port=server.port)))

        with pytest.raises(StoreUnavailable):
            await store.void_access_tokens("ann", datetime.now(UTC))
        await store.aclose()

    assert caplog.messages[-1].startswith(f"Redis failed: {cause}")
    assert "a-password" not in caplog.text


def test_a_command_that_is_missing_names_the_version() -> None:
    error = ResponseError("ERR Unknown Redis command called from script script: 8f, on @user")

    assert describe(error) == "ResponseError. A command is missing. Redis 7 or later is needed."


@pytest.mark.parametrize("client", ["redis://localhost", None, redis.Redis()])
def test_a_client_that_is_no_good_is_told_what_to_write(client: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"redis\.asyncio\.Redis\.from_url"):
        RedisTokenStore(client)


async def _set(url: str, settings: list[str]) -> None:
    async with Redis.from_url(url) as client:
        for setting in settings:
            name, _, value = setting.partition(" ")
            if name == "replicaof":
                await client.replicaof("127.0.0.1", "1")
            elif name == "acl":
                await client.acl_setuser("default", enabled=True, commands=["-evalsha", "-eval"])
            else:
                await client.config_set(name, value)
