"""RedisTokenStore with more requests at once than its client has connections."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

import servers
from apps import EMAIL, PASSWORD, make_app, make_kit
from jwt_auth_kit import AuthKit, Session, StoreUnavailable
from jwt_auth_kit.stores.redis import RedisTokenStore

AT_ONCE = 300
CONNECTIONS = 50
NOBODY = "nobody"


@asynccontextmanager
async def client_of(server: servers.RedisServer, most: int | None) -> AsyncIterator[Redis]:
    """A client as the guide makes it, of an empty Redis."""
    client = Redis.from_url(
        server.url, socket_timeout=2, socket_connect_timeout=2, max_connections=most
    )
    await client.flushdb()
    yield client
    await client.aclose()


async def refresh_all(client: Redis, *, meanwhile: Awaitable[object] | None = None) -> set[int]:
    """Refresh many sessions at once, over HTTP; return the statuses of the answers."""
    kit = make_kit(
        tokens=RedisTokenStore(client), settings={"max_sessions": None}, on_event=lambda _: None
    )
    user = await kit.create_user(EMAIL, PASSWORD)
    sessions = [await start(kit, str(user.id)) for _ in range(AT_ONCE)]
    transport = httpx.ASGITransport(app=make_app(kit))
    async with httpx.AsyncClient(transport=transport, base_url="https://testserver") as http:
        asking = [
            asyncio.create_task(http.post("/auth/refresh", json={"refresh_token": token}))
            for token in sessions
        ]
        await (meanwhile or asyncio.sleep(0))
        return {answer.status_code for answer in await asyncio.gather(*asking)}


async def start(kit: AuthKit, user_id: str) -> str:
    """Begin a session without a password, which takes time; return its refresh token."""
    session = Session.start(
        user_id, kit.now(), epoch=0, idle_ttl=timedelta(days=7), absolute_ttl=timedelta(days=30)
    )
    await kit.tokens.create(session)
    return kit.jwt.create_session_refresh_token(session)


@pytest.mark.parametrize("most", [CONNECTIONS, 1, None], ids=["50", "1", "default"])
async def test_more_requests_than_connections_wait_for_their_turn(
    redis_server: servers.RedisServer, most: int | None
) -> None:
    async with client_of(redis_server, most) as client:
        assert await refresh_all(client) == {200}


async def test_failures_are_counted_in_turn(redis_server: servers.RedisServer) -> None:
    async with client_of(redis_server, CONNECTIONS) as client:
        store = RedisTokenStore(client)

        counts = await asyncio.gather(*(store.count_failure("ann") for _ in range(AT_ONCE)))

        assert sorted(counts) == list(range(1, AT_ONCE + 1))


async def test_every_method_waits_for_its_turn(redis_server: servers.RedisServer) -> None:
    async with client_of(redis_server, 1) as client:
        store = RedisTokenStore(client)
        now = make_kit().now()

        done = await asyncio.gather(
            *(store.get("ann", NOBODY) for _ in range(3)),
            *(store.compare_and_set("ann", NOBODY, 1, {"gen": 2}) for _ in range(3)),
            *(store.revoke("ann", NOBODY, "over", now) for _ in range(3)),
            *(store.revoke_all("ann", "over", now) for _ in range(3)),
            *(store.revoke_others("ann", None, "over", now) for _ in range(3)),
            *(store.void_access_tokens("ann", now) for _ in range(3)),
            *(store.epochs("ann") for _ in range(3)),
            *(store.list_by_user("ann", now) for _ in range(3)),
            *(store.revoked_since(None, now, keep=now - now) for _ in range(3)),
            *(store.failures("ann") for _ in range(3)),
            *(store.clear_failures("ann") for _ in range(3)),
            store.purge(now, 1),
            return_exceptions=True,
        )

    assert [error for error in done if isinstance(error, Exception)] == []


async def test_a_stall_of_a_second_loses_nothing(redis_server: servers.RedisServer) -> None:
    async with (
        client_of(redis_server, CONNECTIONS) as client,
        client_of(redis_server, 1) as operator,
    ):
        assert await refresh_all(client, meanwhile=operator.client_pause(1000)) == {200}


async def test_a_cluster_answers_more_requests_than_it_has_connections(
    cluster_port: int,
) -> None:
    client = RedisCluster(host="127.0.0.1", port=cluster_port, max_connections=5)
    store = RedisTokenStore(client)

    found = await asyncio.gather(*(store.epochs(f"user {n}") for n in range(AT_ONCE)))

    await client.aclose()
    assert {epochs.epoch for epochs in found} == {0}


async def test_connections_that_the_application_holds_are_waited_for(
    redis_server: servers.RedisServer,
) -> None:
    async with client_of(redis_server, 1) as client:
        store = RedisTokenStore(client)
        holder = await client.client().initialize()  # one connection of the pool
        asking = [asyncio.create_task(store.count_failure("ann")) for _ in range(10)]
        await asyncio.sleep(0.2)

        await holder.aclose()

        assert sorted(await asyncio.gather(*asking)) == list(range(1, 11))


async def test_waiting_for_a_connection_has_an_end(
    redis_server: servers.RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(redis_server, 1) as client:
        store = RedisTokenStore(client)
        holder = await client.client().initialize()  # one connection of the pool

        refused = await asyncio.gather(
            *(store.epochs("ann") for _ in range(3)), return_exceptions=True
        )

        await holder.aclose()
        assert [type(error) for error in refused] == [StoreUnavailable] * 3
        assert {record.levelno for record in caplog.records} == {logging.ERROR}
        assert "max_connections" in caplog.text
        assert (await store.epochs("ann")).epoch == 0


async def test_a_wrapper_around_a_client_is_taken(redis_server: servers.RedisServer) -> None:
    class Traced:
        def __init__(self, client: Redis) -> None:
            self.hmget = client.hmget
            self.register_script = client.register_script

    async with client_of(redis_server, None) as client:
        wrapper: Any = Traced(client)

        assert (await RedisTokenStore(wrapper).epochs("ann")).epoch == 0


def test_the_turns_of_one_event_loop_are_not_those_of_the_next(
    redis_server: servers.RedisServer,
) -> None:
    client = Redis.from_url(redis_server.url, max_connections=2)
    store = RedisTokenStore(client)

    async def ask_at_once() -> int:
        found = await asyncio.gather(*(store.epochs("ann") for _ in range(20)))
        await client.aclose()
        return len(found)

    assert [asyncio.run(ask_at_once()) for _ in range(3)] == [20] * 3
