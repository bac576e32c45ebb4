"""RedisTokenStore where Redis is away."""

import logging

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

import servers
from jwt_auth_kit import StoreUnavailable
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
