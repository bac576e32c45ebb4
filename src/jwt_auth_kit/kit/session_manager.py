"""SessionManager: begins, refreshes, confirms and ends sessions in a TokenStore."""

import asyncio
import hmac
import logging
import random
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ..current_user import NO_SCOPES
from ..errors import (
    ExpiredToken,
    InvalidToken,
    RefreshReused,
    RevokedToken,
    ServiceUnavailable,
    SessionExpired,
    SessionNotFound,
    SessionRevoked,
    StoreUnavailable,
)
from ..events import UNKNOWN_CLIENT, AuditTrail, Client, ClientSource
from ..networks import get_network
from ..sessions import TOMBSTONE, Decision, Outcome, Session, confirm, decide
from ..settings import AuthSettings
from ..stores.base import (
    MAX_LISTED,
    TOO_MANY_SESSIONS,
    StoredSession,
    TokenStore,
    User,
    UserStore,
    read_role,
    refuse_outdated,
)
from ..tokens.manager import Claims, JWTManager, TokenPair
from ..tokens.payloads import HEADER, Carrier
from ..trusted_values import TrustedValue
from .claim_names import warn_of_missing
from .parts import read_scopes
from .revocations import AgingDict, RevocationFeed, RevocationWatch

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

MAX_TRIES = 10
CLOSE_TIMEOUT = 5.0
CONFIRM_TIMEOUT = 5.0  # seconds; a store that hangs must not hang a request that waits for it
PURGE_SHARE = 0.01
PURGE_LIMIT = 100


@dataclass(frozen=True, slots=True)
class SignedIn(TrustedValue):
    """A user with the tokens of a session."""

    user: User
    session_id: str
    tokens: TokenPair
    refresh_expires_in: int
    """Seconds until the session ends if nothing refreshes it."""
    scopes: frozenset[str] = frozenset()
    """What the access token allows, where scopes are in use."""
    refresh_is_new: bool = True
    """False where the client holds this refresh token already."""


class SessionManager:
    """Applies the rule of ``sessions.decide`` to what the store holds.

    Args:
        users: where accounts are read afresh at each refresh.
        tokens: where sessions are kept.
        jwt: makes and verifies tokens.
        settings: lives and the reuse window.
        audit: is told what happens.
        scopes: tells which scopes a user's access tokens get.
        clock: tells the moment.
    """

    def __init__(
        self,
        *,
        users: UserStore,
        tokens: TokenStore,
        jwt: JWTManager,
        settings: AuthSettings,
        audit: AuditTrail,
        scopes: Callable[[Any], Collection[str]] | None,
        clock: Callable[[], datetime],
    ) -> None:
        refuse_outdated(tokens)
        self._users = users
        self._tokens = tokens
        self._jwt = jwt
        self._settings = settings
        self._audit = audit
        self._scopes = scopes
        self._now = clock
        keep = jwt.access_life
        self._revocations = RevocationFeed(keep=keep)
        self._watch = RevocationWatch(
            self._revocations,
            lambda cursor: tokens.revoked_since(cursor, clock(), keep=keep),
            interval=settings.revocation_interval,
            when_stale=settings.when_stale,
        )
        self._seen: AgingDict[tuple[str, int], bool] = AgingDict(keep=settings.access_ttl)
        self._told: AgingDict[tuple[str, str | None], bool] = AgingDict(keep=settings.access_ttl)
        self._missing: set[str] = set()
        self._background: set[asyncio.Task[None]] = set()

    def require_room(self, user: User, carrier: Carrier, *, epoch: int = 0) -> None:
        """Refuse to sign in *user* at *epoch*, before anything is written.

        Raises:
            ConfigurationError: the access token would be longer than *carrier* takes.
        """
        self._signed_in(user, self._start(user, epoch, UNKNOWN_CLIENT), epoch, carrier=carrier)

    async def begin(
        self, user: User, *, epoch: int, client: Client, carrier: Carrier = HEADER
    ) -> SignedIn:
        """Begin a session for *user*, whose account was read after *epoch* was.

        Raises:
            ConfigurationError: the access token would be longer than *carrier* takes.
            StaleLogin: all sessions of the user were ended meanwhile.
        """
        session = self._start(user, epoch, client)
        sign = partial(self._signed_in, user, session, carrier=carrier)
        # Before it is written: a session whose tokens cannot be made is of no use to anybody.
        signed_in = sign(epoch)
        ended = await self._tokens.create(session, most=self._settings.max_sessions)
        await self._audit.record("logged_in", session.user_id, session_id=session.id, client=client)
        await self._tell_of_too_many(session, ended, client)
        if random.random() < PURGE_SHARE:  # noqa: S311  no secret
            self._run_later(self._purge())
        self._warn_of_missing_claims(user)
        lifted = await self._lift_epoch(session.user_id, epoch)
        return signed_in if lifted == epoch else sign(lifted)

    async def refresh(
        self, refresh_token: str, *, client: Client, carrier: Carrier = HEADER
    ) -> SignedIn:
        """Give a new access token and the refresh token that belongs to it.

        See ``AuthKit.refresh`` for the errors.
        """
        claims = self._verify(refresh_token)
        for attempt in range(MAX_TRIES):
            stored = await self._read_genuine(claims)
            user = await self._users.get_by_id(claims["sub"])
            if user is None or not user.is_active:
                await self._record_refusal(stored.session, "user_inactive", client)
                raise SessionRevoked
            decision = _with_address(self._decide(stored, claims["gen"]), client)
            await self._require_live(stored.session, decision, client)
            session = stored.session.changed(decision.changes or {})
            kept = decision.outcome in {Outcome.KEEP, Outcome.ADOPT}
            sign = partial(
                self._signed_in,
                user,
                session,
                carrier=carrier,
                refresh_token=refresh_token if kept else None,
            )
            # Before it is written: where it cannot be made, the client keeps its token.
            signed_in = sign(stored.epochs.epoch)
            if await self._write(stored.session, decision):
                await self._record_refresh(stored.session, decision.outcome, client)
                lifted = await self._lift_epoch(session.user_id, stored.epochs.epoch)
                return signed_in if lifted == stored.epochs.epoch else sign(lifted)
            await _let_others_finish(attempt)
        raise StoreUnavailable

    async def is_refreshable(self, refresh_token: str, *, client: Client) -> bool:
        """Tell whether a refresh would succeed now.

        It changes nothing, except that a spent token ends its session as it does at a refresh.
        """
        try:
            claims = self._verify(refresh_token)
            stored = await self._read_genuine(claims)
        except InvalidToken:
            return False
        user = await self._users.get_by_id(claims["sub"])
        outcome = self._decide(stored, claims["gen"]).outcome
        if outcome is Outcome.REUSE:
            await self._end_reused(stored.session, client)
        is_refused = outcome in {Outcome.DEAD, Outcome.REUSE}
        return user is not None and user.is_active and not is_refused

    async def end_if_reused(self, claims: Claims, *, client: Client) -> bool:
        """Tell whether a verified token is spent or of an orphan; that ends its session as theft.

        Raises:
            InvalidToken: its session did not make it.
            SessionExpired: it belongs to no session.
        """
        session_id, gen = claims.get("sid"), claims.get("gen")
        if session_id is None or gen is None:
            raise SessionExpired
        if claims["token_type"] == "refresh":
            stored = await self._read_genuine(claims)
            decision = self._decide(stored, gen)
        else:
            found = await self._tokens.get(claims["sub"], session_id)
            if found is None:
                raise SessionExpired
            stored, decision = found, self._confirmation(found, gen)
        if decision.outcome is Outcome.REUSE:
            await self._end_reused(stored.session, client)
        return decision.outcome is Outcome.REUSE

    async def check(self, claims: Claims, client: ClientSource) -> None:
        """Let a verified access token pass, and note that its generation is in use.

        Raises:
            RevokedToken: its session ended or its user's rights changed, as far as known here.
            StoreUnavailable: revocations cannot be read, and are not to be ignored.
        """
        session_id, gen = claims.get("sid"), claims.get("gen")
        if not self._watch.is_fresh and not await self._watch.catch_up(self._now()):
            await self.check_now(claims)
        self._revocations.check(claims["sub"], claims.get("ep", 0), session_id)
        if session_id is None or gen is None or self._seen.get((session_id, gen)):
            return
        await self._note_sight(claims["sub"], session_id, gen, client)
        self._revocations.check(claims["sub"], claims.get("ep", 0), session_id)

    async def check_now(self, claims: Claims) -> None:
        """Ask the store whether an access token is still good.

        Raises:
            RevokedToken: its session ended or its user's rights changed.
            StoreUnavailable: the store does not answer.
        """
        session_id = claims.get("sid")
        if session_id is None:
            epochs = await self._tokens.epochs(claims["sub"])
        else:
            stored = await self._tokens.get(claims["sub"], session_id)
            if stored is None:
                raise RevokedToken
            epochs = stored.epochs
            if not stored.session.is_live(self._now(), sessions_from=epochs.sessions_from):
                raise RevokedToken
        if claims.get("ep", 0) < epochs.epoch:
            raise RevokedToken

    async def list_live(
        self, user_id: str, *, limit: int = MAX_LISTED, after: str | None = None
    ) -> Sequence[Session]:
        """Return at most *limit* live sessions of a user, newest first, from behind *after* on.

        Raises:
            SessionNotFound: the user has no session *after*.
        """
        if limit < 1:
            raise ValueError("limit must be at least 1")
        try:
            return await self._tokens.list_by_user(user_id, self._now(), limit=limit, after=after)
        except LookupError:
            raise SessionNotFound from None

    async def purge(self, *, limit: int) -> int:
        """Delete at most *limit* sessions that ended a day ago or earlier; return how many."""
        return await self._tokens.purge(self._now() - TOMBSTONE, limit)

    async def end(self, user_id: str, session_id: str, reason: str) -> bool:
        """End a session; False where it was over already."""
        now = self._now()
        ended = await self._tokens.revoke(user_id, session_id, reason, now)
        if ended:  # not otherwise: the id may be of somebody else's session
            self._revocations.add_session(session_id, now)
        return ended

    async def end_all(self, user_id: str, reason: str) -> None:
        """End every session of a user, and the access tokens with them."""
        now = self._now()
        epoch = await self._tokens.revoke_all(user_id, reason, now)
        self._revocations.add_epoch(user_id, epoch, now)

    async def end_others(self, user_id: str, keep: str | None, reason: str) -> Sequence[str]:
        """End every session of a user but *keep*; return the ids of those that were live."""
        now = self._now()
        ended = await self._tokens.revoke_others(user_id, keep, reason, now)
        for session_id in ended:
            self._revocations.add_session(session_id, now)
        return ended

    async def void_access_tokens(self, user_id: str) -> int:
        """Make clients of a user fetch new access tokens; sessions go on. Return the new epoch."""
        return await self._void(user_id, self._now())

    async def aclose(self) -> None:
        """Wait a moment for confirmations that are still being written."""
        loop = asyncio.get_running_loop()
        pending = [task for task in self._background if task.get_loop() is loop]
        if pending:
            await asyncio.wait(pending, timeout=CLOSE_TIMEOUT)

    def _verify(self, refresh_token: str) -> Claims:
        try:
            return self._jwt.verify_session_refresh_token(refresh_token)
        except ExpiredToken:  # "token_expired" would tell clients to refresh
            raise SessionExpired from None

    async def _read_genuine(self, claims: Claims) -> StoredSession:
        """Read the session of a refresh token; a forged one changes nothing (no remote kill)."""
        session_id, gen = claims.get("sid"), claims.get("gen")
        if not isinstance(session_id, str) or type(gen) is not int:
            raise InvalidToken("no_session")  # made by JWTManager alone
        stored = await self._tokens.get(claims["sub"], session_id)
        if stored is None:
            raise SessionExpired  # long over, and purged
        expected = stored.session.refresh_id(gen)
        if not hmac.compare_digest(expected.encode(), claims["jti"].encode()):
            raise InvalidToken("not_issued")  # whoever made it has the key, not the salt
        return stored

    def _decide(self, stored: StoredSession, gen: int) -> Decision:
        return decide(
            stored.session,
            gen,
            self._now(),
            sessions_from=stored.epochs.sessions_from,
            window=self._settings.reuse_window,
            idle_ttl=self._settings.refresh_ttl,
        )

    def _confirmation(self, stored: StoredSession, gen: int) -> Decision:
        return confirm(stored.session, gen, self._now(), sessions_from=stored.epochs.sessions_from)

    async def _require_live(self, session: Session, decision: Decision, client: Client) -> None:
        """Let a refresh token pass that was not refused.

        Raises:
            SessionExpired: the decision was DEAD, by time.
            SessionRevoked: it was DEAD, on purpose.
            RefreshReused: it was REUSE.
        """
        if decision.outcome is Outcome.DEAD:
            await self._record_refusal(session, session.revoke_reason or "session_over", client)
            raise SessionExpired if self._is_past(session) else SessionRevoked
        if decision.outcome is Outcome.REUSE:
            await self._end_reused(session, client)
            raise RefreshReused

    async def _write(self, session: Session, decision: Decision) -> bool:
        """Write what was decided; False if another request was faster."""
        if decision.changes is None:
            return True
        return await self._tokens.compare_and_set(
            session.user_id, session.id, session.version, decision.changes
        )

    async def _record_refresh(self, session: Session, outcome: Outcome, client: Client) -> None:
        if outcome is Outcome.ADOPT:
            await self._audit.record(
                "session_adopted", session.user_id, session_id=session.id, client=client
            )
        if outcome in {Outcome.ROTATE, Outcome.RENEW}:
            await self._audit.record(
                "token_refreshed", session.user_id, session_id=session.id, client=client
            )
        if outcome in {Outcome.KEEP, Outcome.REPLAY, Outcome.ADOPT}:
            await self._note_address(session, outcome, client)

    async def _lift_epoch(self, user_id: str, epoch: int) -> int:
        """Return *epoch*, or one that this process accepts where the store has lost the newest.

        A Redis without persistence forgets epochs at a restart, and this process does not. Access
        tokens with what is left would be refused here although their session is good.
        """
        newest = self._revocations.epoch_of(user_id)
        if epoch >= newest:
            return epoch
        # Stores take the Unix time for the next epoch. The lost one may be ahead of it: the clock
        # of another process is fast, or there were several within a second.
        now = max(self._now(), datetime.fromtimestamp(newest, UTC))
        return await self._void(user_id, now)

    async def _void(self, user_id: str, now: datetime) -> int:
        epoch = await self._tokens.void_access_tokens(user_id, now)
        self._revocations.add_epoch(user_id, epoch, self._now())
        return epoch

    def _start(self, user: User, epoch: int, client: Client) -> Session:
        return Session.start(
            str(user.id),
            self._now(),
            epoch=epoch,
            idle_ttl=self._settings.refresh_ttl,
            absolute_ttl=self._settings.session_ttl,
            ip=client.ip,
            user_agent=client.user_agent,
        )

    def _signed_in(
        self,
        user: User,
        session: Session,
        epoch: int,
        *,
        carrier: Carrier,
        refresh_token: str | None = None,
    ) -> SignedIn:
        scopes = NO_SCOPES if self._scopes is None else read_scopes(self._scopes(user))
        user_data = {
            "user_id": str(user.id),
            "role": read_role(user),
            "scope": " ".join(sorted(scopes)),
            **{name: getattr(user, name, None) for name in self._jwt.profile_claims},
        }
        life = min(self._settings.access_ttl, session.ends_at - self._now())
        tokens = TokenPair(
            access_token=self._jwt.create_access_token(
                user_data, session=session, epoch=epoch, carrier=carrier
            ),
            refresh_token=refresh_token or self._jwt.create_session_refresh_token(session),
            expires_in=max(0, int(life.total_seconds())),
        )
        return SignedIn(
            user=user,
            session_id=session.id,
            tokens=tokens,
            refresh_expires_in=max(0, int((session.ends_at - self._now()).total_seconds())),
            scopes=scopes,
            refresh_is_new=refresh_token is None,
        )

    def _warn_of_missing_claims(self, user: User) -> None:
        for name in self._jwt.profile_claims:
            if name not in self._missing and not hasattr(user, name):
                self._missing.add(name)
                warn_of_missing(name, user)

    def _is_past(self, session: Session) -> bool:
        return session.revoked_at is None and session.ends_at <= self._now()

    async def _record_refusal(self, session: Session, reason: str, client: Client) -> None:
        await self._audit.record(
            "refresh_failed", session.user_id, session_id=session.id, client=client, reason=reason
        )

    async def _end_reused(self, session: Session, client: Client) -> None:
        if await self.end(session.user_id, session.id, "refresh_reused"):
            await self._audit.record(
                "refresh_reused", session.user_id, session_id=session.id, client=client
            )

    async def _note_address(self, session: Session, outcome: Outcome, client: Client) -> None:
        """Tell of tokens given again to another network than the newest were given to.

        A thief beside his victim gets them so: no rotation shows his address.
        """
        place = _place(client.ip)
        if None in (place, session.ip) or place == _place(session.ip):
            return
        key = session.id, place
        if self._told.get(key):
            return
        self._told.set(key, True, self._now())
        await self._audit.record(
            "address_changed",
            session.user_id,
            session_id=session.id,
            client=client,
            reason=outcome,
            previous_ip=session.ip,
        )

    async def _note_sight(
        self, user_id: str, session_id: str, gen: int, client: ClientSource
    ) -> None:
        """Confirm a generation the first time one of its access tokens comes by.

        Off the request's path, so that the answer does not wait for the write, unless the
        process may be stopped once it has answered.
        """
        self._seen.set((session_id, gen), True, self._now())
        found = client if isinstance(client, Client) else client()
        confirmation = self._confirm(user_id, session_id, gen, found)
        if self._settings.confirm_in_request:
            await confirmation
        else:
            self._run_later(confirmation)

    def _run_later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _tell_of_too_many(self, new: Session, ended: Sequence[str], client: Client) -> None:
        for session_id in ended:
            self._revocations.add_session(session_id, new.created_at)
            await self._audit.record(
                "logged_out",
                new.user_id,
                session_id=session_id,
                client=client,
                reason=TOO_MANY_SESSIONS,
            )

    async def _purge(self) -> None:
        try:
            await self.purge(limit=PURGE_LIMIT)
        except ServiceUnavailable:
            logger.warning("Ended sessions could not be purged; a later login tries again.")

    async def _confirm(self, user_id: str, session_id: str, gen: int, client: Client) -> None:
        is_done = False
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT):
                is_done = await self._write_confirmation(user_id, session_id, gen, client)
        except (ServiceUnavailable, TimeoutError):
            logger.warning("A session could not be confirmed; its next request tries again.")
        except Exception:
            logger.exception("The store failed to confirm a session; its next request tries again.")
        finally:  # also when the store raises what it should not, or the task is cancelled
            if not is_done:
                self._seen.forget((session_id, gen))

    async def _write_confirmation(
        self, user_id: str, session_id: str, gen: int, client: Client
    ) -> bool:
        for attempt in range(MAX_TRIES):
            stored = await self._tokens.get(user_id, session_id)
            if stored is None:
                return True
            decision = self._confirmation(stored, gen)
            if decision.outcome is Outcome.REUSE:
                await self._end_reused(stored.session, client)
            if decision.changes is None or await self._tokens.compare_and_set(
                user_id, session_id, stored.session.version, decision.changes
            ):
                return True
            await _let_others_finish(attempt)
        return False


async def _let_others_finish(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0, 0.005) * (attempt + 1))  # noqa: S311  no secret


def _with_address(decision: Decision, client: Client) -> Decision:
    """Let the session remember where its newest token goes; the write is made anyway."""
    if decision.outcome not in {Outcome.ROTATE, Outcome.RENEW} or client.ip is None:
        return decision
    return replace(decision, changes={**(decision.changes or {}), "ip": client.ip})


def _place(ip: str | None) -> str | None:
    return get_network(ip) or ip
