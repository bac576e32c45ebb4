"""AuthKit: the use cases of authentication, independent of HTTP."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar, cast

from ..current_user import NO_SCOPES, CurrentUser
from ..emails import NOBODY, check_email, normalize_email
from ..errors import (
    ConfigurationError,
    EmailTaken,
    InvalidCredentials,
    InvalidEmail,
    InvalidToken,
    ServiceUnavailable,
    SessionRevoked,
    StoreUnavailable,
    TooManyAttempts,
    UserNotFound,
)
from ..events import UNKNOWN_CLIENT, AuditTrail, Client, ClientSource, EventHook, log_event
from ..keys.ring import KeyRing
from ..keys.sources import open_ring
from ..passwords.hashers import Argon2Hasher, PasswordHasher, Passwords, why_unusable
from ..passwords.policy import PasswordPolicy
from ..sessions import Session
from ..settings import AuthSettings
from ..stores.base import (
    MAX_LISTED,
    AnyUser,
    NewUser,
    StaleLogin,
    TokenStore,
    User,
    UserStore,
    UserStoreOf,
    read_role,
)
from ..stores.memory import MemoryTokenStore, MemoryUser, MemoryUserStore
from ..throttle.login import Attempt, LoginThrottle
from ..tokens.manager import PROFILE_CLAIMS, Claims, JWTManager, TokenType, utc_now
from ..tokens.payloads import HEADER, Carrier
from ..tokens.rejections import RejectionAlarm
from .claim_names import check_claim_names
from .failed_logins import FailedLogins
from .parts import check_parts
from .session_manager import SessionManager, SignedIn

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

MAX_TRIES = 5
NEW_ID = "0" * 36
"""As long as the id of a new account may be, a UUID."""

T = TypeVar("T")


class AuthKit:
    """Registers, signs in, refreshes and signs out.

    Events of the audit trail hold *client*, where a request came from, and *actor*, who did it for
    the user: the id of an administrator, or the name of a program.

    *carrier* is what takes tokens to the client, and limits how long an access token may be: give
    ``CookieTransport().carrier`` in a login route of your own that sets cookies.

    Args:
        users: where accounts are kept; in memory by default.
        tokens: where sessions are kept; in memory by default.
        settings: lives and names; read from the environment by default.
        keys: what signs; by default what the settings name, usually ``JWT_SECRET_KEY``.
        hasher: what hashes passwords; argon2id by default.
        password_policy: which new passwords are accepted.
        throttle: limits guesses of passwords; counts in memory by default.
        on_event: called with each event of the audit trail; writes to ``logging`` by default.
        profile_claims: the user's data an access token carries beside id and role.
        scopes: tells which scopes a user's access tokens get, given the account as *users* returns
            it; none by default. A sign-up asks it first about an account that is still to be
            made, with address, name and role; an error of it is ignored then.
        clock: tells the moment; another one is for tests.

    Raises:
        ConfigurationError: there is no key, a setting is impossible, a store lacks a method, or
            an argument is something else.
    """

    def __init__(
        self,
        *,
        users: UserStoreOf[AnyUser] | None = None,
        tokens: TokenStore | None = None,
        settings: AuthSettings | None = None,
        keys: KeyRing | None = None,
        hasher: PasswordHasher | None = None,
        password_policy: PasswordPolicy | None = None,
        throttle: LoginThrottle | None = None,
        on_event: EventHook = log_event,
        profile_claims: Collection[str] = PROFILE_CLAIMS,
        scopes: Callable[[Any], Collection[str]] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        check_parts(
            users=users,
            tokens=tokens,
            settings=settings,
            keys=keys,
            hasher=hasher,
            password_policy=password_policy,
            throttle=throttle,
        )
        self.settings: AuthSettings = settings or AuthSettings()
        self.now: Callable[[], datetime] = clock
        self.users: UserStore = MemoryUserStore() if users is None else cast("UserStore", users)
        self.tokens: TokenStore = MemoryTokenStore() if tokens is None else tokens
        self.jwt: JWTManager = JWTManager(
            keys or open_ring(self.settings),
            access_ttl=self.settings.access_ttl,
            refresh_ttl=self.settings.refresh_ttl,
            issuer=self.settings.issuer,
            audience=self.settings.audience,
            leeway=self.settings.leeway,
            profile_claims=profile_claims,
            clock=clock,
        )
        check_claim_names(self.jwt.profile_claims, self.users)
        self.passwords: Passwords = Passwords(hasher or Argon2Hasher())
        self.password_policy: PasswordPolicy = password_policy or PasswordPolicy()
        self.throttle: LoginThrottle = throttle or LoginThrottle()
        self.audit: AuditTrail = AuditTrail(on_event, clock)
        self._rejections = RejectionAlarm(self.audit, clock)
        self.failed_logins: FailedLogins = FailedLogins(
            self.tokens, self.throttle, self.audit, clock
        )
        self._sessions = SessionManager(
            users=self.users,
            tokens=self.tokens,
            jwt=self.jwt,
            settings=self.settings,
            audit=self.audit,
            scopes=scopes,
            clock=clock,
        )
        _warn_of_memory(accounts=users is None, sessions=tokens is None)

    async def register(
        self,
        email: str,
        password: str,
        *,
        display_name: str | None = None,
        client: Client = UNKNOWN_CLIENT,
        carrier: Carrier = HEADER,
    ) -> SignedIn:
        """Make an account with the role ``user`` and sign it in.

        Raises:
            ConfigurationError: its access token would be longer than *carrier* takes.
            EmailTaken: there is an account with this address.
            TooManyAttempts: too many signed up from this network.
            WeakPassword: the password policy refuses the password.
            InvalidEmail: it is not an e-mail address.
        """
        address = _check_email(email)
        await self.password_policy.check(password, personal=(address, display_name))
        self._require_room_for_new(address, display_name, carrier)
        async with self._counted_sign_up(client):
            user = await self._create(address, password, display_name, "user", client)
        await self.audit.record("registered", str(user.id), client=client)
        return await self._begin(str(user.id), client, carrier)

    async def create_user(
        self,
        email: str,
        password: str,
        *,
        display_name: str | None = None,
        role: str = "user",
        client: Client = UNKNOWN_CLIENT,
        actor: str | None = None,
    ) -> User:
        """Make an account and leave it signed out, for code that may make any number of them.

        Sign-ups of strangers belong to ``register``, which limits them.

        Raises:
            EmailTaken: there is an account with this address.
            WeakPassword: the password policy refuses the password.
            InvalidEmail: it is not an e-mail address.
        """
        address = _check_email(email)
        await self.password_policy.check(password, personal=(address, display_name))
        user = await self._create(address, password, display_name, role, client)
        await self.audit.record("registered", str(user.id), client=client, actor=actor)
        return user

    async def login(
        self,
        email: str,
        password: str,
        *,
        client: Client = UNKNOWN_CLIENT,
        carrier: Carrier = HEADER,
    ) -> SignedIn:
        """Sign in with a password and begin a session.

        Raises:
            ConfigurationError: the access token would be longer than *carrier* takes.
            InvalidCredentials: unknown address, wrong password or disabled account.
            TooManyAttempts: this account, or this network, has tried too often.
            Busy: too many passwords are waiting to be checked.
        """
        address = normalize_email(email)
        attempt = await self._reserve_attempt(address, client)
        async with self._refusing(attempt, client), self._given_back_if_unavailable(attempt):
            signed_in = await _retried(
                lambda: self._login(address, password, attempt, client, carrier)
            )
        await self.throttle.confirm(attempt)
        return signed_in

    async def refresh(
        self, refresh_token: str, *, client: Client = UNKNOWN_CLIENT, carrier: Carrier = HEADER
    ) -> SignedIn:
        """Give a new access token, and the refresh token that belongs to it.

        Within the reuse window one refresh token always gets the same successor, so two tabs
        or a repeated request do no harm.

        Raises:
            ConfigurationError: the access token would be longer than *carrier* takes.
            RefreshReused: the token was spent; the session is over.
            SessionExpired: idle or absolute end.
            SessionRevoked: ended by a logout, a password change or an administrator.
            InvalidToken: not a refresh token of a session.
        """
        try:
            return await self._sessions.refresh(refresh_token, client=client, carrier=carrier)
        except InvalidToken as error:
            await self._rejections.ring(error, client)
            raise

    async def is_refreshable(self, refresh_token: str, *, client: Client = UNKNOWN_CLIENT) -> bool:
        """Tell whether ``refresh`` would succeed now.

        It changes nothing, except that a spent token ends its session as it does at a refresh.
        """
        return await self._sessions.is_refreshable(refresh_token, client=client)

    async def authenticate(
        self, access_token: str, *, client: ClientSource = UNKNOWN_CLIENT
    ) -> CurrentUser:
        """Verify an access token without asking a store.

        *client*, or a function that tells it, is asked only for an event of the audit trail.

        Raises:
            ExpiredToken: its time is over.
            RevokedToken: its session ended or its user's rights changed, as far as known here.
            InvalidToken: anything else.
        """
        try:
            verified = self.jwt.verify(access_token)
        except InvalidToken as error:
            await self._rejections.ring(error, client)
            raise
        claims = verified.claims
        await self._sessions.check(claims, client)
        return CurrentUser(
            id=claims["sub"],
            role=claims.get("role", "user"),
            email=claims.get("email"),
            display_name=claims.get("display_name"),
            session_id=claims.get("sid"),
            auth_time=_moment(claims.get("auth_time")),
            scopes=frozenset(claims["scope"].split()) if "scope" in claims else NO_SCOPES,
            claims=claims,
            key_id=verified.key_id,
            key_thumbprint=verified.thumbprint,
        )

    async def recheck(self, user: CurrentUser) -> None:
        """Check again that the access token of *user* is good, on a connection that stays open.

        Raises:
            ExpiredToken: its time is over.
            InvalidToken: its key was revoked.
            RevokedToken: its session ended or its user's rights changed, as far as known here.
        """
        if user.claims is not None:
            self.jwt.check_again(user.claims, user.key_id, user.key_thumbprint)
            await self._sessions.check(cast("Claims", user.claims), UNKNOWN_CLIENT)

    async def authenticate_now(self, user: CurrentUser) -> CurrentUser:
        """Ask the stores about a user who was authenticated: session, role and account.

        Raises:
            RevokedToken: the session ended or the user's rights changed.
            SessionRevoked: the account is gone or disabled.
        """
        if user.claims is not None:
            await self._sessions.check_now(cast("Claims", user.claims))
        account = await self.get_user(user.id)
        return replace(
            user, role=read_role(account), email=account.email, display_name=account.display_name
        )

    async def list_sessions(
        self, user_id: str, *, limit: int = MAX_LISTED, after: str | None = None
    ) -> Sequence[Session]:
        """Return at most *limit* live sessions of a user, newest first.

        With *after*, the list continues behind the session of that id.

        Raises:
            SessionNotFound: the user has no session *after*.
        """
        return await self._sessions.list_live(user_id, limit=limit, after=after)

    async def end_session(
        self,
        user_id: str,
        session_id: str | None,
        *,
        client: Client = UNKNOWN_CLIENT,
        actor: str | None = None,
    ) -> bool:
        """End one session of a user; False where there is none that is live.

        ``CurrentUser.session_id`` is None for a token without a session, which ends nothing.
        """
        if session_id is None:
            return False
        ended = await self._sessions.end(user_id, session_id, "logged_out")
        if ended:
            await self.audit.record(
                "logged_out", user_id, session_id=session_id, client=client, actor=actor
            )
        return ended

    async def end_other_sessions(
        self, user: CurrentUser, *, client: Client = UNKNOWN_CLIENT
    ) -> int:
        """End every session of a user but the one that *user* was authenticated by.

        One event tells of all of them. Returns how many ended.
        """
        ended = await self._sessions.end_others(user.id, user.session_id, "logged_out")
        if ended:
            await self.audit.record(
                "sessions_ended",
                user.id,
                session_id=user.session_id,
                client=client,
                reason="other_sessions",
                count=len(ended),
            )
        return len(ended)

    async def purge(self, *, limit: int = 100) -> int:
        """Delete at most *limit* sessions that ended a day ago or earlier; return how many.

        Logins do it now and then; ``python -m jwt_auth_kit purge`` does it for a whole table.
        """
        return await self._sessions.purge(limit=limit)

    async def get_user(self, user_id: str) -> User:
        """Return the account as it is now.

        Raises:
            SessionRevoked: it is gone or disabled.
        """
        user = await self.users.get_by_id(user_id)
        if user is None or not user.is_active:
            raise SessionRevoked
        return user

    async def logout(
        self,
        token: str,
        token_type: TokenType | None = None,  # noqa: ARG002  a hint, as in RFC 7009 section 2.1
        *,
        client: Client = UNKNOWN_CLIENT,
    ) -> None:
        """End the session of *token*, which may be expired; a forged one ends nothing.

        A spent one ends it too, and is told of as it is at a refresh.
        Access and refresh tokens are told apart by what they say, so *token_type* may be left out.
        """
        # A token that another server made with a clock far ahead must end its session too: a
        # logout that does nothing and says nothing leaves it open on a shared machine.
        try:
            claims = self.jwt.verify_genuine(token)
            is_ended = await self._sessions.end_if_reused(claims, client=client)
        except InvalidToken as error:
            await self._rejections.ring(error, client)
            return
        if not is_ended:
            await self.end_session(claims["sub"], claims["sid"], client=client)

    async def logout_all(
        self, user_id: str, *, client: Client = UNKNOWN_CLIENT, actor: str | None = None
    ) -> None:
        """End every session of a user and void the access tokens."""
        await self._sessions.end_all(user_id, "logged_out_everywhere")
        await self.audit.record("sessions_ended", user_id, client=client, actor=actor)

    async def change_password(
        self,
        user_id: str,
        current: str,
        new: str,
        *,
        client: Client = UNKNOWN_CLIENT,
        carrier: Carrier = HEADER,
    ) -> SignedIn:
        """Replace the password, end every session, and begin a new one for the caller.

        Networks the account signed in from are forgotten, but for the caller's, and failed
        logins too.

        Raises:
            ConfigurationError: the access token would be longer than *carrier* takes.
            InvalidCredentials: *current* is wrong, or the account is gone or disabled.
            TooManyAttempts: *current* was guessed too often.
            WeakPassword: the password policy refuses *new*.
        """
        user = await self._prove(user_id, current, client)
        await self.password_policy.check(new, personal=(user.email, user.display_name))
        self._sessions.require_room(user, carrier, epoch=int(self.now().timestamp()))
        new_hash = await self.passwords.hash(new, ip=client.ip)
        address = normalize_email(user.email)
        # A login that runs beside this may have read the old hash. Ending sessions first makes
        # it fail; ending them again catches one that began between the two writes. Networks
        # are forgotten the same way, and before anything is written if the throttle is away.
        await self.throttle.forget_networks(address, but=client.ip)
        await self._sessions.end_all(user_id, "password_changed")
        while not await self.users.set_password_hash(
            user_id, new_hash, expected=user.password_hash
        ):
            user = await self._prove(user_id, current, client)  # a login rehashed it
        await self._sessions.end_all(user_id, "password_changed")
        await self.throttle.forget_networks(address, but=client.ip)
        await self.failed_logins.clear(user_id)
        await self.audit.record("password_changed", user_id, client=client)
        return await self._begin(user_id, client, carrier)

    async def set_password(
        self,
        user_id: str,
        new: str,
        *,
        client: Client = UNKNOWN_CLIENT,
        actor: str | None = None,
    ) -> None:
        """Replace the password without the current one, and end every session.

        Networks the account signed in from are forgotten, and failed logins too.

        For an application that has made sure by other means who asks, by a link in a mail for
        example; whoever can call this can have the account.

        Raises:
            UserNotFound: there is no such user.
            WeakPassword: the password policy refuses *new*.
        """
        user = await self._find(user_id)
        await self.password_policy.check(new, personal=(user.email, user.display_name))
        new_hash = await self.passwords.hash(new, ip=client.ip)
        address = normalize_email(user.email)
        await self.throttle.forget_networks(address)
        await self._sessions.end_all(user_id, "password_reset")
        while not await self.users.set_password_hash(
            user_id, new_hash, expected=user.password_hash
        ):
            user = await self._find(user_id)
        await self._sessions.end_all(user_id, "password_reset")
        await self.throttle.forget_networks(address)
        await self.failed_logins.clear(user_id)
        await self.audit.record("password_reset", user_id, client=client, actor=actor)

    async def set_role(
        self,
        user_id: str,
        role: str,
        *,
        client: Client = UNKNOWN_CLIENT,
        actor: str | None = None,
    ) -> None:
        """Change a user's role; access tokens with the old one are void.

        Nothing happens if the user has the role already.

        Raises:
            UserNotFound: there is no such user.
        """
        if read_role(await self._find(user_id)) == role:
            return
        # Voided before as well: if the second time fails, whoever tries again finds the new role
        # and stops above, and no token from before may keep the old one then.
        await self._sessions.void_access_tokens(user_id)
        if not await self.users.set_role(user_id, role):
            raise UserNotFound
        await self._sessions.void_access_tokens(user_id)
        await self.audit.record("role_changed", user_id, client=client, reason=role, actor=actor)

    async def disable_user(
        self, user_id: str, *, client: Client = UNKNOWN_CLIENT, actor: str | None = None
    ) -> None:
        """Lock an account and end its sessions.

        Raises:
            UserNotFound: there is no such user.
        """
        if not await self.users.set_active(user_id, active=False):
            raise UserNotFound
        await self._sessions.end_all(user_id, "user_disabled")
        await self.audit.record("user_disabled", user_id, client=client, actor=actor)

    async def enable_user(
        self, user_id: str, *, client: Client = UNKNOWN_CLIENT, actor: str | None = None
    ) -> None:
        """Let a disabled user sign in again.

        Raises:
            UserNotFound: there is no such user.
        """
        if not await self.users.set_active(user_id, active=True):
            raise UserNotFound
        await self.audit.record("user_enabled", user_id, client=client, actor=actor)

    async def unlock_password(
        self, user_id: str, *, client: Client = UNKNOWN_CLIENT, actor: str | None = None
    ) -> None:
        """Forget the failed logins of a user, so that the password works from everywhere again.

        Raises:
            UserNotFound: there is no such user.
        """
        await self._find(user_id)
        await self.failed_logins.clear(user_id)
        await self.audit.record("password_unlocked", user_id, client=client, actor=actor)

    async def aclose(self) -> None:
        """Wait for writes that are still under way, and close the throttle's storage."""
        await self._sessions.aclose()
        await self.throttle.aclose()

    @asynccontextmanager
    async def _counted_sign_up(self, client: Client) -> AsyncIterator[None]:
        """Count a sign-up before it tells whether its address is taken."""
        try:
            sign_up = await self.throttle.reserve_sign_up(client.ip)
        except TooManyAttempts:
            await self.audit.record("registration_throttled", None, client=client)
            raise
        try:
            yield
        except ServiceUnavailable:  # nothing was learnt
            await self.throttle.cancel_sign_up(sign_up)
            raise

    async def _create(
        self,
        address: str,
        password: str,
        display_name: str | None,
        role: str,
        client: Client,
    ) -> User:
        # A taken address costs the same read, hash and write as a new one, so that only the
        # answer tells them apart.
        taken = await self.users.get_by_email(address)
        new = NewUser(
            email=address,
            display_name=display_name or address.partition("@")[0],
            password_hash=await self.passwords.hash(password, ip=client.ip, priority="sign_up"),
            role=role,
        )
        if taken is not None:
            await self._fail_to_create(new, taken)
        return await self.users.create(new)

    async def _fail_to_create(self, new: NewUser, taken: User) -> NoReturn:
        """Let the store refuse the address.

        The store is given what the account holds already: one that wrongly overwrites it, or
        makes a second one, then gives nobody else's account away.
        """
        await self.users.create(
            replace(
                new,
                display_name=taken.display_name or new.display_name,
                password_hash=taken.password_hash or "",
                role=read_role(taken),
            )
        )
        raise EmailTaken

    async def _reserve_attempt(self, address: str, client: Client) -> Attempt:
        """Count a password that is about to be checked, whether or not the account exists."""
        try:
            return await self.throttle.reserve(address, client.ip)
        except TooManyAttempts:
            await self.audit.record("login_throttled", None, client=client)
            raise

    @asynccontextmanager
    async def _given_back_if_unavailable(self, attempt: Attempt) -> AsyncIterator[None]:
        # A wrong password is answered by neither, so nothing is learnt for free here.
        try:
            yield
        except (ServiceUnavailable, ConfigurationError):
            await self.throttle.cancel(attempt)
            raise

    @asynccontextmanager
    async def _refusing(self, attempt: Attempt, client: Client) -> AsyncIterator[None]:
        """Count and tell a password that opens nothing; the caller hears one answer for all.

        Around what gives attempts back: where a failure cannot be counted, a 503 must not make
        the guess a free one.
        """
        try:
            yield
        except _Refused as refused:
            user_id = None if refused.user is None else str(refused.user.id)
            if refused.reason != "password_locked":
                await self.failed_logins.count(refused.user, attempt, client)
            await self.audit.record("login_failed", user_id, client=client, reason=refused.reason)
            raise InvalidCredentials from None

    async def _admit(self, user: User | None, attempt: Attempt, *, matches: bool) -> User:
        """Return *user*, if the password that was checked may open the account."""
        if user is None:
            raise _Refused(None, "unknown_user")
        if not matches:
            unusable = why_unusable(self.passwords.hasher, user.password_hash)
            raise _Refused(user, unusable or "wrong_password")
        if not user.is_active:
            raise _Refused(user, "user_disabled")
        if not await self.failed_logins.admit(str(user.id), attempt):
            raise _Refused(user, "password_locked")
        return user

    async def _login(
        self, address: str, password: str, attempt: Attempt, client: Client, carrier: Carrier
    ) -> SignedIn:
        # Unknown accounts take the same three reads and one hash as known ones, so that time
        # does not tell them apart. The user is read again after the epochs: whoever ends all
        # sessions from here on moves them, and the store refuses the new session.
        known = await self.users.get_by_email(address)
        user_id = NOBODY if known is None else str(known.id)
        epochs = await self.tokens.epochs(user_id)
        user = await self.users.get_by_id(user_id)
        user = None if known is None else user
        matches = await self.passwords.verify(
            password, user.password_hash if user else None, ip=client.ip
        )
        user = await self._admit(user, attempt, matches=matches)
        self._sessions.require_room(user, carrier, epoch=epochs.epoch)
        await self._rehash(user, password, client)
        return await self._sessions.begin(user, epoch=epochs.epoch, client=client, carrier=carrier)

    async def _rehash(self, user: User, password: str, client: Client) -> None:
        old_hash = user.password_hash
        if old_hash is None or not self.passwords.needs_rehash(old_hash):
            return
        new_hash = await self.passwords.hash(password, ip=client.ip)
        # A password change may have come in between; it must not be undone.
        if await self.users.set_password_hash(str(user.id), new_hash, expected=old_hash):
            await self.audit.record("password_rehashed", str(user.id), client=client)

    async def _prove(self, user_id: str, password: str, client: Client) -> User:
        """Return the account whose hash *password* was just checked against."""
        user = await self.users.get_by_id(user_id)
        address = NOBODY if user is None else normalize_email(user.email)
        attempt = await self._reserve_attempt(address, client)
        async with self._refusing(attempt, client), self._given_back_if_unavailable(attempt):
            matches = await self.passwords.verify(
                password, user.password_hash if user else None, ip=client.ip
            )
            user = await self._admit(user, attempt, matches=matches)
        await self.throttle.confirm(attempt)
        return user

    async def _find(self, user_id: str) -> User:
        user = await self.users.get_by_id(user_id)
        if user is None:
            raise UserNotFound
        return user

    def _require_room_for_new(
        self, address: str, display_name: str | None, carrier: Carrier
    ) -> None:
        """Refuse a sign-up whose tokens would be too long, as far as is known before it is made."""
        account = MemoryUser(
            id=NEW_ID, email=address, display_name=display_name or address.partition("@")[0]
        )
        try:
            self._sessions.require_room(account, carrier)
        except ConfigurationError:
            raise
        except Exception:  # noqa: BLE001  scopes() may need what only the store's own class has
            return

    async def _begin(self, user_id: str, client: Client, carrier: Carrier) -> SignedIn:
        """Begin a session for a user who just proved to be one."""

        async def begin() -> SignedIn:
            epochs = await self.tokens.epochs(user_id)
            user = await self.get_user(user_id)
            return await self._sessions.begin(
                user, epoch=epochs.epoch, client=client, carrier=carrier
            )

        return await _retried(begin)


class _Refused(Exception):
    """A password that opens nothing."""

    def __init__(self, user: User | None, reason: str) -> None:
        super().__init__(reason)
        self.user = user
        self.reason = reason


def _check_email(email: str) -> str:
    try:
        return check_email(email)
    except ValueError as error:
        raise InvalidEmail(str(error)) from None


async def _retried(attempt: Callable[[], Awaitable[T]]) -> T:
    """Sign in again when all sessions of the user were ended meanwhile."""
    for _ in range(MAX_TRIES):
        try:
            return await attempt()
        except StaleLogin:
            continue
    raise StoreUnavailable


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _warn_of_memory(*, accounts: bool, sessions: bool) -> None:
    kept = [name for name, kept in (("accounts", accounts), ("sessions", sessions)) if kept]
    if not kept:
        return
    logger.warning(
        "%s live in memory: a restart loses them and other processes do not see them. "
        "Choose a database, kit = AuthKit(users=SQLAlchemyUserStore(engine), "
        "tokens=SQLAlchemyTokenStore(engine)), and call install(app, kit).",
        " and ".join(kept).capitalize(),
    )
