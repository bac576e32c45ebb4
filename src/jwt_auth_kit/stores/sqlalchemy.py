"""Stores on SQLAlchemy 2 (asyncio), for SQLite and PostgreSQL.

Needs the ``sqlalchemy`` extra and a driver such as aiosqlite or asyncpg.
"""

import json
import logging
import uuid
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, cast

try:
    import sqlalchemy  # noqa: F401
except ModuleNotFoundError:
    raise ImportError(
        'jwt_auth_kit.stores.sqlalchemy needs SQLAlchemy: pip install "jwt-auth-kit[sqlalchemy]"'
    ) from None
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Dialect,
    Executable,
    Index,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    TypeDecorator,
    Update,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    InstrumentedAttribute,
    Mapped,
    RelationshipProperty,
    class_mapper,
    mapped_column,
)
from sqlalchemy.schema import Column, CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from ..errors import ConfigurationError, EmailTaken, StoreUnavailable
from ..sessions import Session, SessionChanges
from .base import (
    FEED_OVERLAP,
    FEED_PAGE,
    MAX_LISTED,
    TOO_MANY_SESSIONS,
    Epochs,
    NewUser,
    Revocations,
    StaleLogin,
    StoredSession,
    name_role,
    read_role,
)
from .base import User as UserProtocol
from .completion import Operations, complete_operations
from .engines import check_engine
from .engines import prepare_engine as prepare_engine  # noqa: PLC0414  found here by users
from .failures import UNKNOWN, describe, describe_refusal, is_of_another_loop
from .ids import IdColumn
from .rows import check_model, make_row

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

metadata: MetaData = MetaData()
"""``auth_sessions``, ``auth_epochs`` and ``auth_failures``, for migrations of your own."""

TIMEOUT: timedelta = timedelta(seconds=10)
"""How long an operation of a store may take, unless the store is given another timeout."""

SCHEMA_LOCK = 0x6A7774
"""Names the advisory lock under which PostgreSQL creates tables."""

FAILURES = (DBAPIError, PoolTimeout, OSError)
_UPSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

BATCH = 1000
"""How many sessions are ended in one transaction; other requests run in between."""


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, also on databases that forget the zone."""

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = DateTime(timezone=True)
    cache_ok: bool | None = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Store UTC."""
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Declarative base of the table ``users``; ``Base.metadata`` holds that table alone."""


class User(Base):
    """The ready-made account table; use a mapped class of your own for more columns."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=lambda: str(uuid.uuid4()))
    email: Mapped[str] = mapped_column(String(320), unique=True)
    display_name: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(50), default="user")
    is_active: Mapped[bool] = mapped_column(Boolean, default=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=lambda: datetime.now(UTC))

    def __repr__(self) -> str:
        return f"User(id={self.id!r})"


sessions: Table = Table(
    "auth_sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", String(255), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("salt", LargeBinary(16), nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("auth_time", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("idle_expires_at", UTCDateTime, nullable=False),
    Column("window_from", UTCDateTime, nullable=False),
    Column("last_seen_at", UTCDateTime, nullable=False),
    Column("gen", BigInteger, nullable=False),
    Column("parent", BigInteger, nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("known_gen", BigInteger, nullable=False, server_default="0"),
    Column("ip", String(45)),
    Column("user_agent", String(256)),
    Column("revoked_at", UTCDateTime),
    Column("revoke_reason", String(50)),
    Column("version", BigInteger, nullable=False),
    Column("announced_at", UTCDateTime),
    Index("ix_auth_sessions_announced_at", "announced_at", "id"),
    Index("ix_auth_sessions_revoked_at", "revoked_at"),
    Index("ix_auth_sessions_idle_expires_at", "idle_expires_at"),
)
_COLUMNS = tuple(column for column in sessions.columns if column.name != "announced_at")
"""The fields of a session. The other column is for the feed: when the end of this one session
was told; null where an epoch told it."""

_IS_OPEN = sessions.c.revoked_at.is_(None)
Index(
    "ix_auth_sessions_open",
    sessions.c.user_id,
    sessions.c.created_at,
    sessions.c.id,
    sqlite_where=_IS_OPEN,
    postgresql_where=_IS_OPEN,
)
"""Leaves out ended sessions, so that a user's list costs as much as it holds."""

epochs: Table = Table(
    "auth_epochs",
    metadata,
    Column("user_id", String(255), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("sessions_from", BigInteger, nullable=False),
    Column("changed_at", UTCDateTime, nullable=False),
    Index("ix_auth_epochs_changed_at", "changed_at", "user_id"),
)

failures: Table = Table(
    "auth_failures",
    metadata,
    Column("user_id", String(255), primary_key=True),
    Column("failures", BigInteger, nullable=False),
)
"""Wrong passwords in a row; a row goes when the right one comes."""


async def create_schema(engine: AsyncEngine, *, users: bool = True) -> None:
    """Create the tables that are missing. Later changes belong to a migration tool.

    Several processes may do this at once.

    Args:
        engine: the database.
        users: create ``users`` too; False where accounts live in a table of your own.
    """
    check_engine(engine)
    await Operations().run(_create_tables(engine, users=users))


async def _create_tables(engine: AsyncEngine, *, users: bool) -> None:
    async with _transaction(engine) as connection:
        if connection.dialect.name == "postgresql":  # IF NOT EXISTS races with itself there
            await connection.execute(select(func.pg_advisory_xact_lock(SCHEMA_LOCK)))
        for table in (*metadata.sorted_tables, *(Base.metadata.sorted_tables if users else ())):
            # create_all() looks first and creates then; another process may come in between.
            await connection.execute(CreateTable(table, if_not_exists=True))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                await connection.execute(CreateIndex(index, if_not_exists=True))


@complete_operations
class SQLAlchemyTokenStore:
    """Keeps sessions in ``auth_sessions``, epochs in ``auth_epochs``, failures in a third table.

    Args:
        engine: the database.
        timeout: how long a method may take before it is a ``StoreUnavailable``, whatever the
            driver waits for. SQLite has its busy timeout instead.

    Raises:
        ConfigurationError: the engine is synchronous, the database is neither SQLite nor
            PostgreSQL, or the timeout is not positive.
    """

    def __init__(self, engine: AsyncEngine, *, timeout: timedelta = TIMEOUT) -> None:
        check_engine(engine)
        if engine.dialect.name not in _UPSERTS:
            raise ConfigurationError(
                f"SQLAlchemyTokenStore runs on {' and '.join(_UPSERTS)}, "
                f"not on {engine.dialect.name}."
            )
        self._engine = engine
        self._operations = _operations(engine, timeout)
        self._single = _without_transactions(engine)

    async def create(self, session: Session, *, most: int | None = None) -> Sequence[str]:
        """See TokenStore.create."""
        is_alone = most is not None
        async with _transaction(self._engine) as connection:
            if not await _insert_session(connection, session, is_alone=is_alone):
                # There is no row of epochs yet to lock, or the session is stale. Making the row
                # waits for anybody who makes it at this moment.
                await connection.execute(_first_epochs(connection, session))
                if not await _insert_session(connection, session, is_alone=is_alone):
                    raise StaleLogin
            return [] if most is None else await _make_room(connection, session, most)

    async def get(self, user_id: str, session_id: str) -> StoredSession | None:
        """See TokenStore.get."""
        async with _connection(self._single) as connection:
            row = (await connection.execute(_GET, _key(user_id, session_id))).one_or_none()
        if row is None:
            return None
        *values, epoch, sessions_from = row
        names = (column.name for column in _COLUMNS)
        session = Session(**dict(zip(names, values, strict=True)))
        return StoredSession(session, Epochs(epoch or 0, sessions_from or 0))

    async def compare_and_set(
        self, user_id: str, session_id: str, version: int, changes: SessionChanges
    ) -> bool:
        """See TokenStore.compare_and_set."""
        values = {
            **changes,
            **_key(user_id, session_id),
            "version": version + 1,
            "expected_version": version,
        }
        async with _transaction(self._single) as connection:
            statement = _compare_and_set(frozenset(changes))
            return (await connection.execute(statement, values)).rowcount == 1

    async def revoke(self, user_id: str, session_id: str, reason: str, now: datetime) -> bool:
        """See TokenStore.revoke."""
        statement = _announced(reason, now).where(_is_session(user_id, session_id))
        async with _transaction(self._single) as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def revoke_all(self, user_id: str, reason: str, now: datetime) -> int:
        """See TokenStore.revoke_all."""
        async with _transaction(self._engine) as connection:
            epoch = await _next_epoch(connection, user_id, now)
            await connection.execute(
                update(epochs).where(epochs.c.user_id == user_id).values(sessions_from=epoch)
            )
        # The epoch has ended them; what is left is to note when and why, a few at a time.
        before = and_(sessions.c.user_id == user_id, sessions.c.epoch < epoch)
        with suppress(StoreUnavailable):
            while len(await self._end_batch(user_id, before, _revoked(reason, now))) == BATCH:
                pass
        return epoch

    async def revoke_others(
        self, user_id: str, keep: str | None, reason: str, now: datetime
    ) -> Sequence[str]:
        """See TokenStore.revoke_others."""
        others = and_(sessions.c.user_id == user_id, sessions.c.id != (keep or ""))
        ended: list[str] = []
        while batch := await self._end_batch(user_id, others, _announced(reason, now)):
            ended += batch
        return ended

    async def void_access_tokens(self, user_id: str, now: datetime) -> int:
        """See TokenStore.void_access_tokens."""
        async with _transaction(self._engine) as connection:
            return await _next_epoch(connection, user_id, now)

    async def epochs(self, user_id: str) -> Epochs:
        """See TokenStore.epochs."""
        query = select(epochs.c.epoch, epochs.c.sessions_from).where(epochs.c.user_id == user_id)
        async with _connection(self._single) as connection:
            row = (await connection.execute(query)).one_or_none()
        return Epochs(0, 0) if row is None else Epochs(row.epoch, row.sessions_from)

    async def list_by_user(
        self, user_id: str, now: datetime, *, limit: int = MAX_LISTED, after: str | None = None
    ) -> Sequence[Session]:
        """See TokenStore.list_by_user."""
        query = (
            select(*_COLUMNS)
            .select_from(sessions.outerjoin(epochs, epochs.c.user_id == sessions.c.user_id))
            .where(sessions.c.user_id == user_id, _IS_OPEN)
            .where(sessions.c.expires_at > now, sessions.c.idle_expires_at > now)
            .where(sessions.c.epoch >= func.coalesce(epochs.c.sessions_from, 0))
            .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
            .limit(limit)
        )
        async with _connection(self._single) as connection:
            if after is not None:
                began_at = select(sessions.c.created_at).where(_is_session(user_id, after))
                moment = (await connection.execute(began_at)).scalar()
                if moment is None:
                    raise LookupError("no such session")
                query = query.where(_is_older(moment, after))
            return [_session(row) for row in (await connection.execute(query)).mappings()]

    async def revoked_since(
        self, cursor: str | None, now: datetime, *, keep: timedelta
    ) -> Revocations:
        """See TokenStore.revoked_since."""
        place = _Place.read(cursor) if cursor else _Place.at(now - keep - FEED_OVERLAP)
        ended = _behind(sessions.c.announced_at, sessions.c.id, place.session)
        changed = _behind(epochs.c.changed_at, epochs.c.user_id, place.epoch)
        changed = changed.add_columns(epochs.c.epoch).where(epochs.c.epoch > 0)
        async with _connection(self._single) as connection:
            session_rows = (await connection.execute(ended)).all()
            epoch_rows = (await connection.execute(changed)).all()
        has_more = FEED_PAGE in {len(session_rows), len(epoch_rows)}
        return Revocations(
            session_ids=[row.id for row in session_rows],
            epochs=[(row.user_id, row.epoch) for row in epoch_rows],
            cursor=place.behind(session_rows, epoch_rows, now, has_more=has_more).text(),
            has_more=has_more,
        )

    async def count_failure(self, user_id: str) -> int:
        """See FailureStore.count_failure."""
        new = _UPSERTS[self._engine.dialect.name](failures).values(user_id=user_id, failures=1)
        statement = new.on_conflict_do_update(
            index_elements=["user_id"], set_={"failures": failures.c.failures + 1}
        ).returning(failures.c.failures)
        async with _transaction(self._single) as connection:
            return int((await connection.execute(statement)).scalar_one())

    async def failures(self, user_id: str) -> int:
        """See FailureStore.failures."""
        query = select(failures.c.failures).where(failures.c.user_id == user_id)
        async with _connection(self._single) as connection:
            return (await connection.execute(query)).scalar() or 0

    async def clear_failures(self, user_id: str, *, below: int | None = None) -> None:
        """See FailureStore.clear_failures."""
        statement = delete(failures).where(failures.c.user_id == user_id)
        if below is not None:
            statement = statement.where(failures.c.failures < below)
        async with _transaction(self._single) as connection:
            await connection.execute(statement)

    async def purge(self, before: datetime, limit: int) -> int:
        """See TokenStore.purge."""
        ended = or_(
            sessions.c.revoked_at < before,
            sessions.c.idle_expires_at < before,  # never later than expires_at
        )
        batch = select(sessions.c.id).where(ended).limit(limit).with_for_update(skip_locked=True)
        async with _transaction(self._engine) as connection:
            ids = (await connection.execute(batch)).scalars().all()
            statement = delete(sessions).where(sessions.c.id.in_(ids), ended)
            return (await connection.execute(statement)).rowcount if ids else 0

    async def aclose(self) -> None:
        """Close the connections of the engine: for programs that share it with nothing else."""
        await self._engine.dispose()

    async def _end_batch(self, user_id: str, which: ColumnElement[bool], end: Any) -> Sequence[str]:
        """End some sessions of a user; return their ids, none where no more are left."""
        some = select(sessions.c.id).where(which, _IS_OPEN).limit(BATCH)
        statement = end.where(sessions.c.id.in_(some)).returning(sessions.c.id)
        async with _transaction(self._engine) as connection:
            # Whoever changes several sessions of a user holds the epochs, and so nobody can wait
            # for a session in here while another waits the other way round.
            await connection.execute(_lock_epochs(connection, user_id))
            return (await connection.execute(statement)).scalars().all()


@complete_operations
class SQLAlchemyUserStore:
    """Keeps accounts in the table ``users``, or in a mapped class of your own.

    Args:
        engine: the engine the class is stored with.
        model: a mapped class with the attributes of ``stores.base.User``; use ``synonym`` where
            your names differ. Its table needs a unique constraint or index on the address.
        timeout: how long a method may take; see SQLAlchemyTokenStore.

    Raises:
        ConfigurationError: the engine is synchronous, or the class is not mapped or lacks one of
            the attributes.
    """

    def __init__(
        self, engine: AsyncEngine, model: type[Any] = User, *, timeout: timedelta = TIMEOUT
    ) -> None:
        check_engine(engine)
        check_model(model)
        self._engine = engine
        self._operations = _operations(engine, timeout)
        self._model = model
        self._id: InstrumentedAttribute[Any] = model.id
        self._ids = IdColumn(model.id, engine.dialect)
        self._email: InstrumentedAttribute[str] = model.email

    async def get_by_id(self, user_id: str) -> UserProtocol | None:
        """See UserStore.get_by_id."""
        return await self._find(self._ids.equals(user_id))

    async def get_by_email(self, email: str) -> UserProtocol | None:
        """See UserStore.get_by_email."""
        if self._model is User:
            return await self._find(self._email == email)
        # Rows that were written before this library came may hold capitals.
        user = await self._find(func.lower(self._email) == email)
        if user is not None:
            self._ids.check(user.id)
        return user

    async def create(self, user: NewUser) -> UserProtocol:
        """See UserStore.create."""
        if self._model is not User and await self.get_by_email(user.email) is not None:
            raise EmailTaken  # an old row with capitals does not break the unique index
        account: UserProtocol = make_row(self._model, user, self._role(user.role))
        async with _translated, AsyncSession(self._engine, expire_on_commit=False) as database:
            database.add(account)
            try:
                with self._values_taken():
                    await database.flush()
                self._ids.check(account.id)
                await database.commit()
            except IntegrityError as error:
                await database.rollback()
                if await self.get_by_email(user.email) is None:
                    refusal = f"{self._model.__name__} refuses a new row: {describe_refusal(error)}"
                    raise ValueError(refusal) from None
                raise EmailTaken from None
            await database.refresh(account)
        return account

    async def set_password_hash(self, user_id: str, new: str, *, expected: str | None) -> bool:
        """See UserStore.set_password_hash."""
        password_hash: InstrumentedAttribute[str | None] = self._model.password_hash
        unchanged = password_hash.is_(None) if expected is None else password_hash == expected
        return await self._update(and_(self._ids.equals(user_id), unchanged), password_hash=new)

    async def set_role(self, user_id: str, role: str) -> bool:
        """See UserStore.set_role."""
        this_user = self._ids.equals(user_id)
        statement = update(self._model).where(this_user).values(role=self._role(role))
        async with _translated, AsyncSession(self._engine) as database:
            with self._values_taken():
                if not await _changes_one(database, statement):
                    return False
            changed = (await database.scalars(select(self._model).where(this_user))).one()
            if read_role(changed) != role:  # a mapping of two roles to a flag, for example
                raise ConfigurationError(
                    f"{self._model.__name__}.role cannot hold {role!r}, so nothing was changed."
                )
            await database.commit()
        return True

    async def set_active(self, user_id: str, *, active: bool) -> bool:
        """See UserStore.set_active."""
        return await self._update(self._ids.equals(user_id), is_active=active)

    async def aclose(self) -> None:
        """Close the connections of the engine: for programs that share it with nothing else."""
        await self._engine.dispose()

    def claim_names(self) -> Collection[str]:
        """See ClaimNamer.claim_names; relationships, which would be loaded, are left out."""
        # Not configured: classes that this one names may be imported later.
        mapper = class_mapper(self._model, configure=False)
        classes = [each.class_ for each in mapper.self_and_descendants]
        names = {name for each in classes for name in dir(each)}
        attributes = {name: value for each in classes for name, value in vars(each).items()}
        related = {name for name, value in attributes.items() if _is_relationship(value)}
        hash_column = getattr(self._model.password_hash, "comparator", None)
        hidden = {"password_hash", getattr(getattr(hash_column, "prop", None), "key", "")}
        return names - related - hidden

    async def count_twins(self) -> int:
        """See TwinCounter.count_twins."""
        address = func.lower(self._email)
        twins = select(address).group_by(address).having(func.count() > 1).subquery()
        async with _translated, AsyncSession(self._engine) as database:
            return (await database.scalars(select(func.count()).select_from(twins))).one()

    async def sample_password_hashes(self, limit: int) -> Sequence[str | None]:
        """See PasswordHashSampler.sample_password_hashes."""
        accounts = select(self._id, self._model.password_hash)
        first = accounts.order_by(self._id).limit((limit + 1) // 2)
        last = accounts.order_by(self._id.desc()).limit(limit // 2)
        async with _translated, AsyncSession(self._engine) as database:
            rows = [*(await database.execute(first)), *(await database.execute(last))]
        return list({row[0]: row[1] for row in rows}.values())

    async def _find(self, condition: ColumnElement[bool]) -> UserProtocol | None:
        async with _translated, AsyncSession(self._engine, expire_on_commit=False) as database:
            found = await database.scalars(select(self._model).where(condition).limit(1))
            user: UserProtocol | None = found.first()
            return user

    async def _update(self, condition: ColumnElement[bool], **values: Any) -> bool:
        statement = update(self._model).where(condition).values(**values)
        async with _translated, AsyncSession(self._engine) as database:
            is_done = await _changes_one(database, statement)
            await database.commit()
            return is_done

    def _role(self, role: str) -> Any:
        """Return *role* as its column holds it: that of an ``Enum`` class wants a member."""
        kind = getattr(self._model.role, "type", None)
        known = getattr(kind, "enum_class", None) or getattr(kind, "enums", None)
        if known is None:
            return role
        members = {name_role(member): member for member in known}
        if role not in members:
            raise ConfigurationError(
                f"{self._model.__name__}.role takes {', '.join(members)}, not {role!r}."
            )
        return members[role]

    @contextmanager
    def _values_taken(self) -> Iterator[None]:
        """Tell what a column type of the application's own refuses, and show no value."""
        try:
            yield
        except StatementError as error:
            if isinstance(error, DBAPIError):
                raise
            raise ConfigurationError(
                f"A column type of {self._model.__name__} refuses a value: it raised "
                f"{type(error.orig).__name__}. Nothing was written."
            ) from None


async def _changes_one(database: AsyncSession, statement: Update) -> bool:
    result = await database.execute(statement, execution_options={"synchronize_session": False})
    return bool(cast("Any", result).rowcount == 1)


class _Translation:
    """Turns a failure of the database into the library's own error, here and nowhere else."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: object
    ) -> None:
        if error is None or not _is_failure(error):
            return
        names, cure = describe(error)
        logger.error("The database failed: %s. %s", names, cure or UNKNOWN)
        raise StoreUnavailable(cure) from None


_translated = _Translation()


def _is_failure(error: BaseException) -> bool:
    # SQLAlchemy before 2.1 lets through what asyncpg raises while it connects.
    is_of_driver = type(error).__module__.partition(".")[0] == "asyncpg"
    return is_of_driver or isinstance(error, FAILURES) or is_of_another_loop(error)


@asynccontextmanager
async def _connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with _translated, engine.connect() as connection:
        yield connection


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with _translated, engine.begin() as connection:
        yield connection


def _operations(engine: AsyncEngine, timeout: timedelta) -> Operations:
    if timeout <= timedelta(0):
        raise ConfigurationError("The timeout of a store must be positive.")
    # A statement on SQLite that is cancelled may keep its lock, and no network is in between.
    return Operations(None if engine.dialect.name == "sqlite" else timeout)


def _without_transactions(engine: AsyncEngine) -> AsyncEngine:
    """Spare single statements BEGIN and COMMIT, which are round trips of their own.

    Not on SQLite: the switch costs more there than a transaction, and in memory all tasks share
    one connection, whose open transactions it would commit.
    """
    if engine.dialect.name != "postgresql":
        return engine
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _key(user_id: str, session_id: str) -> dict[str, Any]:
    return {"the_user": user_id, "the_session": session_id}


# The two statements of a refresh are built once: building one costs as much as sending it.
_THIS_SESSION = and_(
    sessions.c.id == bindparam("the_session"), sessions.c.user_id == bindparam("the_user")
)
_GET = (
    select(*_COLUMNS, epochs.c.epoch, epochs.c.sessions_from)
    .select_from(sessions.outerjoin(epochs, epochs.c.user_id == sessions.c.user_id))
    .where(_THIS_SESSION)
)


@cache
def _compare_and_set(names: frozenset[str]) -> Update:
    return (
        update(sessions)
        .where(_THIS_SESSION, sessions.c.version == bindparam("expected_version"))
        .where(_IS_OPEN)
        .values({name: bindparam(name) for name in sorted(names | {"version"})})
    )


def _is_relationship(attribute: object) -> bool:
    comparator = getattr(attribute, "comparator", None)
    return isinstance(comparator, RelationshipProperty.Comparator)


def _is_older(moment: datetime, session_id: str) -> ColumnElement[bool]:
    position = tuple_(literal(moment, UTCDateTime), literal(session_id, String))
    return tuple_(sessions.c.created_at, sessions.c.id) < position


def _is_session(user_id: str, session_id: str) -> ColumnElement[bool]:
    if "\x00" in session_id:  # PostgreSQL takes it for an error, and it is nobody's id
        return false()
    return and_(sessions.c.id == session_id, sessions.c.user_id == user_id)


def _revoked(reason: str, now: Any) -> Any:
    return (
        update(sessions)
        .where(_IS_OPEN)
        .values(revoked_at=now, revoke_reason=reason, version=sessions.c.version + 1)
    )


def _announced(reason: str, now: Any) -> Any:
    """End sessions whose end no epoch tells."""
    return _revoked(reason, now).values(announced_at=now)


async def _insert_session(connection: AsyncConnection, session: Session, *, is_alone: bool) -> bool:
    """Insert if the user's epochs allow it, holding them still meanwhile.

    The shared lock matters: a plain INSERT ... SELECT beside an end of all sessions that has
    not committed yet would read the old epochs, and the new session would outlive it.
    With *is_alone* the lock keeps other logins of the user out too.
    """
    allowed = (
        select(epochs.c.sessions_from)
        .where(epochs.c.user_id == session.user_id)
        .with_for_update(read=not is_alone, key_share=is_alone)
        .subquery("allowed")
    )
    values = [
        literal(getattr(session, column.name), column.type).label(column.name)
        for column in _COLUMNS
    ]
    row = select(*values).select_from(allowed).where(allowed.c.sessions_from <= session.epoch)
    statement = insert(sessions).from_select([column.name for column in _COLUMNS], row)
    return (await connection.execute(statement.returning(sessions.c.id))).first() is not None


async def _make_room(connection: AsyncConnection, new: Session, most: int) -> Sequence[str]:
    """End the oldest live sessions but *most*.

    A statement of its own: it sees what others wrote before this transaction held the lock,
    which the one that waited for the lock does not.
    """
    values = {
        "the_user": new.user_id,
        "the_session": new.id,
        "now": new.created_at,
        "others": most - 1,
    }
    return (await connection.execute(_MAKE_ROOM, values)).scalars().all()


_TOO_MANY = (
    select(sessions.c.id)
    .where(sessions.c.user_id == bindparam("the_user"), sessions.c.id != bindparam("the_session"))
    .where(_IS_OPEN, sessions.c.idle_expires_at > bindparam("now", type_=UTCDateTime))
    .where(
        sessions.c.epoch
        >= select(epochs.c.sessions_from)
        .where(epochs.c.user_id == bindparam("the_user"))
        .scalar_subquery()
    )
    .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
    .limit(BATCH)
    .offset(bindparam("others", type_=Integer))
)
_MAKE_ROOM = (
    _announced(TOO_MANY_SESSIONS, bindparam("now", type_=UTCDateTime))
    .where(sessions.c.id.in_(_TOO_MANY))
    .returning(sessions.c.id)
)


def _first_epochs(connection: AsyncConnection, session: Session) -> Insert:
    return _insert_epochs(
        connection,
        user_id=session.user_id,
        epoch=0,
        sessions_from=0,
        changed_at=session.created_at,
    )


def _insert_epochs(connection: AsyncConnection, **values: Any) -> Insert:
    new: Any = _UPSERTS[connection.dialect.name](epochs).values(**values)
    return cast("Insert", new.on_conflict_do_nothing(index_elements=["user_id"]))


def _lock_epochs(connection: AsyncConnection, user_id: str) -> Executable:
    if connection.dialect.name == "postgresql":
        query = select(epochs.c.user_id).where(epochs.c.user_id == user_id)
        return query.with_for_update(key_share=True)
    # SQLite locks nothing but the whole file, for a write.
    return update(epochs).where(epochs.c.user_id == user_id).values(epoch=epochs.c.epoch)


Row = tuple[datetime, str]


class _Place(NamedTuple):
    """How far a pass over the feed has come, and where the next pass begins.

    Rows become visible later than the moment they carry. So a pass begins a while before the one
    in front of it did; within a pass, each page begins behind the last row of the page before,
    so that a pass ends however many rows there are.
    """

    session: Row
    epoch: Row
    next_pass: datetime | None = None

    @classmethod
    def at(cls, moment: datetime) -> "_Place":
        return cls((moment, ""), (moment, ""))

    @classmethod
    def read(cls, cursor: str) -> "_Place":
        ended_at, session_id, changed_at, user_id, next_pass = json.loads(cursor)
        return cls(
            (datetime.fromisoformat(ended_at), session_id),
            (datetime.fromisoformat(changed_at), user_id),
            datetime.fromisoformat(next_pass) if next_pass else None,
        )

    def text(self) -> str:
        (ended_at, session_id), (changed_at, user_id), next_pass = self
        return json.dumps([ended_at, session_id, changed_at, user_id, next_pass], default=str)

    def behind(
        self, ended: Sequence[Any], changed: Sequence[Any], now: datetime, *, has_more: bool
    ) -> "_Place":
        next_pass = self.next_pass or now - FEED_OVERLAP
        if not has_more:
            return _Place.at(next_pass)
        return _Place(
            (ended[-1][0], ended[-1][1]) if ended else self.session,
            (changed[-1][0], changed[-1][1]) if changed else self.epoch,
            next_pass,
        )


def _behind(moment: ColumnElement[Any], key: ColumnElement[Any], row: Row) -> Select[Any]:
    place = tuple_(literal(row[0], UTCDateTime), literal(row[1], String))
    query = select(moment, key).where(tuple_(moment, key) > place)
    return query.order_by(moment, key).limit(FEED_PAGE)


async def _next_epoch(connection: AsyncConnection, user_id: str, now: datetime) -> int:
    await connection.execute(
        _insert_epochs(connection, user_id=user_id, epoch=0, sessions_from=0, changed_at=now)
    )
    # The clock makes sure that an epoch which a failover lost is not given a second time.
    clock = literal(int(now.timestamp()), BigInteger)
    following = epochs.c.epoch + 1
    statement = (
        update(epochs)
        .where(epochs.c.user_id == user_id)
        .values(epoch=case((following > clock, following), else_=clock), changed_at=now)
        .returning(epochs.c.epoch)
    )
    return int((await connection.execute(statement)).scalar_one())


def _session(row: Mapping[Any, Any]) -> Session:
    return Session(**{column.name: row[column.name] for column in _COLUMNS})
