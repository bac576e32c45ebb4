"""Make and verify tokens: JWTManager. No I/O happens here."""

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NotRequired, TypedDict, cast

from ..errors import ConfigurationError, ExpiredToken, InvalidToken, WrongTokenType
from ..keys.key import Key
from ..keys.ring import KeyRing
from ..sessions import Session
from ..trusted_values import TrustedValue
from .jws import SignedToken, VerifiedToken, VerifiedTokens
from .payloads import HEADER, Carrier, check_length, write_payload

TokenType = Literal["access", "refresh"]

HEADER_TYPES: Mapping[TokenType, str] = {"access": "at+jwt", "refresh": "rt+jwt"}
"""The ``typ`` header of each kind (RFC 8725 section 3.11; RFC 9068 for ``at+jwt``)."""

PROFILE_CLAIMS = ("email", "display_name")
CLOCK_SKEW = timedelta(seconds=30)
"""A token may come from a machine whose clock is ahead by this much."""

TEXT_CLAIMS = ("sid", "role", "scope", "email", "display_name")
COUNT_CLAIMS = ("gen", "ep", "auth_time", "nbf")
MAX_COUNT = 253_402_300_799  # the last second a datetime holds; far above it JSON readers disagree

_RESERVED = frozenset(
    "iss sub aud exp nbf iat jti sid gen ep auth_time token_type role scope password_hash".split()  # noqa: SIM905
)


class Claims(TypedDict):
    """Payload of a verified token (RFC 7519, RFC 9068). Times are Unix seconds."""

    sub: str
    jti: str
    iat: int
    exp: int
    token_type: TokenType
    sid: NotRequired[str]
    """Id of the session; absent in tokens a JWTManager made alone."""
    gen: NotRequired[int]
    """Generation of the session the token belongs to."""
    ep: NotRequired[int]
    """The user's epoch when it was made; lower ones are void after a change of rights."""
    auth_time: NotRequired[int]
    role: NotRequired[str]
    email: NotRequired[str]
    display_name: NotRequired[str]
    scope: NotRequired[str]
    """Scopes, separated by spaces (RFC 8693 section 4.2)."""
    iss: NotRequired[str]
    aud: NotRequired[str | list[str]]


class UserData(TypedDict):
    """What the claims of an access token are made of."""

    user_id: str
    email: NotRequired[str | None]
    display_name: NotRequired[str | None]
    role: NotRequired[str]
    scope: NotRequired[str]


@dataclass(frozen=True, slots=True)
class TokenPair(TrustedValue):
    """An access and a refresh token; ``expires_in`` is the access token's life in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    token_type: Literal["bearer"] = "bearer"


def utc_now() -> datetime:
    """Return the moment, aware and in UTC."""
    return datetime.now(UTC)


class JWTManager:
    """Makes and verifies signed tokens (RFC 7519, RFC 9068) with the keys of a ring.

    Args:
        keys: what signs and what verifies.
        access_ttl: life of an access token.
        refresh_ttl: life of a refresh token.
        issuer: put into ``iss`` and required there.
        audience: put into ``aud`` and required there.
        leeway: extra time granted to ``exp``.
        profile_claims: which of the user's data an access token carries beside id and role;
            ``()`` keeps personal data out of tokens.
        clock: tells the moment; another one is for tests.
    """

    def __init__(
        self,
        keys: KeyRing,
        *,
        access_ttl: timedelta = timedelta(minutes=15),
        refresh_ttl: timedelta = timedelta(days=7),
        issuer: str | None = None,
        audience: str | None = None,
        leeway: timedelta = timedelta(0),
        profile_claims: Collection[str] = PROFILE_CLAIMS,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if isinstance(profile_claims, str):
            raise ConfigurationError(
                f"profile_claims holds several names, so write ({profile_claims!r},)."
            )
        if clash := _RESERVED.intersection(profile_claims):
            raise ConfigurationError(f"profile_claims may not hold {', '.join(sorted(clash))}.")
        self.keys = keys
        self.access_ttl = access_ttl
        self.refresh_ttl = refresh_ttl
        self.issuer = issuer
        self.audience = audience
        self.leeway = leeway
        self.profile_claims: tuple[str, ...] = tuple(profile_claims)
        self.now = clock
        self.access_life: timedelta = longest_life(access_ttl, leeway)
        """How long an access token may be good for somebody, whatever the clocks say."""
        # A key verifies as long as tokens of the kind it signed may live.
        self._lives = {
            HEADER_TYPES["access"]: self.access_life,
            HEADER_TYPES["refresh"]: longest_life(refresh_ttl, leeway),
        }
        self._leeway = leeway.total_seconds()
        self._skew = max(CLOCK_SKEW, leeway).total_seconds()
        self._verified = VerifiedTokens[Claims]()

    def create_access_token(
        self,
        user_data: Mapping[str, Any],
        *,
        session: Session | None = None,
        epoch: int = 0,
        carrier: Carrier = HEADER,
    ) -> str:
        """Make an access token of *user_data*: ``user_id``, ``role``, ``email``, ``display_name``.

        With a *session* the token carries its id and generation, and ends no later than it.

        Raises:
            ConfigurationError: it would be longer than *carrier* takes, or a claim is not JSON.
            ValueError: ``user_id`` is missing.
        """
        now = self.now()
        expires_at = now + self.access_ttl
        claims: dict[str, Any] = {
            "sub": _subject(user_data),
            "jti": secrets.token_urlsafe(16),
            "iat": int(now.timestamp()),
            "token_type": "access",
            "role": user_data.get("role") or "user",
            "ep": epoch,
        }
        if session is not None:
            claims["sid"] = session.id
            claims["gen"] = session.gen
            if session.auth_time <= now + CLOCK_SKEW:  # a time in the future would stay recent
                claims["auth_time"] = int(min(session.auth_time, now).timestamp())
            expires_at = min(expires_at, session.ends_at)
        claims["exp"] = int(expires_at.timestamp())
        if user_data.get("scope"):
            claims["scope"] = user_data["scope"]
        for name in self.profile_claims:
            if user_data.get(name) is not None:
                claims[name] = user_data[name]
        token = self._sign(claims, "access")
        check_length(token, claims, carrier)
        return token

    def create_refresh_token(self, user_id: str) -> str:
        """Make a refresh token that belongs to no session.

        It cannot be revoked, and the router never accepts it: it is for applications that keep
        their own sessions. ``AuthKit`` makes the ones the router hands out.
        """
        now = self.now()
        claims = {
            "sub": _subject({"user_id": user_id}),
            "jti": secrets.token_urlsafe(16),
            "iat": int(now.timestamp()),
            "exp": int((now + self.refresh_ttl).timestamp()),
            "token_type": "refresh",
        }
        return self._sign(claims, "refresh")

    def create_session_refresh_token(self, session: Session) -> str:
        """Make the refresh token of the newest generation of *session*: the same each time."""
        # Derived, so that a repeated answer is equal byte by byte, on a slower machine too. The
        # session was last seen before that only if refresh_ttl was shortened since.
        issued_at = min(session.idle_expires_at - self.refresh_ttl, session.last_seen_at)
        claims = {
            "sub": session.user_id,
            "sid": session.id,
            "gen": session.gen,
            "jti": session.refresh_id(session.gen),
            "iat": int(issued_at.timestamp()),
            "exp": int(session.idle_expires_at.timestamp()),
            "token_type": "refresh",
        }
        return self._sign(claims, "refresh")

    def create_token_pair(self, user_data: Mapping[str, Any]) -> TokenPair:
        """Make an access token and a refresh token that belong to no session.

        Raises:
            ValueError: ``user_id`` is missing.
        """
        return TokenPair(
            access_token=self.create_access_token(user_data),
            refresh_token=self.create_refresh_token(user_data["user_id"]),
            expires_in=int(self.access_ttl.total_seconds()),
        )

    def refresh_token_pair(self, refresh_token: str, user_data: Mapping[str, Any]) -> TokenPair:
        """Make a new pair for the holder of a *refresh_token* made by ``create_refresh_token``.

        Nothing is stored, so the old token stays good until it expires. A token of a session is
        refused: ``AuthKit.refresh`` knows whether it was used before.

        Raises:
            InvalidToken: it is not valid, of a session, or of another user than *user_data*.
        """
        claims = self.verify_token(refresh_token, "refresh")
        if "sid" in claims or claims["sub"] != _subject(user_data):
            raise InvalidToken
        return self.create_token_pair(user_data)

    def verify_access_token(self, token: str) -> Claims:
        """Verify an access token; see ``verify_token``."""
        return self.verify_token(token, "access")

    def verify_token(
        self, token: str, token_type: TokenType = "access", *, allow_expired: bool = False
    ) -> Claims:
        """Verify signature, kind, time, issuer and audience; return the claims.

        With *allow_expired* a token whose time is over passes: to end its session, no more.

        Raises:
            ExpiredToken: its time is over.
            WrongTokenType: genuine, but of another kind.
            InvalidToken: anything else.
        """
        return self.verify(token, token_type, allow_expired=allow_expired).claims

    def verify(
        self, token: str, token_type: TokenType = "access", *, allow_expired: bool = False
    ) -> VerifiedToken[Claims]:
        """Do as ``verify_token`` does, and tell by which key the token is."""
        known = self._verified.get(token) if token_type == "access" else None
        if known is not None:
            now = self.now()
            key = self.keys.find(known.key_id, now, keep=self.access_life)
            if not known.is_by(key):  # revoked or replaced since
                raise InvalidToken("unknown_key")
            self._check_time(known.claims, now, allow_expired=allow_expired)
            return VerifiedToken(known.key_id, known.thumbprint, known.claims.copy())
        signed = SignedToken.parse(token)
        key = self._require_key(signed.header.get("kid"), signed.type)
        claims = self._verify_claims(signed, key, token_type)
        self.check_time(claims, allow_expired=allow_expired)
        verified = VerifiedToken(key.id, key.thumbprint, claims)
        if token_type == "access":
            self._verified.add(token, replace(verified, claims=verified.claims.copy()))
        return verified

    def verify_session_refresh_token(self, token: str) -> Claims:
        """Verify a refresh token as ``verify_token`` does, except that ``iat`` may lie ahead.

        The session decides what its refresh tokens may do. A server whose clock was ahead, and
        was set right, must not refuse the tokens it made before.

        Raises:
            ExpiredToken: its time is over.
            WrongTokenType: genuine, but of another kind.
            InvalidToken: anything else.
        """
        signed = SignedToken.parse(token)
        key = self._require_unrevoked(signed)
        claims = self._verify_claims(signed, key, "refresh")
        now = self.now()
        made_at = max(now, datetime.fromtimestamp(claims["iat"], UTC))
        if self.keys.find(key.id, made_at, keep=self.life_of(signed.type)) is None:
            raise InvalidToken("unknown_key")  # retired for longer than its tokens live
        if is_over(claims, now.timestamp(), self._leeway):
            raise ExpiredToken
        return claims

    def verify_genuine(self, token: str) -> Claims:
        """Verify signature, issuer and audience of a token of either kind, and none of its times.

        It tells whose token it is, whatever the clocks say: to end its session, no more.

        Raises:
            InvalidToken: it is not one of ours, or its key was revoked.
        """
        signed = SignedToken.parse(token)
        key = self._require_unrevoked(signed)
        is_refresh = signed.type == HEADER_TYPES["refresh"]
        return self._verify_claims(signed, key, "refresh" if is_refresh else "access")

    def _verify_claims(self, signed: SignedToken, key: Key, token_type: TokenType) -> Claims:
        claims = signed.verify(key)
        _check_types(claims)
        if signed.type != HEADER_TYPES[token_type] or claims["token_type"] != token_type:
            raise WrongTokenType
        self._check_audience(claims)
        return cast("Claims", claims)

    def _require_unrevoked(self, signed: SignedToken) -> Key:
        key = self.keys.find_unrevoked(signed.header.get("kid"), self.now())
        if key is None:
            raise InvalidToken("unknown_key")
        return key

    def _require_key(self, key_id: Any, header_type: str | None) -> Key:
        key = self.keys.find(key_id, self.now(), keep=self.life_of(header_type))
        if key is None:
            raise InvalidToken("unknown_key")
        return key

    def life_of(self, header_type: Any) -> timedelta:
        """Return how long tokens with this ``typ`` may live; whatever it is, it is safe to pass."""
        life = self._lives.get(header_type) if isinstance(header_type, str) else None
        return life or self.access_life

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        if self.issuer is not None and claims.get("iss") != self.issuer:
            raise InvalidToken("wrong_issuer")
        audience = claims.get("aud")
        if self.audience is None and audience is None:
            return  # RFC 7519 section 4.1.3: who has no name is in no audience
        if audience != self.audience and not (
            isinstance(audience, list) and self.audience in audience
        ):
            raise InvalidToken("wrong_audience")

    def check_again(
        self, claims: Mapping[str, Any], key_id: str | None, thumbprint: str | None
    ) -> None:
        """Let *claims* pass whose token was verified before, with this key.

        Raises:
            ExpiredToken: its time is over.
            InvalidToken: its key was revoked or replaced.
        """
        if key_id is not None:
            key = self._require_key(key_id, HEADER_TYPES["access"])
            if key.thumbprint != thumbprint:
                raise InvalidToken
        self.check_time(claims)

    def check_time(self, claims: Mapping[str, Any], *, allow_expired: bool = False) -> None:
        """Let *claims* of a verified token pass whose time has come and is not over.

        Raises:
            ExpiredToken: it is over.
            InvalidToken: it has not come.
        """
        self._check_time(claims, self.now(), allow_expired=allow_expired)

    def _check_time(
        self, claims: Mapping[str, Any], moment: datetime, *, allow_expired: bool
    ) -> None:
        now = moment.timestamp()
        if is_early(claims, now, self._skew):
            raise InvalidToken("not_yet_valid")
        if not allow_expired and is_over(claims, now, self._leeway):
            raise ExpiredToken

    def _sign(self, claims: dict[str, Any], token_type: TokenType) -> str:
        if self.issuer is not None:
            claims["iss"] = self.issuer
        if self.audience is not None:
            claims["aud"] = self.audience
        payload = write_payload(claims)
        return self.keys.signer(self.now()).sign(payload, token_type=HEADER_TYPES[token_type])


def longest_life(ttl: timedelta, leeway: timedelta) -> timedelta:
    """Return how long a token may be good for somebody, whatever the clocks say."""
    return ttl + leeway + CLOCK_SKEW


def is_early(claims: Mapping[str, Any], now: float, skew: float) -> bool:
    """Tell whether the time of a token has not come, on clocks that differ by *skew* seconds."""
    return bool(max(claims.get("iat", 0), claims.get("nbf", 0)) > now + skew)


def is_over(claims: Mapping[str, Any], now: float, leeway: float) -> bool:
    """Tell whether a token has expired, *leeway* seconds granted."""
    return bool(now >= claims["exp"] + leeway)


def _subject(user_data: Mapping[str, Any]) -> str:
    subject = str(user_data.get("user_id") or "")
    if not subject:
        raise ValueError("user_data needs a user_id")
    return subject


def _check_types(claims: Mapping[str, Any]) -> None:
    """Require the claims every token has; JSON may hold anything under any name."""
    texts = [claims.get(name) for name in ("sub", "jti", "token_type")]
    texts += [claims[name] for name in TEXT_CLAIMS if name in claims]
    counts = [claims.get(name) for name in ("exp", "iat")]
    counts += [claims[name] for name in COUNT_CLAIMS if name in claims]
    if not all(isinstance(text, str) for text in texts) or not all(map(is_count, counts)):
        raise InvalidToken


def is_count(value: Any) -> bool:
    """Tell whether *value* may be a moment in seconds, or another whole number of a claim."""
    return type(value) is int and 0 <= value <= MAX_COUNT
