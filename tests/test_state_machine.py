"""Clients, a thief and a clock in any order, through the real application, on each store."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

import servers
from apps import PASSWORD, Clock, bearer, code, make_app, make_kit
from jwt_auth_kit import AuthKit, MemoryTokenStore, TokenStore
from jwt_auth_kit.stores.redis import RedisTokenStore
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, create_schema

WINDOW = timedelta(seconds=30)
LONG = timedelta(days=3000)
MAX_DEVICES = 3
SELDOM = st.sampled_from([False] * 4 + [True])
DEAD = {"session_revoked", "refresh_reused"}


@dataclass
class Device:
    """A client with its tokens, and what the test knows of its session."""

    user_id: str
    tokens: dict[str, Any]
    seen_at: Any
    is_over: bool = False
    thief: dict[str, Any] | None = None
    successors: dict[str, set[str]] = field(default_factory=dict)


class Clients(RuleBasedStateMachine):
    """What may happen to the sessions of a few users."""

    store: ClassVar[Callable[[], AbstractContextManager[TokenStore]]]
    devices = Bundle[Device]("devices")

    @initialize()
    def start(self) -> None:
        self.clock = Clock()
        self.opened = type(self).store()
        self.tokens = self.opened.__enter__()
        kit: AuthKit = make_kit(
            tokens=self.tokens,
            clock=self.clock,
            settings={
                "refresh_ttl": LONG,
                "session_ttl": LONG,
                "reuse_window": WINDOW,
                "revocation_interval": 0,
            },
        )
        self.client = TestClient(make_app(kit))
        self.client.__enter__()
        self.emails: dict[str, str] = {}
        self.all_devices: list[Device] = []

    @precondition(lambda self: len(self.all_devices) < MAX_DEVICES)
    @rule(target=devices)
    def sign_up(self) -> Device:
        email = f"{uuid.uuid4().hex}@example.com"
        body = {"email": email, "password": PASSWORD}
        tokens = self.client.post("/auth/register", json=body).json()
        self.emails[tokens["user_id"]] = email
        return self._device(tokens)

    @precondition(lambda self: len(self.all_devices) < MAX_DEVICES)
    @rule(target=devices, other=devices)
    def sign_in_on_another_device(self, other: Device) -> Device:
        body = {"email": self.emails[other.user_id], "password": PASSWORD}
        return self._device(self.client.post("/auth/login", json=body).json())

    @rule(device=devices)
    def refresh(self, device: Device) -> None:
        answer = self._refresh(device)
        if answer is not None:
            self._receive(device, answer)

    @rule(device=devices)
    def refresh_and_lose_the_answer(self, device: Device) -> None:
        self._refresh(device)

    @rule(device=devices)
    def refresh_in_two_tabs(self, device: Device) -> None:
        one, other = self._refresh(device), self._refresh(device)

        if one is not None and other is not None:
            assert one["refresh_token"] == other["refresh_token"]
            self._receive(device, other)

    @rule(device=devices)
    def call(self, device: Device) -> None:
        answer = self.client.get("/projects", headers=bearer(device.tokens))

        if self.clock() - device.seen_at >= timedelta(minutes=15):
            assert (answer.status_code, code(answer)) == (401, "token_expired")
        elif device.is_over:
            assert (answer.status_code, code(answer)) == (401, "token_revoked")
        elif device.thief is None:
            assert answer.status_code == 200

    @rule(device=devices, really=SELDOM)
    def log_out(self, device: Device, *, really: bool) -> None:
        if not really:
            return
        body = {"refresh_token": device.tokens["refresh_token"]}
        assert self.client.post("/auth/logout", json=body).status_code == 204
        device.is_over = True

    @rule(device=devices, really=SELDOM)
    def log_out_everywhere(self, device: Device, *, really: bool) -> None:
        if not really:
            return
        answer = self.client.post("/auth/logout-all", headers=bearer(device.tokens))
        if answer.status_code != 204:
            assert answer.status_code == 401
            return
        for other in self.all_devices:
            other.is_over |= other.user_id == device.user_id

    @rule(device=devices, really=SELDOM)
    def steal(self, device: Device, *, really: bool) -> None:
        if really:
            device.thief = dict(device.tokens)

    @precondition(lambda self: any(device.thief for device in self.all_devices))
    @rule(device=devices)
    def the_thief_refreshes(self, device: Device) -> None:
        if device.thief is None:
            return
        answer = self._present(device.thief)
        if answer.status_code == 200:
            assert not device.is_over
            device.thief = answer.json()
        else:
            assert code(answer) in DEAD
            device.is_over |= code(answer) == "refresh_reused"

    @precondition(lambda self: any(device.thief for device in self.all_devices))
    @rule(device=devices)
    def the_thief_calls(self, device: Device) -> None:
        if device.thief is not None:
            answer = self.client.get("/projects", headers=bearer(device.thief))
            assert answer.status_code in {200, 401}
            assert answer.status_code == 401 or not device.is_over

    @rule(device=devices)
    def forge(self, device: Device) -> None:
        header, payload, signature = device.tokens["refresh_token"].split(".")
        forged = f"{header}.{payload}.{signature[::-1]}"

        answer = self.client.post("/auth/refresh", json={"refresh_token": forged})

        assert (answer.status_code, code(answer)) == (401, "invalid_token")

    @rule(seconds=st.sampled_from([0.5, 1, 10, 29, 31, 60, 600, 86_400]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)

    def teardown(self) -> None:
        if hasattr(self, "client"):
            close = getattr(self.tokens, "aclose", None)
            if close is not None:
                assert self.client.portal is not None
                self.client.portal.call(close)
            self.client.__exit__(None, None, None)
            self.opened.__exit__(None, None, None)

    def _device(self, tokens: dict[str, Any]) -> Device:
        device = Device(tokens["user_id"], tokens, seen_at=self.clock())
        self.all_devices.append(device)
        return device

    def _present(self, tokens: dict[str, Any]) -> Any:
        body = {"refresh_token": tokens["refresh_token"]}
        return self.client.post("/auth/refresh", json=body)

    def _refresh(self, device: Device) -> dict[str, Any] | None:
        answer = self._present(device.tokens)
        if answer.status_code == 200:
            assert not device.is_over
            return dict(answer.json())
        assert answer.status_code == 401
        assert code(answer) in DEAD
        assert device.is_over or device.thief is not None, "an honest client was refused"
        device.is_over = True
        return None

    def _receive(self, device: Device, tokens: dict[str, Any]) -> None:
        device.tokens = tokens
        device.seen_at = self.clock()


@contextmanager
def memory() -> Iterator[TokenStore]:
    yield MemoryTokenStore()


@contextmanager
def sql(url: str) -> Iterator[TokenStore]:
    engine = create_async_engine(url, poolclass=NullPool)
    yield Prepared(engine)


@contextmanager
def sqlite() -> Iterator[TokenStore]:
    with TemporaryDirectory() as folder, sql(f"sqlite+aiosqlite:///{Path(folder) / 'db'}") as store:
        yield store


@contextmanager
def redis(url: str) -> Iterator[TokenStore]:
    yield RedisTokenStore(Redis.from_url(url))


class Prepared(SQLAlchemyTokenStore):
    """Makes its tables before the first session: in the loop of the application."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self.unprepared: AsyncEngine | None = engine

    async def epochs(self, user_id: str) -> Any:
        if self.unprepared is not None:
            await create_schema(self.unprepared)
            self.unprepared = None
        return await super().epochs(user_id)


def run(store: Callable[[], AbstractContextManager[TokenStore]], *, examples: int) -> None:
    machine = type("Machine", (Clients,), {"store": staticmethod(store)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_in_memory_no_honest_client_is_refused_and_no_ended_session_lives() -> None:
    run(memory, examples=60)


def test_on_sqlite_no_honest_client_is_refused_and_no_ended_session_lives() -> None:
    run(sqlite, examples=10)


def test_on_postgresql_no_honest_client_is_refused_and_no_ended_session_lives() -> None:
    with servers.postgresql() as server:
        run(partial(sql, server.url("asyncpg")), examples=10)


def test_on_redis_no_honest_client_is_refused_and_no_ended_session_lives() -> None:
    with servers.redis() as server:
        run(partial(redis, server.url), examples=12)
