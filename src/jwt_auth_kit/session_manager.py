"""SessionManager: begins, refreshes, confirms and ends sessions in a TokenStore."""

import asyncio
import hmac
import logging
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from .errors import (
    InvalidToken,
    RefreshReused,
    ServiceUnavailable,
    SessionExpired,
    SessionRevoked,
    StoreUnavailable,
)
from .events import UNKNOWN_CLIENT, AuditTrail, Client
from .revocations import RevocationFeed
from .sessions import Decision, Outcome, Session, confirm, decide
from .settings import AuthSettings
from .stores.base import StoredSession, TokenStore, User, UserStore
from .tokens import Claims, JWTManager, TokenPair

logger = logging.getLogger("jwt_auth_kit")

MAX_TRIES = 10
MAX_SEEN = 10_000


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A user with the tokens of a session."""

    user: User
    session_id: str
    tokens: TokenPair


class SessionManager:
    """Applies the rule of ``sessions.decide`` to what the store holds.

    Args:
        users: where accounts are read afresh at each refresh.
        tokens: where sessions are kept.
        jwt: makes and verifies tokens.
        settings: lives and the reuse window.
        audit: is told what happens.
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
        clock: Callable[[], datetime],
    ) -> None:
        self._users = users
        self._tokens = tokens
        self._jwt = jwt
        self._settings = settings
        self._audit = audit
        self._now = clock
        self._revocations = RevocationFeed(keep=settings.access_ttl + settings.leeway)
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._background: set[asyncio.Task[None]] = set()

    async def begin(self, user: User, *, epoch: int, client: Client) -> SignedIn:
        """Begin a session for *user*, whose account was read after *epoch* was.

        Raises:
            StaleLogin: all sessions of the user were ended meanwhile.
        """
        session = Session.start(
            str(user.id),
            self._now(),
            epoch=epoch,
            idle_ttl=self._settings.refresh_ttl,
            absolute_ttl=self._settings.session_ttl,
            ip=client.ip,
            user_agent=client.user_agent,
        )
        await self._tokens.create(session)
        await self._audit.record("logged_in", session.user_id, session_id=session.id, client=client)
        return self._signed_in(user, session, epoch)

    async def refresh(self, refresh_token: str, *, client: Client) -> SignedIn:
        """Give a new access token and the refresh token that belongs to it.

        See ``AuthKit.refresh`` for the errors.
        """
        claims = self._jwt.verify_token(refresh_token, "refresh")
        for attempt in range(MAX_TRIES):
            stored = await self._read_genuine(claims)
            user = await self._users.get_by_id(claims["sub"])
            if user is None or not user.is_active:
                await self._record_refusal(stored.session, "user_inactive", client)
                raise SessionRevoked
            decision = self._decide(stored, claims["gen"])
            if await self._apply(stored.session, decision, client):
                return await self._answer(user, stored, decision, refresh_token, client)
            await asyncio.sleep(random.uniform(0, 0.005) * (attempt + 1))  # noqa: S311  jitter
        raise StoreUnavailable

    def check(self, claims: Claims) -> None:
        """Let a verified access token pass, and note that its generation is in use.

        Raises:
            RevokedToken: its session ended or its user's rights changed, as far as known here.
        """
        session_id, gen = claims.get("sid"), claims.get("gen")
        self._revocations.check(claims["sub"], claims.get("ep", 0), session_id)
        if session_id is not None and gen is not None:
            self._note_sight(claims["sub"], session_id, gen)

    async def end(self, user_id: str, session_id: str, reason: str) -> bool:
        """End a session; False where it was over already."""
        now = self._now()
        ended = await self._tokens.revoke(user_id, session_id, reason, now)
        self._revocations.add_session(session_id, now)
        return ended

    async def end_all(self, user_id: str, reason: str) -> None:
        """End every session of a user, and the access tokens with them."""
        now = self._now()
        epoch = await self._tokens.revoke_all(user_id, reason, now)
        self._revocations.add_epoch(user_id, epoch, now)

    async def void_access_tokens(self, user_id: str) -> None:
        """Make clients of a user fetch new access tokens; sessions go on."""
        now = self._now()
        epoch = await self._tokens.void_access_tokens(user_id, now)
        self._revocations.add_epoch(user_id, epoch, now)

    async def aclose(self) -> None:
        """Wait for confirmations that are still being written."""
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _read_genuine(self, claims: Claims) -> StoredSession:
        """Read the session of a refresh token; a forged one changes nothing (no remote kill)."""
        session_id, gen = claims.get("sid"), claims.get("gen")
        if not isinstance(session_id, str) or type(gen) is not int:
            raise InvalidToken  # made by JWTManager alone
        stored = await self._tokens.get(claims["sub"], session_id)
        if stored is None:
            raise SessionExpired  # long over, and purged
        expected = stored.session.refresh_id(gen)
        if not hmac.compare_digest(expected.encode(), claims["jti"].encode()):
            raise InvalidToken
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

    async def _apply(self, session: Session, decision: Decision, client: Client) -> bool:
        """Do what was decided; False if another request was faster.

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
        if decision.changes is None:
            return True
        return await self._tokens.compare_and_set(
            session.user_id, session.id, session.version, decision.changes
        )

    async def _answer(
        self,
        user: User,
        stored: StoredSession,
        decision: Decision,
        refresh_token: str,
        client: Client,
    ) -> SignedIn:
        session = stored.session.changed(decision.changes or {})
        if decision.outcome is Outcome.ADOPT:
            await self._audit.record("session_adopted", session.user_id, session_id=session.id)
        if decision.outcome in {Outcome.ROTATE, Outcome.RENEW}:
            await self._audit.record(
                "token_refreshed", session.user_id, session_id=session.id, client=client
            )
        kept = decision.outcome in {Outcome.KEEP, Outcome.ADOPT}
        return self._signed_in(
            user, session, stored.epochs.epoch, refresh_token=refresh_token if kept else None
        )

    def _signed_in(
        self, user: User, session: Session, epoch: int, *, refresh_token: str | None = None
    ) -> SignedIn:
        user_data = {
            "user_id": str(user.id),
            "email": user.email,
            "display_name": user.display_name,
            "role": user.role,
        }
        life = min(self._settings.access_ttl, session.expires_at - self._now())
        tokens = TokenPair(
            access_token=self._jwt.create_access_token(user_data, session=session, epoch=epoch),
            refresh_token=refresh_token or self._jwt.create_session_refresh_token(session),
            expires_in=max(0, int(life.total_seconds())),
        )
        return SignedIn(user=user, session_id=session.id, tokens=tokens)

    def _is_past(self, session: Session) -> bool:
        end = min(session.expires_at, session.idle_expires_at)
        return session.revoked_at is None and end <= self._now()

    async def _record_refusal(self, session: Session, reason: str, client: Client) -> None:
        await self._audit.record(
            "refresh_failed", session.user_id, session_id=session.id, client=client, reason=reason
        )

    async def _end_reused(self, session: Session, client: Client) -> None:
        if await self.end(session.user_id, session.id, "refresh_reused"):
            await self._audit.record(
                "refresh_reused", session.user_id, session_id=session.id, client=client
            )

    def _note_sight(self, user_id: str, session_id: str, gen: int) -> None:
        """Confirm a generation the first time one of its access tokens comes by.

        Off the request's path: the answer does not wait for the write.
        """
        if (session_id, gen) in self._seen:
            return
        self._seen[session_id, gen] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        task = asyncio.create_task(self._confirm(user_id, session_id, gen))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _confirm(self, user_id: str, session_id: str, gen: int) -> None:
        try:
            await self._write_confirmation(user_id, session_id, gen)
        except ServiceUnavailable:
            logger.warning("A session could not be confirmed; its next request tries again.")
            self._seen.pop((session_id, gen), None)

    async def _write_confirmation(self, user_id: str, session_id: str, gen: int) -> None:
        for _ in range(MAX_TRIES):
            stored = await self._tokens.get(user_id, session_id)
            if stored is None:
                return
            decision = confirm(
                stored.session, gen, self._now(), sessions_from=stored.epochs.sessions_from
            )
            if decision.outcome is Outcome.REUSE:
                await self._end_reused(stored.session, UNKNOWN_CLIENT)
            if decision.changes is None or await self._tokens.compare_and_set(
                user_id, session_id, stored.session.version, decision.changes
            ):
                return
