"""Database servers for the store tests, one of each for a test process."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

import servers
from jwt_auth_kit.stores.sqlalchemy import create_schema


@pytest.fixture(scope="session")
def postgresql() -> Iterator[servers.PostgreSQL]:
    with servers.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.RedisServer]:
    with servers.redis() as server:
        yield server


@pytest.fixture(scope="session")
def cluster_port() -> Iterator[int]:
    with servers.redis_cluster() as port:
        yield port


@pytest.fixture(params=["asyncpg", "psycopg"])
async def postgresql_engine(
    request: pytest.FixtureRequest, postgresql: servers.PostgreSQL
) -> AsyncIterator[AsyncEngine]:
    """An engine on PostgreSQL whose tables are there and empty."""
    engine = create_async_engine(postgresql.url(request.param), poolclass=NullPool)
    await create_schema(engine)
    async with engine.begin() as connection:
        await connection.execute(text("TRUNCATE users, auth_sessions, auth_epochs, auth_failures"))
    yield engine
    await engine.dispose()


@pytest.fixture(params=[False, True], ids=["bytes", "text"])
async def redis(
    request: pytest.FixtureRequest, redis_server: servers.RedisServer
) -> AsyncIterator[Redis]:
    """A client of an empty Redis, as bytes and with decoded answers."""
    client = Redis.from_url(redis_server.url, decode_responses=request.param)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def cluster(cluster_port: int) -> AsyncIterator[RedisCluster]:
    """A client of an empty Redis Cluster of three nodes."""
    client = RedisCluster(host="127.0.0.1", port=cluster_port)
    await client.flushall(target_nodes=RedisCluster.PRIMARIES)
    yield client
    await client.aclose()
