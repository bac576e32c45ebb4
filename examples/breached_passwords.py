"""Asks Have I Been Pwned whether a password was stolen, without telling it the password.

    install(app, AuthKit(password_policy=PasswordPolicy(is_breached=BreachedPasswords())))

It is sent the first 5 of the 40 digits of a SHA-1 hash, and answers with all the hashes that begin
so (https://haveibeenpwned.com/API/v3#PwnedPasswords).
"""

import asyncio
import hashlib
import logging
import ssl

import httpx

logger = logging.getLogger(__name__)

RANGES = "https://api.pwnedpasswords.com/range/"
HEADERS = {"Add-Padding": "true", "User-Agent": "jwt-auth-kit example"}
PREFIX_LENGTH = 5


class BreachedPasswords:
    """Tells whether a password is in the list; says no where the list does not answer in time."""

    def __init__(self, ranges: str = RANGES, *, timeout: float = 1.0) -> None:
        self._ranges = ranges
        self._timeout = timeout
        self._tls = ssl.create_default_context()  # takes longer to make than a request

    async def __call__(self, password: str) -> bool:
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        prefix, suffix = digest[:PREFIX_LENGTH], digest[PREFIX_LENGTH:]
        try:
            answer = await self._read_range(prefix)
        except (httpx.HTTPError, TimeoutError) as error:
            # Otherwise nobody could register while the list is away.
            logger.warning("A new password was not looked up: %s", type(error).__name__)
            return False
        # Entries with the count 0 are padding, which hides how long the answer is.
        return any(
            line.startswith(f"{suffix}:") and line != f"{suffix}:0" for line in answer.split()
        )

    async def _read_range(self, prefix: str) -> str:
        async with (
            asyncio.timeout(self._timeout),
            httpx.AsyncClient(headers=HEADERS, verify=self._tls) as client,
        ):
            answer = await client.get(self._ranges + prefix)
        return answer.raise_for_status().text
