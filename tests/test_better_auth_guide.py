"""The guide to Next.js with Better Auth: its files run, and do together what it says."""

import os
import re
import runpy
import secrets
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from jwt_auth_kit import TokenVerifier
from live import live_server
from node import INTEROP, ROOT, Node, node

GUIDE = ROOT / "docs/guides/better-auth.md"
FILE = re.compile(r"```(?:js|python)\n(?://|#) (?P<name>\S+)\n(?P<text>.*?)^```$", re.M | re.S)
PASSWORD = "correct horse battery"
SECRET = b64encode(secrets.token_bytes(32)).decode()

DATABASE = """
import { memoryAdapter } from "better-auth/adapters/memory";

export const database = memoryAdapter({
  user: [], session: [], account: [], verification: [], jwks: [],
});
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signed up at the Next.js side."""

    id: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Site:
    """Both halves of the guide."""

    pages: Node
    url: str

    def sign_up(self, email: str) -> Person:
        answer = httpx.post(
            f"{self.url}/api/auth/sign-up/email",
            json={"email": email, "password": PASSWORD, "name": email.partition("@")[0]},
            headers={"Origin": self.url},
        ).raise_for_status()
        cookie = "; ".join(f"{name}={value}" for name, value in answer.cookies.items())
        return Person(answer.json()["user"]["id"], cookie)

    def call(self, person: Person, path: str, method: str = "GET") -> tuple[int, Any]:
        """Call the API as a page does that *person* looks at."""
        answer = self.pages.ask("call", cookie=person.cookie, path=path, method=method)
        return answer["status"], answer["body"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files of the guide, and the one it leaves to the reader."""
    folder = tmp_path_factory.mktemp("guide")
    files = {found["name"]: found["text"] for found in FILE.finditer(GUIDE.read_text())}
    files |= {"lib/database.js": DATABASE, "package.json": '{"type": "module"}'}
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "node_modules").symlink_to(INTEROP / "node_modules")
    return folder


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    with node("guide.mjs", GUIDE=str(folder), JWT_SECRET_KEY=SECRET) as pages:
        url = pages.read()["url"]
        with live_server("main:app", app_dir=folder, BETTER_AUTH_URL=url) as api_url:
            pages.ask("use", api=api_url)
            yield Site(pages, url)


def test_everybody_has_their_own_tasks(site: Site) -> None:
    ada, bob = site.sign_up("ada@example.com"), site.sign_up("bob@example.com")

    assert site.call(ada, f"/api/{ada.id}/tasks?title=write", "POST") == (201, ["write"])
    assert site.call(ada, f"/api/{ada.id}/tasks") == (200, ["write"])
    assert site.call(bob, f"/api/{bob.id}/tasks") == (200, [])
    status, body = site.call(bob, f"/api/{ada.id}/tasks")
    assert (status, body["detail"]["code"]) == (403, "not_owner")


def test_the_token_tells_who_is_there(site: Site) -> None:
    cleo = site.sign_up("cleo@example.com")

    status, body = site.call(cleo, "/api/me")

    assert status == 200
    assert body == {"id": cleo.id, "email": "cleo@example.com", "name": "cleo", "role": "user"}


async def test_the_shared_secret_works_on_both_sides(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = site.pages.ask("sign", issuer="http://localhost:3000")["token"]
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    verifier = runpy.run_path(str(folder / "with_secret.py"))["verifier"]
    assert isinstance(verifier, TokenVerifier)

    user = await verifier.authenticate(token)

    assert user.email == "eve@example.com"
    assert os.environ["JWT_SECRET_KEY"] not in repr(user)
