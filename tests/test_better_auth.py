"""A FastAPI application behind a real Better Auth server: people sign up there, and ask here."""

import base64
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from better_auth import BetterAuth, better_auth
from live import live_server

ADMIN = "admin@example.com"
AUDIENCE = "https://api.example.com"
SECRET = base64.b64encode(secrets.token_bytes(32)).decode()
WAYS_TO_SIGN = ["EdDSA", "ES256", "HS256"]

HOST = """
from typing import Annotated, Any
from fastapi import Depends, FastAPI
from jwt_auth_kit import (
    AdminDep, CurrentUser, TokenFormat, TokenVerifier, UserDep, install, require_owner
)

written = TokenFormat.better_auth()
app, elsewhere = FastAPI(), FastAPI()
install(app, TokenVerifier(token_format=written))
install(elsewhere, TokenVerifier(audience="https://elsewhere.example.com", token_format=written))

@app.get("/health")
async def health() -> str:
    return "well"

@app.get("/api/{user_id}/tasks")
async def tasks(user: Annotated[CurrentUser, Depends(require_owner("user_id"))]) -> list[str]:
    return [f"a task of {user.email}"]

@app.get("/admin")
async def admin(user: AdminDep) -> str:
    return user.id

@app.get("/me")
@elsewhere.get("/me")
async def me(user: UserDep) -> dict[str, Any]:
    return {"id": user.id, "email": user.email, "name": user.display_name, "role": user.role}

app.mount("/elsewhere", elsewhere)
"""

IMPATIENT = """
import os
from datetime import timedelta
from fastapi import FastAPI
from jwt_auth_kit import TokenFormat, TokenVerifier, UserDep, install
from jwt_auth_kit.keys.remote import RemoteKeys

app = FastAPI()
keys = RemoteKeys(os.environ["JWT_JWKS_URL"], max_age=timedelta(seconds=0.5))
install(app, TokenVerifier(keys=keys, token_format=TokenFormat.better_auth()))

@app.get("/health")
async def health() -> str:
    return "well"

@app.get("/me")
async def me(user: UserDep) -> str:
    return user.id
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Better Auth, and our application behind it."""

    issuer: BetterAuth
    url: str
    how: Mapping[str, str]
    """What Better Auth signs with."""

    def get(self, path: str, token: str) -> httpx.Response:
        return httpx.get(self.url + path, headers={"Authorization": f"Bearer {token}"})

    def wait_for(self, status: int, token: str) -> None:
        """Wait until it answers *token* so."""
        deadline = time.monotonic() + 10
        while self.get("/me", token).status_code != status:
            assert time.monotonic() < deadline, f"no {status} within 10 s"
            time.sleep(0.1)


@contextmanager
def serve(way: str, folder: Path, *, host: str = HOST, **options: str) -> Iterator[Site]:
    """Run both; Better Auth signs in one *way*, and with *options*."""
    (folder / "host.py").write_text(host)
    how = {"secret": SECRET} if way == "HS256" else {"algorithm": way}
    with better_auth(audience=AUDIENCE, admin_email=ADMIN, **how, **options) as issuer:
        environment = {
            "JWT_ISSUER": issuer.url,
            "JWT_AUDIENCE": AUDIENCE,
            "JWT_SECRET_KEY": SECRET if way == "HS256" else "",
            "JWT_JWKS_URL": "" if way == "HS256" else issuer.jwks_url,
        }
        with live_server("host:app", app_dir=folder, **environment) as url:
            yield Site(issuer, url, how)


@pytest.fixture(scope="module", params=WAYS_TO_SIGN)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with serve(request.param, tmp_path_factory.mktemp("host")) as site:
        yield site


class TestWhoSignedUpThere:
    def test_they_see_their_own_tasks_and_nobody_else_s(self, site: Site) -> None:
        ann, bob = site.issuer.sign_up("ann@example.com"), site.issuer.sign_up("bob@example.com")

        own = site.get(f"/api/{payload_of(ann)['sub']}/tasks", ann)
        others = site.get(f"/api/{payload_of(bob)['sub']}/tasks", ann)

        assert (own.status_code, own.json()) == (200, ["a task of ann@example.com"])
        assert (others.status_code, code(others)) == (403, "not_owner")

    def test_they_are_known_by_what_better_auth_knows(self, site: Site) -> None:
        token = site.issuer.sign_up("cyd@example.com")

        assert site.get("/me", token).json() == {
            "id": payload_of(token)["sub"],
            "email": "cyd@example.com",
            "name": "Ann",
            "role": "user",
        }

    def test_an_administrator_there_is_one_here(self, site: Site) -> None:
        admin, user = site.issuer.sign_up(ADMIN), site.issuer.sign_up("dan@example.com")

        answers = [site.get("/admin", token) for token in (admin, user)]

        assert [answer.status_code for answer in answers] == [200, 403]


class TestWhatIsRefused:
    def test_a_request_without_a_token(self, site: Site) -> None:
        answer = httpx.get(f"{site.url}/me")

        assert (answer.status_code, code(answer)) == (401, "not_authenticated")

    def test_a_token_for_another_audience(self, site: Site) -> None:
        token = site.issuer.sign_up("eve@example.com")

        here, elsewhere = site.get("/me", token), site.get("/elsewhere/me", token)

        assert here.status_code == 200
        assert (elsewhere.status_code, code(elsewhere)) == (401, "invalid_token")

    def test_a_token_of_another_better_auth(self, site: Site) -> None:
        with better_auth(audience=AUDIENCE, **site.how) as other:
            answer = site.get("/me", other.sign_up("fay@example.com"))

        assert (answer.status_code, code(answer)) == (401, "invalid_token")

    def test_a_token_that_was_changed(self, site: Site) -> None:
        token = site.issuer.sign_up("gus@example.com")
        header, _, signature = token.split(".")
        payload = json.dumps({**payload_of(token), "role": "admin"}).encode()

        promoted = f"{header}.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.{signature}"
        answer = site.get("/admin", promoted)

        assert (answer.status_code, code(answer)) == (401, "invalid_token")

    @pytest.mark.parametrize("way", WAYS_TO_SIGN)
    def test_a_token_that_is_over(self, way: str, tmp_path: Path) -> None:
        with serve(way, tmp_path, expiration_time="-1s") as site:
            answer = site.get("/me", site.issuer.sign_up("hal@example.com"))

        assert (answer.status_code, code(answer)) == (401, "token_expired")


@pytest.mark.parametrize("way", ["EdDSA", "ES256"])
class TestNewKeys:
    def test_a_rotation_there_is_followed_here(self, way: str, tmp_path: Path) -> None:
        with serve(way, tmp_path, host=IMPATIENT) as site:
            old = site.issuer.sign_up("ida@example.com")
            site.wait_for(200, old)

            site.issuer.rotate_keys()
            new = site.issuer.sign_in("ida@example.com")

            assert key_id_of(new) != key_id_of(old)
            site.wait_for(200, new)
            assert site.get("/me", old).status_code == 200

    def test_what_a_revoked_key_signed_is_refused(self, way: str, tmp_path: Path) -> None:
        with serve(way, tmp_path, host=IMPATIENT) as site:
            old = site.issuer.sign_up("jon@example.com")
            site.wait_for(200, old)

            site.issuer.revoke_keys()

            site.wait_for(401, old)
            site.wait_for(200, site.issuer.sign_in("jon@example.com"))
            assert code(site.get("/me", old)) == "invalid_token"


def code(answer: httpx.Response) -> str:
    return str(answer.json()["detail"]["code"])


def payload_of(token: str) -> dict[str, Any]:
    return part_of(token, 1)


def key_id_of(token: str) -> str:
    return str(part_of(token, 0)["kid"])


def part_of(token: str, number: int) -> dict[str, Any]:
    part = token.split(".")[number]
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return read
