"""TokenVerifier: the same dependencies in a service that verifies tokens and issues none."""

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

from ..current_user import NO_SCOPES, CurrentUser
from ..errors import ConfigurationError, ExpiredToken, InvalidToken, WrongTokenType
from ..events import UNKNOWN_CLIENT, AuditTrail, ClientSource, EventHook, log_event
from ..keys.key import Key
from ..keys.ring import KeyRing
from ..keys.sources import named_keys, open_ring
from ..settings import AuthSettings
from ..trusted_values import TrustedValue
from .jws import SignedToken, VerifiedToken, VerifiedTokens
from .manager import (
    CLOCK_SKEW,
    HEADER_TYPES,
    MAX_COUNT,
    is_early,
    is_over,
    longest_life,
    utc_now,
)
from .rejections import RejectionAlarm

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

GENERIC_TYPES = {"jwt", "application/jwt"}
"""Values of the ``typ`` header, in lower case, that tokens of every kind may have."""

Claim = str | Callable[[Mapping[str, Any]], Any] | None
"""The name of a claim, a function that is given all of them, or None where there is no such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFormat(TrustedValue):
    """How an issuer writes its access tokens: what tells them apart, and which claim is what.

    As an ``AuthKit`` does, unless something else is said. A claim is named, or taken out by a
    function that is given all claims; None says that there is none.

    Raises:
        ConfigurationError: ``header_types`` is one text, or nothing tells access tokens from
            the identity and logout tokens that the issuer signs with the same keys.
    """

    header_types: frozenset[str | None] = frozenset({HEADER_TYPES["access"]})
    """Values of the ``typ`` header that access tokens have; None where there is no such header."""
    token_type: str | None = "access"
    """What the claim says that tells the kind of a token; None where there is no such claim."""
    token_type_claim: str = "token_type"
    """The name of that claim: ``typ`` in Keycloak's tokens."""
    allow_untyped: bool = False
    """Accept tokens that do not say of what kind they are. Then the issuer must sign access tokens
    only, or give them an audience that no other token has."""
    user_id: Claim = "sub"
    role: Claim = "role"
    email: Claim = "email"
    display_name: Claim = "display_name"
    scopes: Claim = "scope"
    """A text with spaces, or a list."""
    session_id: Claim = "sid"
    auth_time: Claim = "auth_time"

    def __post_init__(self) -> None:
        if isinstance(self.header_types, str):
            raise ConfigurationError('header_types are several: frozenset({"at+jwt"}).')
        if self.token_type is None and not self.allow_untyped and self._has_generic_type():
            raise ConfigurationError(
                "This TokenFormat accepts every token of the issuer, identity and logout tokens "
                "included. Say what tells access tokens apart: header_types without None and "
                '"JWT", or a claim with its value, token_type_claim="typ" and '
                'token_type="Bearer" for example. If the issuer\'s tokens have neither, use '
                "allow_untyped=True and an audience that only access tokens have."
            )

    def _has_generic_type(self) -> bool:
        # RFC 9068 section 4 asks for "at+jwt"; "JWT" says no more than that it is a token.
        return any(each is None or each.lower() in GENERIC_TYPES for each in self.header_types)

    @classmethod
    def rfc9068(cls, **claims: Claim) -> "TokenFormat":
        """Access tokens of an OAuth 2.0 server that follows RFC 9068; *claims* as above."""
        header_types = frozenset({"at+jwt", "application/at+jwt"})
        names: dict[str, Any] = {"display_name": "name", **claims}
        return cls(header_types=header_types, token_type=None, **names)

    @classmethod
    def better_auth(cls, **claims: Claim) -> "TokenFormat":
        """Tokens of Better Auth's JWT plugin, which do not say of what kind they are."""
        names: dict[str, Any] = {"display_name": "name", **claims}
        header_types = frozenset({None, "JWT"})
        return cls(header_types=header_types, token_type=None, allow_untyped=True, **names)


class KeyFinder(Protocol):
    """Finds the key that a token names."""

    async def get(self, key_id: Any) -> Key | None:
        """Return it; None where it is not known, or not good any more.

        Args:
            key_id: the ``kid`` of a token, None where it has none; whatever it holds is safe.
        """
        ...


class TokenVerifier:
    """Verifies the access tokens of another service; ``install`` takes it in an AuthKit's place.

    It has no stores: a token is good until it expires, whatever happened to its session.

    Args:
        jwks_url: where the issuer publishes its keys; ``JWT_JWKS_URL`` by default.
        issuer: required in ``iss``; ``JWT_ISSUER`` by default.
        audience: required in ``aud``; ``JWT_AUDIENCE`` by default.
        keys: what verifies, in the place of a URL; what the settings name if neither is given,
            ``JWT_SECRET_KEY`` for a secret that both services know.
        token_format: how the issuer writes its tokens; as an ``AuthKit`` does by default.
        settings: leeway and proxies; read from the environment by default.
        on_event: called with each event of the audit trail; writes to ``logging`` by default.
        clock: tells the moment; another one is for tests.

    Raises:
        ConfigurationError: issuer, audience or keys are missing, or cannot be used.
    """

    def __init__(
        self,
        jwks_url: str | None = None,
        *,
        issuer: str | None = None,
        audience: str | None = None,
        keys: KeyRing | KeyFinder | None = None,
        token_format: TokenFormat | None = None,
        settings: AuthSettings | None = None,
        on_event: EventHook = log_event,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.settings: AuthSettings = settings or AuthSettings()
        self.now: Callable[[], datetime] = clock
        self.audit: AuditTrail = AuditTrail(on_event, clock)
        self._rejections = RejectionAlarm(self.audit, clock)
        # One key may sign for many services, and every stranger may have some token of it: who
        # it is from and whom it is for are what remains to tell (RFC 8725 sections 3.8 and 3.9).
        self._issuer = _require("issuer", issuer, self.settings.issuer)
        self._audience = _require("audience", audience, self.settings.audience)
        self._format = token_format or TokenFormat()
        self._keys = self._open(jwks_url, keys)
        self._leeway = self.settings.leeway.total_seconds()
        self._skew = max(CLOCK_SKEW, self.settings.leeway).total_seconds()
        self._verified = VerifiedTokens[dict[str, Any]]()

    async def authenticate(
        self,
        access_token: str,
        *,
        client: ClientSource = UNKNOWN_CLIENT,
    ) -> CurrentUser:
        """Verify an access token; *client* is for events.

        Raises:
            ExpiredToken: its time is over.
            WrongTokenType: genuine, but no access token.
            InvalidToken: anything else.
            KeysUnavailable: the issuer's keys could not be read.
        """
        try:
            return await self._authenticate(access_token)
        except InvalidToken as error:
            await self._rejections.ring(error, client)
            raise

    async def authenticate_now(self, user: CurrentUser) -> NoReturn:  # noqa: ARG002
        """There is no store to ask.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            "require_session asks the stores, and an application that only verifies tokens has "
            "none. Use require_user, or ask the service that issued the token."
        )

    async def recheck(self, user: CurrentUser) -> None:
        """Check again that the token of *user* is good, on a connection that stays open.

        Raises:
            ExpiredToken: its time is over.
            InvalidToken: its key was withdrawn.
            KeysUnavailable: the issuer's keys could not be read.
        """
        if user.claims is None:
            return
        key = await self._require_key(user.key_id)
        if key.thumbprint != user.key_thumbprint:
            raise _refused("its key was replaced", "unknown_key")
        self._check_time(user.claims)

    @property
    def reads_keys(self) -> bool:
        """Whether the keys are read from elsewhere, so that they may be unavailable."""
        return not isinstance(self._keys, _RingKeys)

    async def check_keys(self) -> str | None:
        """Find out whether the issuer's keys can be read; return what is wrong, None if nothing."""
        check = getattr(self._keys, "check", None)
        problem: str | None = None if check is None else await check()
        return problem

    async def _authenticate(self, access_token: str) -> CurrentUser:
        known = self._verified.get(access_token)
        if known is not None:
            key = await self._require_key(known.key_id)
            if not known.is_by(key):
                raise _refused("its key was replaced", "unknown_key")
            self._check_time(known.claims)
            return self._user(known.claims, key)
        signed = SignedToken.parse(access_token)
        key_id = signed.header.get("kid")
        key = await self._require_key(key_id)
        claims = signed.verify(key)
        self._check_kind(signed, claims)
        self._check_parties(claims)
        self._check_time(claims)
        user = self._user(claims, key)
        self._verified.add(access_token, VerifiedToken(key_id, key.thumbprint, claims))
        return user

    async def _require_key(self, key_id: Any) -> Key:
        key = await self._keys.get(key_id)
        if key is None:
            raise _refused("its key is not known", "unknown_key")
        return key

    def _open(self, jwks_url: str | None, keys: KeyRing | KeyFinder | None) -> KeyFinder:
        if jwks_url is not None and keys is not None:
            raise ConfigurationError("TokenVerifier takes jwks_url or keys, not both.")
        if keys is None and jwks_url is None and named_keys(self.settings) == ["jwks_url"]:
            jwks_url = self.settings.jwks_url
        if jwks_url is not None:
            # Not at the top: it needs a package that others can do without.
            from ..keys.remote import RemoteKeys  # noqa: PLC0415

            return RemoteKeys(jwks_url)
        if keys is None:
            keys = open_ring(self.settings, must_sign=False)
        return _RingKeys(keys, self) if isinstance(keys, KeyRing) else keys

    def _check_kind(self, signed: SignedToken, claims: Mapping[str, Any]) -> None:
        # An issuer signs more than access tokens with its keys (RFC 8725 section 3.11). Its
        # identity and logout tokens must not open an API (RFC 9068 section 4).
        wanted = self._format
        if "typ" in signed.header and signed.type is None:
            raise _refused("typ is no text")
        is_kind = (
            wanted.token_type is None or claims.get(wanted.token_type_claim) == wanted.token_type
        )
        if signed.type not in wanted.header_types or not is_kind:
            logger.debug(
                "A token was refused: its typ or %s is of another kind", wanted.token_type_claim
            )
            raise WrongTokenType

    def _check_parties(self, claims: Mapping[str, Any]) -> None:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self._issuer:
            raise _refused("iss is not the issuer", "wrong_issuer")
        if self._audience not in audiences:
            raise _refused("aud is not our audience", "wrong_audience")

    def _check_time(self, claims: Mapping[str, Any]) -> None:
        now = self.now().timestamp()
        moments = [claims.get("exp"), claims.get("iat", 0), claims.get("nbf", 0)]
        if not all(map(_is_moment, moments)):
            raise _refused("exp, iat or nbf is no moment")
        if is_early(claims, now, self._skew):
            raise _refused("iat or nbf is in the future", "not_yet_valid")
        if is_over(claims, now, self._leeway):
            raise ExpiredToken

    def _user(self, remembered: Mapping[str, Any], key: Key) -> CurrentUser:
        # What a route does to them, or a function of the format, must not reach the next request.
        claims = copy.deepcopy(dict(remembered))
        wanted = self._format
        user_id = _text(claims, wanted.user_id)
        if not user_id:
            raise _refused("it names no user")
        return CurrentUser(
            id=user_id,
            role=_text(claims, wanted.role) or "user",
            email=_text(claims, wanted.email),
            display_name=_text(claims, wanted.display_name),
            session_id=_text(claims, wanted.session_id),
            auth_time=self._auth_time(_take(claims, wanted.auth_time)),
            scopes=_scopes(_take(claims, wanted.scopes)),
            claims=claims,
            key_id=key.id,
            key_thumbprint=key.thumbprint,
        )

    def _auth_time(self, value: Any) -> datetime | None:
        if value is None:
            return None
        # One in the future would be recent for ever.
        if not _is_moment(value) or value > self.now().timestamp() + self._skew:
            raise _refused("auth_time is no moment that was")
        return datetime.fromtimestamp(value, UTC)


class _RingKeys:
    """The keys of a ring, for as long as access tokens live after one was retired."""

    def __init__(self, ring: KeyRing, verifier: TokenVerifier) -> None:
        settings = verifier.settings
        self._ring = ring
        self._now = verifier.now
        self._keep = longest_life(settings.access_ttl, settings.leeway)

    async def get(self, key_id: Any) -> Key | None:
        """See KeyFinder.get; a token that names no key has the one of a ring of one."""
        now = self._now()
        if key_id is None:
            good = [item.key for item in self._ring.keys if item.verifies(now, keep=self._keep)]
            return good[0] if len(good) == 1 else None
        return self._ring.find(key_id, now, keep=self._keep)


def _require(name: str, given: str | None, setting: str | None) -> str:
    value = setting if given is None else given
    if not isinstance(value, str) or not value:
        raise ConfigurationError(
            f"TokenVerifier needs the {name} of the tokens, one text: TokenVerifier({name}=...) "
            f"or JWT_{name.upper()}. Set the same where they are issued."
        )
    return value


def _refused(problem: str, reason: str = "malformed") -> InvalidToken:
    # For whoever sets it up; no answer to a client says as much.
    logger.debug("A token was refused: %s", problem)
    return InvalidToken(reason)


def _take(claims: Mapping[str, Any], claim: Claim) -> Any:
    if claim is None or isinstance(claim, str):
        return None if claim is None else claims.get(claim)
    try:
        return claim(claims)
    except Exception as error:  # noqa: BLE001  a token may lack what the function counts on
        logger.warning("A TokenFormat could not read a token: %s", type(error).__name__)
        raise InvalidToken from None


def _text(claims: Mapping[str, Any], claim: Claim) -> str | None:
    value = _take(claims, claim)
    if value is not None and not isinstance(value, str):
        raise _refused(f"{claim if isinstance(claim, str) else 'what a function found'} is no text")
    return value


def _scopes(value: Any) -> frozenset[str]:
    if value is None:
        return NO_SCOPES
    scopes = value.split(" ") if isinstance(value, str) else value
    is_list = isinstance(scopes, list | tuple | set | frozenset)
    if not is_list or not all(isinstance(scope, str) for scope in scopes):
        raise _refused("the scopes are no text and no list of texts")
    return frozenset(scopes) - {""}


def _is_moment(value: Any) -> bool:
    """Tell whether *value* is a NumericDate (RFC 7519 section 2), which may have a fraction."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
    )
