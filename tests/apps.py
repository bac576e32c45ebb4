"""Small applications and people for the tests that go through HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from jwt_auth_kit import (
    AdminDep,
    Argon2Hasher,
    AuthEvent,
    AuthKit,
    AuthSettings,
    KeyRing,
    MemoryTokenStore,
    MemoryUserStore,
    UserDep,
    auth_router,
    install,
)

EMAIL = "ada@example.com"
PASSWORD = "correct horse battery"
ADDRESS = "192.0.2.1"


@dataclass
class Clock:
    """A clock that a test moves."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


def make_kit(**options: Any) -> AuthKit:
    """Make a kit with a fresh key, memory stores and a hasher that costs nothing."""
    settings: dict[str, Any] = options.pop("settings", {})
    defaults: dict[str, Any] = {
        "users": MemoryUserStore(),
        "tokens": MemoryTokenStore(),
        "keys": KeyRing.random(),
        "hasher": Argon2Hasher.weak_for_tests(),
        "settings": AuthSettings(**settings),
    }
    return AuthKit(**{**defaults, **options})


def make_app(kit: AuthKit | None = None) -> FastAPI:
    """Make an application with the router, a route for users and one for administrators."""
    app = FastAPI()
    app.include_router(auth_router)
    install(app, kit or make_kit())

    @app.get("/projects")
    async def projects(user: UserDep) -> str:
        return user.id

    @app.get("/admin/projects")
    async def all_projects(admin: AdminDep) -> str:
        return admin.id

    return app


@contextmanager
def serve(kit: AuthKit | None = None) -> Iterator[TestClient]:
    """Run ``make_app(kit)`` with its lifespan, in one event loop."""
    with TestClient(make_app(kit), client=(ADDRESS, 50000)) as client:
        yield client


class Events(list[AuthEvent]):
    """An event hook that remembers."""

    def __call__(self, event: AuthEvent) -> None:
        self.append(event)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self]


def register(client: TestClient, email: str = EMAIL, **fields: Any) -> dict[str, Any]:
    """Sign up and return the body."""
    body = {"email": email, "password": PASSWORD, **fields}
    answer = client.post("/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def bearer(signed_in: dict[str, Any]) -> dict[str, str]:
    """Make the header that carries the access token of *signed_in*."""
    return {"Authorization": f"Bearer {signed_in['access_token']}"}


def refresh(client: TestClient, signed_in: dict[str, Any]) -> Any:
    """Present the refresh token of *signed_in* and return the answer."""
    return client.post("/auth/refresh", json={"refresh_token": signed_in["refresh_token"]})


def code(answer: Any) -> str:
    """Return the error code of *answer*."""
    return str(answer.json()["detail"]["code"])
