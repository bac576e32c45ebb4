"""The public keys of another service, read from the URL of its JWK Set and kept for a while."""

import asyncio
import logging
import math
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from ..encoding import read_object
from ..errors import ConfigurationError, InvalidToken, KeysUnavailable
from .key import Key, public_members

try:
    import httpx
except ImportError:  # pragma: no cover
    raise ConfigurationError(
        "Keys are read from a URL with httpx: pip install 'jwt-auth-kit[jwks]'"
    ) from None

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

TIMEOUT = timedelta(seconds=5)
MAX_AGE = timedelta(minutes=10)
MAX_STALE = timedelta(hours=24)
MIN_AGE = 5.0  # seconds, as are those below
UNKNOWN_KEY_INTERVAL = 1.0
PATIENCE = 1.0  # of who has a key already that would do
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
LONGEST_PAUSE_WITHOUT_KEYS = 5.0
MAX_BYTES = 256 * 1024
MAX_KEYS = 100
MAX_SHOWN = 5

_HOST = re.compile(r"[\w.:-]+", re.ASCII)
_SECONDS = re.compile(r'max-age="?(\d{1,9})')


class BadKeySet(Exception):
    """What the URL answers with is no JWK Set that could be used; says why."""


class RemoteKeys:
    """The keys at a URL: read when they are needed, by one request at a time, and kept.

    A set that was read goes on working while the URL does not answer, or not with a JWK Set.

    Args:
        url: of a JWK Set (RFC 7517 section 5); https, or http on this machine.
        timeout: how long a request to it may take, from begin to end.
        max_age: how long a set is kept at most, before it is read again; ``Cache-Control`` may
            shorten it. A key that the issuer withdraws is good for that long.
        max_stale: how long the set that was read last is good while the URL does not answer.

    Raises:
        ConfigurationError: the URL may not be used, or a span is none.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta = TIMEOUT,
        max_age: timedelta = MAX_AGE,
        max_stale: timedelta = MAX_STALE,
    ) -> None:
        if timeout <= timedelta(0) or max_age < timedelta(0) or max_stale < timedelta(0):
            raise ConfigurationError("RemoteKeys needs a timeout, and spans that are not negative.")
        self._url = _check_url(url)
        self._name = str(self._url.copy_with(query=None))  # a query may hold a secret
        self._timeout = timeout.total_seconds()
        self._max_age = max_age.total_seconds()
        self._max_stale = max_stale.total_seconds()
        self._keys: Mapping[str, Key] | None = None
        self._looked_at = self._due = self._good_until = time.monotonic()
        self._failures = 0
        self._problem = ""
        self._reading: asyncio.Task[None] | None = None
        self._reading_since = 0.0
        self._client: httpx.AsyncClient | None = None
        self._client_loop: asyncio.AbstractEventLoop | None = None
        self._tls: ssl.SSLContext | None = None
        self._ignored: frozenset[str] = frozenset()

    async def get(self, key_id: Any) -> Key | None:
        """Return the key that a token names; the only one there is for a token that names none.

        A name that is not known makes it read the set again, at most every few seconds.

        Args:
            key_id: the ``kid`` of a token; whatever the token holds there is safe to pass.

        Raises:
            KeysUnavailable: the set cannot be read, and no key that was read before fits.
        """
        key = self._find(key_id)
        if time.monotonic() >= self._due:
            await self._read_once(is_urgent=key is None)
            key = self._find(key_id)
        elif key is None and self._may_look_again():
            await self._read_once(is_urgent=True)
            key = self._find(key_id)
        if key is None and (self._failures or self._keys is None):
            raise KeysUnavailable
        return key

    async def check(self) -> str | None:
        """Read the set now; return what is wrong with it, None where it can be used."""
        await self._read_once(is_urgent=True)
        if self._problem or self._keys:
            return self._problem or None
        return "the set holds no key that could be used"

    def _find(self, key_id: Any) -> Key | None:
        if self._keys is None or time.monotonic() >= self._good_until:
            return None
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id) if isinstance(key_id, str) else None

    def _may_look_again(self) -> bool:
        # Strangers choose the names, so this must not become a way to flood the issuer.
        pause = min(UNKNOWN_KEY_INTERVAL, self._max_age)
        return not self._failures and time.monotonic() - self._looked_at >= pause

    async def _read_once(self, *, is_urgent: bool) -> None:
        """Read the set, or wait for who is reading it; a caller that goes away stops nobody.

        Args:
            is_urgent: wait to the end, and not only for the first second of it.
        """
        loop = asyncio.get_running_loop()
        reading = self._reading
        if reading is None or reading.done() or reading.get_loop() is not loop:
            self._reading = reading = loop.create_task(self._read())
            self._reading_since = time.monotonic()
        left = max(0.0, self._reading_since + PATIENCE - time.monotonic())
        await asyncio.wait([reading], timeout=None if is_urgent else left)

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                body, age = await self._download()
                keys = self._read_keys(body)
        except TimeoutError:
            self._note_failure(f"no whole answer within {self._timeout:g} s")
        except BadKeySet as error:
            self._note_failure(str(error))
        except Exception as error:  # noqa: BLE001  whatever the network or the server does
            self._note_failure(type(error).__name__)
        else:
            self._keep(keys, min(max(MIN_AGE, age), self._max_age))

    def _keep(self, keys: Mapping[str, Key], age: float) -> None:
        if self._failures:
            logger.warning("The keys of %s can be read again.", self._name)
        now = time.monotonic()
        self._keys = keys
        self._failures, self._problem = 0, ""
        self._looked_at, self._due = now, now + age
        self._good_until = self._due + self._max_stale

    def _note_failure(self, problem: str) -> None:
        if problem != self._problem:
            logger.error("The keys of %s cannot be read: %s", self._name, problem)
        self._problem = problem
        self._looked_at = time.monotonic()
        longest = LONGEST_PAUSE if self._keys else LONGEST_PAUSE_WITHOUT_KEYS
        self._due = self._looked_at + min(longest, FIRST_PAUSE * 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)

    def _read_keys(self, body: bytes) -> Mapping[str, Key]:
        keys, ignored = _read_keys(body)
        if ignored - self._ignored:
            logger.warning(
                "The keys of %s include some that cannot be used here; tokens signed with them "
                "are refused: %s",
                self._name,
                "; ".join(sorted(ignored)[:MAX_SHOWN]),
            )
        self._ignored = ignored
        return keys

    async def _download(self) -> tuple[bytes, float]:
        # An answer may be endless, drip, be unpacked to a thousand times its size or lead
        # elsewhere, into our own network too: nothing of that is followed.
        headers = {"Accept": "application/jwk-set+json, application/json"}
        headers |= {"Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        client = await self._open_client()
        async with client.stream("GET", self._url, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                raise BadKeySet(f"the answer has status {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise BadKeySet("the answer is compressed")
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > MAX_BYTES:
                    raise BadKeySet(f"the answer has more than {MAX_BYTES} bytes")
            return bytes(body), _max_age(response.headers)

    async def _open_client(self) -> httpx.AsyncClient:
        """Return the one client; another event loop gets another, since locks belong to a loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._client_loop is not loop:
            # Reading the certificates takes 20 ms, in which no request would be answered.
            self._client = await asyncio.to_thread(self._make_client)
            self._client_loop = loop
        return self._client

    def _make_client(self) -> httpx.AsyncClient:
        is_secure = self._url.scheme == "https"
        if self._tls is None:
            self._tls = httpx.create_ssl_context() if is_secure else _without_certificates()
        return httpx.AsyncClient(
            verify=self._tls,
            follow_redirects=False,
            timeout=self._timeout,
            # Proxies of the environment do not know this machine by the names we use.
            trust_env=is_secure,
            # No connection is kept between two reads, so there is nothing to close.
            limits=httpx.Limits(max_keepalive_connections=0),
        )


def _check_url(url: str) -> httpx.URL:
    """Require https, or http on this machine: who can change the answer can sign tokens."""
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        parts = httpx.URL("")
    host = parts.raw_host.decode()
    if _HOST.fullmatch(host) is None or parts.scheme not in ("https", "http"):
        raise ConfigurationError("The URL of the JWK Set has to be https://host/path.")
    if parts.userinfo:
        raise ConfigurationError("The URL of the JWK Set may hold no name and password.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(
            f"The JWK Set of {host} has to be read by https; http is for this machine."
        )
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _without_certificates() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _read_keys(body: bytes) -> tuple[Mapping[str, Key], frozenset[str]]:
    """Return the keys by their ids, and of what kinds those are that cannot be used."""
    try:
        jwks = read_object(body).get("keys")
    except InvalidToken:
        raise BadKeySet("the answer is no JSON object") from None
    if not isinstance(jwks, list) or len(jwks) > MAX_KEYS:
        raise BadKeySet(f"the answer is no JWK Set of at most {MAX_KEYS} keys")
    keys: dict[str, Key] = {}
    ignored: set[str] = set()
    for jwk in jwks:
        key = _read_key(jwk)
        if key is None:
            ignored.update(_kind_of(jwk))
            continue
        if key.id in keys and keys[key.id] != key:
            raise BadKeySet("two keys have one id (kid)")
        keys[key.id] = key
    return keys, frozenset(ignored)


def _read_key(jwk: Any) -> Key | None:
    """Read a public key; sets may hold others, which RFC 7517 section 5 tells to ignore."""
    if not isinstance(jwk, dict) or jwk.get("kty") == "oct":  # whoever reads that could sign
        return None
    public = public_members(jwk)
    if public.get("kty") == "RSA":
        public.setdefault("alg", "RS256")  # some issuers leave it to be understood
    try:
        return Key.from_jwk(public)
    except ConfigurationError:
        return None


def _kind_of(jwk: Any) -> Sequence[str]:
    """Describe a key that may have signed a token, without what it is made of."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
        return ()
    named = {name: jwk[name] for name in ("kty", "crv", "alg") if isinstance(jwk.get(name), str)}
    return (", ".join(f"{name} {value[:20]!r}" for name, value in named.items()) or "without kty",)


def _max_age(headers: Mapping[str, str]) -> float:
    """Read how many seconds the answer may still be kept (RFC 9111 sections 4.2 and 5.2.2)."""
    cache_control = headers.get("cache-control", "").lower()
    if "no-store" in cache_control or "no-cache" in cache_control:
        return 0.0
    found, age = _SECONDS.search(cache_control), headers.get("age", "")
    if found is None:
        return math.inf
    return float(found[1]) - (float(age) if age.isascii() and age.isdigit() else 0.0)
