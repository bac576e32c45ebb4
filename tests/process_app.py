"""The application that tests run in processes of its own: ``uvicorn process_app:app --workers 4``.

``DATABASE_URL`` says where users and sessions are kept; with ``TOKEN_STORE_URL``, a ``redis://``
URL, sessions are kept there instead. Each answer tells in ``X-Tries`` how often its request tried
to write a session, and in ``X-Worker`` which process gave it. A request with the header
``X-Die: after-write`` kills its process as soon as the store has written.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps import make_app
from jwt_auth_kit import Argon2Hasher, AuthKit
from jwt_auth_kit.stores.redis import RedisTokenStore
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, SQLAlchemyUserStore


@dataclass
class Work:
    """What one request does to the store."""

    tries: int = 0
    dies: bool = False


_work: ContextVar[Work] = ContextVar("work")


@contextmanager
def _one_try() -> Iterator[None]:
    work = _work.get()
    work.tries += 1
    yield
    if work.dies:
        os.kill(os.getpid(), signal.SIGKILL)


class CountingSQLStore(SQLAlchemyTokenStore):
    """Counts the writes that requests try."""

    async def compare_and_set(self, *arguments: Any, **options: Any) -> bool:
        with _one_try():
            return await super().compare_and_set(*arguments, **options)


class CountingRedisStore(RedisTokenStore):
    """Counts the writes that requests try."""

    async def compare_and_set(self, *arguments: Any, **options: Any) -> bool:
        with _one_try():
            return await super().compare_and_set(*arguments, **options)


@dataclass(frozen=True)
class Stores:
    """What the application is connected to."""

    users: SQLAlchemyUserStore
    tokens: CountingSQLStore | CountingRedisStore


class Reporter:
    """Adds ``X-Tries`` and ``X-Worker`` to every answer, and closes the stores at the end."""

    def __init__(self, app: ASGIApp, stores: Stores) -> None:
        self._app = app
        self._stores = stores

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def close(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                await self._stores.users.aclose()
                await self._stores.tokens.aclose()
            await send(message)

        if scope["type"] == "lifespan":
            await self._app(scope, receive, close)
            return
        work = Work(dies=(b"x-die", b"after-write") in scope["headers"])
        _work.set(work)

        async def report(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"x-tries", str(work.tries).encode()),
                    (b"x-worker", str(os.getpid()).encode()),
                ]
            await send(message)

        await self._app(scope, receive, report)


def _connect() -> Stores:
    engine = create_async_engine(os.environ["DATABASE_URL"])
    url = os.environ.get("TOKEN_STORE_URL")
    return Stores(
        users=SQLAlchemyUserStore(engine),
        tokens=CountingRedisStore(Redis.from_url(url)) if url else CountingSQLStore(engine),
    )


def _make_app() -> Reporter:
    stores = _connect()
    kit = AuthKit(
        users=stores.users,
        tokens=stores.tokens,
        hasher=Argon2Hasher.weak_for_tests(),
        on_event=lambda event: None,
    )
    return Reporter(make_app(kit), stores)


app = _make_app()
