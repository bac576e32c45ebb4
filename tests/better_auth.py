"""A real Better Auth server for tests, in a process of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from node import node

PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class BetterAuth:
    """A running server; its URL is the issuer of its tokens, and by default their audience."""

    url: str

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/api/auth/jwks"

    def sign_up(self, email: str) -> str:
        """Make an account and return a JWT of it."""
        return self._token("sign-up", email, name="Ann")

    def sign_in(self, email: str) -> str:
        """Return another JWT of an account."""
        return self._token("sign-in", email)

    def rotate_keys(self) -> None:
        """Let the next token be signed with a new key; the old one stays published."""
        httpx.post(f"{self.url}/keys/rotate").raise_for_status()

    def revoke_keys(self) -> None:
        """Take all keys away; the next token is signed with a new one."""
        httpx.post(f"{self.url}/keys/revoke").raise_for_status()

    def _token(self, action: str, email: str, **body: str) -> str:
        # What comes with a cookie has to come from a page of the same origin.
        with httpx.Client(base_url=self.url, headers={"Origin": self.url}) as client:
            body |= {"email": email, "password": PASSWORD}
            client.post(f"/api/auth/{action}/email", json=body).raise_for_status()
            token = client.get("/api/auth/token").raise_for_status().json()["token"]
        return str(token)


@contextmanager
def better_auth(
    *,
    algorithm: str = "",
    secret: str = "",
    audience: str = "",
    expiration_time: str = "",
    admin_email: str = "",
) -> Iterator[BetterAuth]:
    """Run a server; what is left empty is Better Auth's default.

    Args:
        algorithm: of its key pair, EdDSA if it is not told.
        secret: base64; sign with HS256 and this, and publish no keys.
        audience: of its tokens, instead of its own URL.
        expiration_time: of its tokens, like "15m"; "-1h" makes expired ones.
        admin_email: who signs up with it gets the role "admin", all others "user".
    """
    options = {
        "JWKS_ALGORITHM": algorithm,
        "HS256_SECRET": secret,
        "AUDIENCE": audience,
        "EXPIRATION_TIME": expiration_time,
        "ADMIN_EMAIL": admin_email,
    }
    with node("better_auth.mjs", **options) as process:
        yield BetterAuth(process.read()["url"])
