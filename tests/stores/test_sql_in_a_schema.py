"""The tables of the library in a schema of PostgreSQL, in each way that the guide shows."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

import servers
from apps import EMAIL, PASSWORD, make_kit
from jwt_auth_kit import SessionRevoked
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
    create_schema,
)

ASYNCPG = {"connect_args": {"server_settings": {"search_path": "auth,public"}}}
PSYCOPG = {"connect_args": {"options": "-c search_path=auth,public"}}
TRANSLATED = {"execution_options": {"schema_translate_map": {None: "auth"}}}


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("asyncpg", ASYNCPG),
        ("psycopg", PSYCOPG),
        ("asyncpg", TRANSLATED),
        ("psycopg", TRANSLATED),
    ],
)
async def test_accounts_and_sessions_live_in_a_schema_of_their_own(
    driver: str, options: Mapping[str, Any], postgresql: servers.PostgreSQL
) -> None:
    engine = create_async_engine(postgresql.url(driver), **options)
    async with engine.begin() as connection:
        await connection.execute(text("DROP SCHEMA IF EXISTS auth CASCADE"))
        await connection.execute(text("CREATE SCHEMA auth"))
    await create_schema(engine)
    await create_schema(engine)
    kit = make_kit(users=SQLAlchemyUserStore(engine), tokens=SQLAlchemyTokenStore(engine))

    signed_in = await kit.register(EMAIL, PASSWORD)
    refreshed = await kit.refresh(signed_in.tokens.refresh_token)
    listed = await kit.list_sessions(str(signed_in.user.id))
    await kit.logout_all(str(signed_in.user.id))
    with pytest.raises(SessionRevoked):
        await kit.refresh(refreshed.tokens.refresh_token)

    async with engine.begin() as connection:
        found = await connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'auth'")
        )
        tables = set(found.scalars())
        people = (await connection.execute(text("SELECT email FROM auth.users"))).scalars().all()
        await connection.execute(text("DROP SCHEMA auth CASCADE"))
    await kit.aclose()
    await engine.dispose()
    assert [session.id for session in listed] == [signed_in.session_id]
    assert tables == {"users", "auth_sessions", "auth_epochs", "auth_failures"}
    assert people == [EMAIL]
