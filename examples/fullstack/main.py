"""The application: JWT_SECRET_KEY=... uvicorn examples.fullstack.main:app"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel, EmailStr, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from jwt_auth_kit import (
    AuthKit,
    BearerTransport,
    CookieTransport,
    EmailTaken,
    Transport,
    auth_router,
    install,
)
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, SQLAlchemyUserStore

from . import admin, live, projects, tasks
from .database import create_engine, create_tables


class Settings(BaseSettings):
    """What the environment and ``.env`` choose, beside the ``JWT_*`` of the library."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    database_url: str = "sqlite+aiosqlite:///demo.sqlite3"
    admin_email: EmailStr | None = None
    admin_password: SecretStr | None = Field(default=None, min_length=8)
    auth_cookies: bool = False
    trusted_origins: str = ""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Read the environment and open the database at the start; close it at the end."""
    settings = Settings()
    engine = create_engine(settings.database_url)
    try:
        kit = AuthKit(users=SQLAlchemyUserStore(engine), tokens=SQLAlchemyTokenStore(engine))
        install(app, kit, transports=choose_transports(settings))
        app.state.engine = engine
        await create_tables(engine)
        await create_first_admin(kit, settings)
        yield
    finally:
        await engine.dispose()


def choose_transports(settings: Settings) -> Sequence[Transport]:
    """Answer logins with cookies, for browsers, or with tokens in the body."""
    if not settings.auth_cookies:
        return [BearerTransport()]
    return [CookieTransport(trusted_origins=settings.trusted_origins.split()), BearerTransport()]


async def create_first_admin(kit: AuthKit, settings: Settings) -> None:
    """Make the administrator the environment names; without one there is none."""
    if settings.admin_email is None or settings.admin_password is None:
        return
    # Whoever has the address already keeps their account and role: nobody proved that they own
    # it, so a stranger could have signed up with it to become the administrator.
    with suppress(EmailTaken):
        password = settings.admin_password.get_secret_value()
        await kit.create_user(settings.admin_email, password, role="admin")


app = FastAPI(title="jwt-auth-kit demo", lifespan=lifespan)
app.include_router(auth_router)
app.include_router(projects.router)
app.include_router(tasks.router)
app.include_router(admin.router)
app.include_router(live.router)


class Health(BaseModel):
    """A sign of life."""

    status: Literal["ok"] = "ok"


@app.get("/health", tags=["health"])
async def health() -> Health:
    """Answer that the application runs."""
    return Health()
