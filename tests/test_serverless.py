"""Functions that a platform calls with an event loop for each request."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

import servers
from apps import EMAIL, PASSWORD, Clock, Events, code, make_app, make_kit
from jwt_auth_kit import AuthKit, KeyRing, LoginThrottle, StoreUnavailable
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
    create_schema,
    prepare_engine,
)

KEYS = KeyRing.random()


@pytest.fixture(params=["sqlite", "asyncpg", "psycopg"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AsyncEngine]:
    """An engine as the guide makes it; no connection outlives its call."""
    if request.param == "sqlite":
        yield prepared(prepare_engine(f"sqlite+aiosqlite:///{tmp_path}/a.db", poolclass=NullPool))
        return
    server: servers.PostgreSQL = request.getfixturevalue("postgresql")
    yield prepared(create_async_engine(server.url(request.param), poolclass=NullPool))


def prepared(engine: AsyncEngine) -> AsyncEngine:
    async def empty() -> None:
        await create_schema(engine)
        async with engine.begin() as connection:
            for table in ("users", "auth_sessions", "auth_epochs", "auth_failures"):
                await connection.execute(text(f"DELETE FROM {table}"))

    asyncio.run(empty())
    return engine


def make_function(engine: AsyncEngine, clock: Clock, events: Events, **settings: Any) -> FastAPI:
    """Make the application of one process of the platform."""
    return make_app(
        make_kit(
            users=SQLAlchemyUserStore(engine),
            tokens=SQLAlchemyTokenStore(engine),
            keys=KEYS,
            clock=clock,
            on_event=events,
            settings=settings,
        )
    )


def call(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    """Answer one request in a loop of its own, which takes along what still runs in it."""

    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="https://testserver") as client:
            return await client.request(method, path, **options)

    return asyncio.run(answer())


def refresh(app: FastAPI, token: str) -> httpx.Response:
    return call(app, "POST", "/auth/refresh", json={"refresh_token": token})


def projects(app: FastAPI, token: str) -> httpx.Response:
    return call(app, "GET", "/projects", headers={"Authorization": f"Bearer {token}"})


def last_answers(app: FastAPI, clock: Clock) -> tuple[httpx.Response, httpx.Response]:
    """Let an owner with two tabs refresh, use what it got, and replay; return what comes after.

    The second tab's replay comes later than the window after the refresh, and within it after
    the first sight of the new tokens.
    """
    body = {"email": EMAIL, "password": PASSWORD}
    first = call(app, "POST", "/auth/register", json=body).json()["refresh_token"]
    clock.advance(minutes=1)
    newer = refresh(app, first).json()
    clock.advance(seconds=25)
    assert projects(app, newer["access_token"]).status_code == 200
    clock.advance(seconds=15)
    replayed = refresh(app, first)
    assert replayed.status_code == 200
    clock.advance(seconds=1)
    return refresh(app, newer["refresh_token"]), projects(app, replayed.json()["access_token"])


def test_a_confirmation_within_the_request_keeps_the_owner_signed_in(engine: AsyncEngine) -> None:
    clock, events = Clock(), Events()
    app = make_function(engine, clock, events, confirm_in_request=True)

    refreshed, used = last_answers(app, clock)

    assert (refreshed.status_code, used.status_code) == (200, 200)
    assert "refresh_reused" not in events.names


def test_a_confirmation_beside_the_request_is_lost_with_its_event_loop(
    engine: AsyncEngine,
) -> None:
    clock, events = Clock(), Events()
    app = make_function(engine, clock, events)

    refreshed, _ = last_answers(app, clock)

    assert (refreshed.status_code, code(refreshed)) == (401, "refresh_reused")
    assert "refresh_reused" in events.names


def test_the_first_sight_of_an_orphan_is_refused_within_the_request(engine: AsyncEngine) -> None:
    clock, events = Clock(), Events()
    app = make_function(engine, clock, events, confirm_in_request=True)
    body = {"email": EMAIL, "password": PASSWORD}
    first = call(app, "POST", "/auth/register", json=body).json()["refresh_token"]
    clock.advance(minutes=1)
    silent = refresh(app, first).json()
    clock.advance(minutes=1)
    renewed = refresh(app, first).json()

    stolen = projects(app, silent["access_token"])

    assert (stolen.status_code, code(stolen)) == (401, "token_revoked")
    assert refresh(app, renewed["refresh_token"]).status_code == 401
    assert "refresh_reused" in events.names


def test_all_routes_work_with_a_loop_for_each_call(engine: AsyncEngine) -> None:
    app = make_function(engine, Clock(), Events(), confirm_in_request=True)
    body = {"email": EMAIL, "password": PASSWORD}
    registered = call(app, "POST", "/auth/register", json=body)
    signed_in = call(app, "POST", "/auth/login", json=body)
    headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}

    answers = [
        registered,
        signed_in,
        call(app, "POST", "/auth/login", json={**body, "password": "wrong horse battery"}),
        call(app, "GET", "/auth/me", headers=headers),
        call(app, "GET", "/auth/sessions", headers=headers),
        refresh(app, signed_in.json()["refresh_token"]),
        call(app, "POST", "/auth/logout", headers=headers),
        call(app, "GET", "/auth/me", headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [201, 200, 401, 200, 200, 200, 204, 401]


# The sockets of an ended loop are closed when they are freed.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_throttle_on_redis_works_with_a_loop_for_each_call(
    redis_server: servers.RedisServer,
) -> None:
    async def empty() -> None:
        async with Redis.from_url(redis_server.url) as client:
            await client.flushdb()

    asyncio.run(empty())
    throttle = LoginThrottle(redis_server.url, per_account_and_network="3/minute")
    app = make_app(make_kit(throttle=throttle, on_event=lambda _: None))
    body = {"email": EMAIL, "password": PASSWORD}
    call(app, "POST", "/auth/register", json=body)

    wrong = {**body, "password": "wrong horse battery"}
    statuses = [call(app, "POST", "/auth/login", json=wrong).status_code for _ in range(5)]

    del app, throttle
    gc.collect()
    assert statuses == [401, 401, 401, 429, 429]


async def test_a_store_that_cannot_confirm_refuses_no_request() -> None:
    kit = make_kit(keys=KEYS, on_event=lambda _: None)
    await kit.create_user(EMAIL, PASSWORD)
    signed_in = await kit.login(EMAIL, PASSWORD)
    other = without_writes(kit)

    user = await other.authenticate(signed_in.tokens.access_token)

    assert user.session_id == signed_in.session_id


def without_writes(kit: AuthKit) -> AuthKit:
    class ReadOnly:
        def __getattr__(self, name: str) -> Any:
            return getattr(kit.tokens, name)

        async def compare_and_set(self, *_: Any) -> bool:
            raise StoreUnavailable

    tokens: Any = ReadOnly()
    return make_kit(
        users=kit.users,
        tokens=tokens,
        keys=KEYS,
        settings={"confirm_in_request": True},
        on_event=lambda _: None,
    )
