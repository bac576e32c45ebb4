"""A host application as users write it: the lines of the README, a user class and a store.

It is never run. mypy, pyright and ty read it, in strict modes, as they read what users write.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import Enum
from typing import Annotated, assert_type
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from jwt_auth_kit import (
    AdminDep,
    AuthEvent,
    AuthKit,
    AuthSettings,
    BearerTransport,
    ClientDep,
    CookieTransport,
    CurrentUser,
    EmailTaken,
    LoginThrottle,
    NewUser,
    PasswordPolicy,
    SessionDep,
    SignedIn,
    TokenVerifier,
    UserDep,
    auth_router,
    create_auth_router,
    deny_by_default,
    get_auth,
    get_current_user,
    get_optional_user,
    install,
    public,
    require_owner,
    require_recent_login,
    require_role,
    require_scopes,
)
from jwt_auth_kit.stores import sqlalchemy as sql
from jwt_auth_kit.stores.base import UserStoreOf


class Base(DeclarativeBase):
    pass


class Person(Base):
    """A user class of the application, mapped to a table of its own."""

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str | None]
    role: Mapped[str] = mapped_column(default="user")
    is_active: Mapped[bool] = mapped_column(default=True)
    password_hash: Mapped[str | None]
    newsletter: Mapped[bool] = mapped_column(default=False)


class PersonStore:
    """A store of the application, which returns the mapped class."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def get_by_id(self, user_id: str) -> Person | None:
        if not user_id.isdecimal():
            return None
        async with self._sessions() as database:
            return await database.get(Person, int(user_id))

    async def get_by_email(self, email: str) -> Person | None:
        async with self._sessions() as database:
            return await database.scalar(select(Person).where(func.lower(Person.email) == email))

    async def create(self, user: NewUser) -> Person:
        person = Person(
            email=user.email,
            display_name=user.display_name,
            password_hash=user.password_hash,
            role=user.role,
        )
        try:
            async with self._sessions.begin() as database:
                database.add(person)
        except IntegrityError:
            raise EmailTaken from None
        return person

    async def set_password_hash(self, user_id: str, new: str, *, expected: str | None) -> bool:
        async with self._sessions.begin() as database:
            person = await database.get(Person, int(user_id), with_for_update=True)
            if person is None or person.password_hash != expected:
                return False
            person.password_hash = new
            return True

    async def set_role(self, user_id: str, role: str) -> bool:
        return await self._change(user_id, role=role)

    async def set_active(self, user_id: str, *, active: bool) -> bool:
        return await self._change(user_id, is_active=active)

    async def _change(self, user_id: str, **values: str | bool) -> bool:
        statement = update(Person).where(Person.id == int(user_id)).values(**values)
        async with self._sessions.begin() as database:
            found = await database.execute(statement.returning(Person.id))
            return found.first() is not None


class Role(Enum):
    USER = "user"
    ADMIN = "admin"


class Member(Base):
    """Another one: its role is an Enum that may be null."""

    __tablename__ = "members"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str]
    role: Mapped[Role | None]
    is_active: Mapped[bool] = mapped_column(default=True)
    password_hash: Mapped[str | None]


def use_members(store: UserStoreOf[Member]) -> AuthKit:
    return AuthKit(users=store, scopes=scopes_of_member)


def scopes_of_member(member: Member) -> list[str]:
    return ["reports"] if member.role is Role.ADMIN else []


engine = sql.prepare_engine("sqlite+aiosqlite:///app.db")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    await sql.create_schema(engine)
    yield
    await engine.dispose()


# The lines of the README.
app = FastAPI(lifespan=lifespan)
kit = AuthKit(users=sql.SQLAlchemyUserStore(engine), tokens=sql.SQLAlchemyTokenStore(engine))
install(app, kit)
app.include_router(auth_router)


@app.get("/projects")
async def projects(user: UserDep) -> dict[str, str]:
    return {"owner": user.id}


@app.get("/admin/projects")
async def all_projects(admin: AdminDep) -> dict[str, str]:
    return {"owner": admin.id}


# The same with a store of the application, and what the guides show.
own = FastAPI()
own_kit = install(
    own,
    AuthKit(
        users=PersonStore(async_sessionmaker(engine, expire_on_commit=False)),
        tokens=sql.SQLAlchemyTokenStore(engine),
    ),
    transports=[BearerTransport(), CookieTransport()],
)
assert_type(own_kit, AuthKit)
own.include_router(create_auth_router())

default_kit = install(FastAPI(), AuthKit())
assert_type(default_kit, AuthKit)
verifier = install(FastAPI(), TokenVerifier("https://example.com/jwks.json"))
assert_type(verifier, TokenVerifier)
mapped_kit = AuthKit(users=sql.SQLAlchemyUserStore(engine, Person))


async def get_person(user: UserDep) -> Person:
    async with AsyncSession(engine) as database:
        person = await database.get(Person, int(user.id))
    if person is None:
        raise HTTPException(404)
    return person


@own.get("/newsletter")
async def newsletter(person: Annotated[Person, Depends(get_person)]) -> dict[str, bool]:
    return {"subscribed": person.newsletter}


@own.post("/sign-out")
async def sign_out(
    user: UserDep, auth: Annotated[AuthKit, Depends(get_auth)], client: ClientDep
) -> bool:
    return await auth.end_session(user.id, user.session_id, client=client)


@own.post("/login")
async def login(
    email: str, password: str, auth: Annotated[AuthKit, Depends(get_auth)], client: ClientDep
) -> dict[str, str]:
    signed_in = await auth.login(email, password, client=client)
    assert_type(signed_in, SignedIn)
    return {"token": signed_in.tokens.access_token}


@own.get("/maybe")
@public
async def maybe(
    user: Annotated[CurrentUser | None, Depends(get_optional_user)],
) -> str:
    return "nobody" if user is None else user.id


@own.get("/now")
async def now(user: SessionDep) -> str | None:
    return user.email


@own.get("/users/{user_id}", dependencies=[Depends(require_owner("user_id", admin=True))])
async def show(user_id: str) -> str:
    return user_id


@own.get("/editors", dependencies=[Depends(require_role("editor", "admin"))])
async def editors() -> str:
    return "editors"


@own.get("/reports", dependencies=[Depends(require_scopes("reports"))])
async def reports() -> str:
    return "reports"


@own.delete("/account", dependencies=[Depends(require_recent_login(timedelta(minutes=5)))])
async def close() -> None: ...


async def on_event(event: AuthEvent) -> None:
    print(event.name, event.user_id)


def sign_in_as(user: CurrentUser) -> None:
    own.dependency_overrides[get_current_user] = lambda: user


full = AuthKit(
    settings=AuthSettings(access_ttl=timedelta(minutes=5)),
    password_policy=PasswordPolicy(min_length=12),
    throttle=LoginThrottle(),
    on_event=on_event,
    scopes=lambda user: ["reports"] if user.role == "admin" else [],
)
deny_by_default(own)
