"""Every store the library ships passes the contracts it publishes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from sqlalchemy.ext.asyncio import AsyncEngine

from engines import engine_on
from host_tables import (
    ODD_IDS,
    DataclassAccount,
    DecimalAccount,
    DecoratedFlagAccount,
    FlagAccount,
    ForgetfulAccount,
    HostTables,
    NumberedAccount,
    RenamedAccount,
    UuidAccount,
)
from jwt_auth_kit import MemoryTokenStore, MemoryUserStore, TokenStore, UserStore
from jwt_auth_kit.stores.redis import RedisTokenStore
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, SQLAlchemyUserStore, create_schema
from jwt_auth_kit.testing import FailureStoreContract, TokenStoreContract, UserStoreContract


class TestMemoryTokenStore(TokenStoreContract, FailureStoreContract):
    @pytest.fixture
    async def store(self) -> TokenStore:
        return MemoryTokenStore()


class TestSQLiteTokenStore(TokenStoreContract, FailureStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[TokenStore]:
        async with engine_on(tmp_path / "auth.sqlite3") as engine:
            await create_schema(engine)
            yield SQLAlchemyTokenStore(engine)


class TestPostgreSQLTokenStore(TokenStoreContract, FailureStoreContract):
    @pytest.fixture
    async def store(self, postgresql_engine: AsyncEngine) -> TokenStore:
        return SQLAlchemyTokenStore(postgresql_engine)


class TestRedisTokenStore(TokenStoreContract, FailureStoreContract):
    expires_by_itself = True

    @pytest.fixture
    async def store(self, redis: Redis) -> TokenStore:
        return RedisTokenStore(redis)


class TestRedisClusterTokenStore(TokenStoreContract, FailureStoreContract):
    expires_by_itself = True

    @pytest.fixture
    async def store(self, cluster: RedisCluster) -> TokenStore:
        return RedisTokenStore(cluster)


class TestMemoryUserStore(UserStoreContract):
    @pytest.fixture
    async def store(self) -> UserStore:
        return MemoryUserStore()


class TestSQLiteUserStore(UserStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[UserStore]:
        async with engine_on(tmp_path / "auth.sqlite3") as engine:
            await create_schema(engine)
            yield SQLAlchemyUserStore(engine)


class TestPostgreSQLUserStore(UserStoreContract):
    @pytest.fixture
    async def store(self, postgresql_engine: AsyncEngine) -> UserStore:
        return SQLAlchemyUserStore(postgresql_engine)


OF_A_HOST = [
    *ODD_IDS,
    NumberedAccount,
    UuidAccount,
    RenamedAccount,
    ForgetfulAccount,
    DataclassAccount,
    FlagAccount,
    DecoratedFlagAccount,
]


class TestUserStoreOnTablesOfAHost(UserStoreContract):
    @pytest.fixture(params=OF_A_HOST)
    async def store(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> AsyncIterator[UserStore]:
        async with engine_on(tmp_path / "host.sqlite3") as engine:
            await _create_host_tables(engine)
            yield SQLAlchemyUserStore(engine, request.param)


class TestUserStoreOnTablesOfAHostInPostgreSQL(UserStoreContract):
    @pytest.fixture(params=[NumberedAccount, UuidAccount, RenamedAccount, *ODD_IDS, DecimalAccount])
    async def store(
        self, request: pytest.FixtureRequest, postgresql_engine: AsyncEngine
    ) -> UserStore:
        async with postgresql_engine.begin() as connection:
            await connection.run_sync(HostTables.metadata.drop_all)
        await _create_host_tables(postgresql_engine)
        return SQLAlchemyUserStore(postgresql_engine, request.param)


async def _create_host_tables(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(HostTables.metadata.create_all)
