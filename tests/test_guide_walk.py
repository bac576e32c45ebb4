"""The guide's walk with curl: register, log in, look, refresh, log out, against a real server."""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from typing import Any

import pytest

from live import live_server

FIELDS = {
    "user_id",
    "email",
    "display_name",
    "role",
    "access_token",
    "refresh_token",
    "token_type",
    "expires_in",
}
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Answer:
    """What curl printed."""

    status: int
    headers: Message
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        return str(self.body["detail"]["code"])


def curl(url: str, *arguments: str) -> Answer:
    """Run curl and read its answer."""
    command = ["curl", "--silent", "--show-error", "--include", "--noproxy", "*", *arguments, url]
    output = subprocess.run(command, check=True, capture_output=True, timeout=20).stdout.decode()
    head, _, text = output.partition("\r\n\r\n")
    status_line, _, headers = head.partition("\r\n")
    return Answer(int(status_line.split()[1]), Parser().parsestr(headers), text)


def post(url: str, **body: str) -> Answer:
    """Post JSON with curl."""
    return curl(url, "--header", "Content-Type: application/json", "--data", json.dumps(body))


def me(server: str, access_token: str) -> Answer:
    """Ask who is signed in."""
    return curl(f"{server}/auth/me", "--header", f"Authorization: Bearer {access_token}")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with live_server() as url:
        yield url


def test_the_walk_ends_with_a_refresh_token_that_is_refused(server: str) -> None:
    account = {"email": "ada@example.com", "password": PASSWORD}

    registered = post(f"{server}/auth/register", **account, display_name="Ada")
    logged_in = post(f"{server}/auth/login", **account)
    shown = me(server, logged_in.body["access_token"])
    old = {"refresh_token": logged_in.body["refresh_token"]}
    refreshed = post(f"{server}/auth/refresh", **old)
    shown_again = me(server, refreshed.body["access_token"])
    logged_out = post(f"{server}/auth/logout", **old)
    refused = post(f"{server}/auth/refresh", **old)

    assert registered.status == 201
    assert registered.body.keys() == FIELDS
    assert logged_in.status == 200
    assert logged_in.body.keys() == FIELDS
    assert (shown.status, shown.body["email"]) == (200, "ada@example.com")
    assert refreshed.status == 200
    assert refreshed.body.keys() == FIELDS
    assert shown_again.status == 200
    assert (logged_out.status, logged_out.text) == (204, "")
    assert (refused.status, refused.code) == (401, "session_revoked")


def test_logout_voids_the_access_token_at_once(server: str) -> None:
    registered = post(f"{server}/auth/register", email="bob@example.com", password=PASSWORD)
    access_token = registered.body["access_token"]
    authorization = f"Authorization: Bearer {access_token}"

    curl(f"{server}/auth/logout", "--request", "POST", "--header", authorization)

    answer = me(server, access_token)
    assert (answer.status, answer.code) == (401, "token_revoked")


def test_expired_access_token_answers_token_expired_with_a_challenge() -> None:
    with live_server(JWT_ACCESS_TTL="1") as server:
        registered = post(f"{server}/auth/register", email="ada@example.com", password=PASSWORD)
        time.sleep(registered.body["expires_in"])

        answer = me(server, registered.body["access_token"])

    assert (answer.status, answer.code) == (401, "token_expired")
    assert answer.headers["WWW-Authenticate"].startswith(
        'Bearer realm="api", error="invalid_token"'
    )


def test_answers_with_tokens_are_not_for_caches(server: str) -> None:
    answer = post(f"{server}/auth/register", email="eve@example.com", password=PASSWORD)

    assert answer.headers["Cache-Control"] == "no-store"
