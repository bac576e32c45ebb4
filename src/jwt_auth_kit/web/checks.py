"""What is wrong with an application's set-up: refused or logged at the start, told by doctor."""

import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from fastapi import FastAPI

from ..current_user import Authenticator
from ..emails import NOBODY
from ..errors import ConfigurationError, StoreUnavailable
from ..kit.auth_kit import AuthKit
from ..passwords.hashers import Argon2Hasher
from ..settings import unknown_variables
from ..stores.base import TwinCounter
from ..stores.memory import MemoryTokenStore, MemoryUserStore
from ..tokens.verifier import TokenVerifier
from .cors import REFUSAL, allows_strangers, find_cors
from .installation import Installation, ensure_installed
from .operations import find_token_path
from .proxy_signs import find_proxy_sign
from .transports import CookieTransport

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

Level = Literal["error", "warning", "advice"]

ADVISED_ACCESS_TTL = timedelta(minutes=15)
ADVISED_PASSWORD_LENGTH = 15


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the set-up, with what to do about it."""

    level: Level
    subject: str
    message: str


def check_app(app: FastAPI) -> None:
    """Log what is unwise about *app* and its kit.

    Raises:
        ConfigurationError: it must not run like that; the message says what to change.
    """
    for finding in find_problems(app):
        if finding.level == "error":
            raise ConfigurationError(finding.message)
        if finding.level == "warning" and finding.subject != "memory":  # the kit has said that
            logger.warning("%s", finding.message)


def find_problems(app: FastAPI) -> list[Finding]:
    """Return what is wrong with *app* and what could be better, the worst first."""
    installation = ensure_installed(app)
    found = [
        *_about_cors(app, installation),
        *_about_cookies(installation),
        *_about_authenticator(app, installation.authenticator),
        *_about_variables(),
    ]
    if app.debug:
        found.append(
            Finding("warning", "debug", "FastAPI(debug=True) shows strangers your stack traces.")
        )
    order: list[Level] = ["error", "warning", "advice"]
    return sorted(found, key=lambda finding: order.index(finding.level))


async def find_key_problems(app: FastAPI) -> list[Finding]:
    """Return what keeps *app* from reading the keys of another service, which takes a request."""
    authenticator = ensure_installed(app).authenticator
    if not isinstance(authenticator, TokenVerifier):
        return []
    problem = await authenticator.check_keys()
    if problem is None:
        return []
    return [Finding("error", "keys", f"The keys of the issuer cannot be read: {problem}.")]


async def find_store_problems(app: FastAPI) -> list[Finding]:
    """Read once from every store of *app* and return what keeps it from being read."""
    kit = ensure_installed(app).authenticator
    if not isinstance(kit, AuthKit):
        return []
    reads = {
        "users": lambda: kit.users.get_by_id(NOBODY),
        "tokens": lambda: kit.tokens.get(NOBODY, NOBODY),
        "failures": kit.failed_logins.check_store,
        "throttle": kit.throttle.check_storage,
    }
    return [
        Finding("error", name, f"This store cannot be read. {problem}".rstrip())
        for name, read in reads.items()
        if (problem := await _problem_of(read)) is not None
    ]


async def find_account_problems(app: FastAPI) -> list[Finding]:
    """Return what is wrong with the accounts of *app*, as far as its store counts them."""
    kit = ensure_installed(app).authenticator
    if not isinstance(kit, AuthKit) or not isinstance(kit.users, TwinCounter):
        return []
    try:
        twins = await kit.users.count_twins()
    except StoreUnavailable:  # which another check reports
        return []
    if not twins:
        return []
    return [
        Finding(
            "warning",
            "users",
            f"{twins} {'address belongs' if twins == 1 else 'addresses belong'} to several "
            "accounts whose spelling differs in capitals only; they are one address here. Rename "
            "or merge the accounts, then create a unique index on lower(email).",
        )
    ]


async def _problem_of(read: Callable[[], Awaitable[object]]) -> str | None:
    try:
        await read()
    except StoreUnavailable as error:
        return error.hint
    except ConfigurationError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  a store of the application's own
        # Its text is left out: that of a database quotes statements, hashes included.
        return f"It raised {type(error).__name__}."
    return None


def _cookies(installation: Installation) -> list[CookieTransport]:
    return [each for each in installation.transports if isinstance(each, CookieTransport)]


def _about_cors(app: FastAPI, installation: Installation) -> Iterator[Finding]:
    cookies = _cookies(installation)
    if not cookies:
        return
    for cors in find_cors(app):
        if allows_strangers(cors):
            yield Finding("error", "cors", REFUSAL)
        origins = [each for each in cors.allow_origins if each not in {"*", "null"}]
        untrusted = [
            origin for origin in origins if any(not each.trusts(origin) for each in cookies)
        ]
        if untrusted and cors.allow_credentials:
            yield Finding(
                "warning",
                "cors",
                f"CORSMiddleware lets {', '.join(untrusted)} send cookies, but CookieTransport "
                "refuses its requests. Add it to trusted_origins.",
            )


def _about_cookies(installation: Installation) -> Iterator[Finding]:
    for transport in _cookies(installation):
        if not transport.is_secure:
            yield Finding(
                "warning",
                "cookies",
                "Cookies travel without HTTPS and the __Host- prefix. Leave out secure=False.",
            )
        if transport.is_cross_site:
            yield Finding(
                "advice",
                "cookies",
                "SameSite=None lets other sites send the cookies; only the origin check is left. "
                "Serve pages and API from one site if you can.",
            )


def _about_authenticator(app: FastAPI, authenticator: Authenticator) -> Iterator[Finding]:
    if isinstance(authenticator, AuthKit):
        yield from _about_kit(authenticator)
        yield from _about_proxies(authenticator)
        yield from _about_failures(authenticator)
        yield from _about_memory(authenticator)
    elif find_token_path(app) is not None:
        yield Finding(
            "error",
            "router",
            "auth_router signs people in, but this application only verifies tokens. Leave out "
            "the router, or use install(app, AuthKit(...)).",
        )


def _about_kit(kit: AuthKit) -> Iterator[Finding]:
    if isinstance(kit.passwords.hasher, Argon2Hasher) and kit.passwords.hasher.is_weak:
        yield Finding(
            "warning", "passwords", "Argon2Hasher.weak_for_tests() makes hashes that are guessed."
        )
    if kit.settings.when_stale == "allow":
        yield Finding(
            "warning",
            "revocation",
            "JWT_WHEN_STALE=allow lets revoked tokens pass while the store is away.",
        )
    if kit.settings.reuse_window == timedelta(0):
        yield Finding(
            "warning",
            "sessions",
            "JWT_REUSE_WINDOW=0 signs honest users out when two tabs refresh at once.",
        )
    if kit.settings.max_sessions is None:
        yield Finding(
            "advice",
            "sessions",
            "A user may have any number of sessions. JWT_MAX_SESSIONS=100 is the default.",
        )
    if kit.settings.access_ttl > ADVISED_ACCESS_TTL:
        yield Finding(
            "advice",
            "tokens",
            f"Access tokens live {kit.settings.access_ttl}; a stolen one is good as long. "
            "JWT_ACCESS_TTL=900 is usual.",
        )
    if kit.password_policy.min_length < ADVISED_PASSWORD_LENGTH:
        yield Finding(
            "advice",
            "passwords",
            f"Passwords may have {kit.password_policy.min_length} characters. Without a second "
            f"factor ask for {ADVISED_PASSWORD_LENGTH}: "
            f"AuthKit(password_policy=PasswordPolicy(min_length={ADVISED_PASSWORD_LENGTH})).",
        )


def _about_variables() -> Iterator[Finding]:
    for name, near in unknown_variables().items():
        if near is None:
            message = f"{name} is not a setting of jwt-auth-kit."
        else:
            message = f"{name} is not a setting of jwt-auth-kit. Did you mean {near}?"
        yield Finding("advice" if near is None else "warning", "settings", message)


def _about_proxies(kit: AuthKit) -> Iterator[Finding]:
    if kit.settings.trusted_proxies:
        return
    sign = find_proxy_sign(os.environ, sys.argv)
    if sign is None:
        yield Finding(
            "advice",
            "proxies",
            "The peer of a connection counts as the client. If there is a proxy in front, set "
            "JWT_TRUSTED_PROXIES to its address: until then all clients share one limit.",
        )
        return
    yield Finding(
        "warning",
        "proxies",
        f"{sign} Set JWT_TRUSTED_PROXIES to its address. Until then the addresses of clients are "
        "not known: all of them share the limits of one network, or one ceiling for the sign-ups "
        "of the whole application.",
    )


def _about_failures(kit: AuthKit) -> Iterator[Finding]:
    if not kit.failed_logins.are_counted:
        yield Finding(
            "warning",
            "failures",
            f"{type(kit.tokens).__name__} does not count failed logins, so guesses of a password "
            "may go on for years. Give it count_failure, failures and clear_failures; "
            "jwt_auth_kit.stores.base.FailureStore says what they do.",
        )


def _about_memory(kit: AuthKit) -> Iterator[Finding]:
    if isinstance(kit.users, MemoryUserStore) or isinstance(kit.tokens, MemoryTokenStore):
        yield Finding(
            "warning",
            "memory",
            "Accounts or sessions live in memory: a restart loses them and other processes do "
            "not see them. Choose a store: SQLAlchemyUserStore, SQLAlchemyTokenStore.",
        )
    elif not kit.throttle.is_shared:
        yield Finding(
            "advice",
            "throttle",
            "Each process counts guesses of passwords for itself. With several processes use "
            'AuthKit(throttle=LoginThrottle("redis://...")).',
        )
